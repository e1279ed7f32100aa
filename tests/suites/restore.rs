//! A dump read into an empty cluster, as docs/operations.md describes it.

use crate::attack::{Field, attack_by_sql};
use nexus_tests::cluster::{Cluster, SHARED, connect};
use nexus_tests::ingest::accept;
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::tenant::Connector;
use tokio_postgres::Client;
use url::Url;
use uuid::Uuid;

#[tokio::test]
async fn a_restored_cluster_is_closed_until_migrated_and_then_as_before() {
    let Field { database, admin, mut own, mut other, .. } = Field::prepare().await;
    let (tenant_id, dump) = (own.tenant.tenant_id, SHARED.dump(&database));
    let before = read_outbox(&admin, tenant_id, None).await;
    let (middle, _) = before[before.len() / 2].clone();
    assert!(due_tenants(&connect(&database.gateway_url).await).await > 0);

    let cluster = Cluster::start_empty("restored", "");
    let restored = cluster.empty_database();
    let admin = restored.admin().await;
    let roles = "create extension nexus; select nexus.create_roles(); drop extension nexus cascade; drop schema nexus";
    admin.batch_execute(roles).await.unwrap();
    let password = Url::parse(&restored.gateway_url).unwrap().password().unwrap().to_owned();
    let login = format!("create role nexus_gateway_login login password '{password}' in role nexus_gateway");
    admin.batch_execute(&login).await.unwrap();
    cluster.restore(&restored, &dump);

    let gateway = connect(&restored.gateway_url).await;
    assert_eq!(that_run(&admin, &gateway).await, [""; 0]);
    let waiting = "select nexus._pending_migrations()";
    assert_eq!(
        admin.query_one(waiting, &[]).await.unwrap().get::<_, i32>(0),
        0,
        "the tables came with the dump"
    );
    assert_eq!(admin.query("select nexus.migrate()", &[]).await.unwrap().len(), 0);
    let foreign =
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = 'nexus'::regnamespace
                   and p.prosecdef and p.proowner <> 'nexus_system'::regrole";
    assert_eq!(
        admin.query(foreign, &[]).await.unwrap().len(),
        0,
        "definer functions belong to nexus_system again"
    );
    gateway.query("select * from nexus.gateway_configuration(null)", &[]).await.unwrap();

    // The outbox goes on where it was: the dump's events, then those of the new cluster's epoch.
    assert_eq!(read_outbox(&admin, tenant_id, None).await, before);
    let connector_id = "select connector_id from nexus.sales_order_line where tenant_id = $1 and environment_id = $2 limit 1";
    let row = admin.query_one(connector_id, &[&tenant_id, &own.tenant.prod]).await.unwrap();
    let shop =
        Connector { tenant_id, connector_id: row.get(0), connector_type: "shopify", secret: String::new() };
    accept(&gateway, &shop, &shopify("orders/create", &shopify_order(fresh_id(), minute(9)), minute(9)))
        .await;
    let after = read_outbox(&admin, tenant_id, Some(&middle)).await;
    let (old, new) = after.split_at(before.len() - before.len() / 2 - 1);
    assert_eq!(old, &before[before.len() / 2 + 1..]);
    let epoch = |(cursor, _): &(String, Uuid)| cursor.split('.').next().unwrap().parse::<i32>().unwrap();
    assert!(!new.is_empty() && new.iter().all(|event| epoch(event) > epoch(&old[0])), "{new:?}");

    // What waits may have been sent before: nothing goes out until an operator says so.
    assert_eq!(due_tenants(&gateway).await, 0);
    let epoch: i32 = admin.query_one("select nexus.accept_epoch()", &[]).await.unwrap().get(0);
    assert!(epoch == 2 && due_tenants(&gateway).await > 0);

    // Logins are the cluster's: they are made and bound anew.
    for home in [&mut own, &mut other] {
        home.analyst = home.tenant.analyst(&restored, &admin, None).await;
        home.prod_analyst = home.tenant.analyst(&restored, &admin, Some(home.tenant.prod)).await;
    }
    admin.batch_execute("analyze").await.unwrap();
    attack_by_sql(&restored, &admin, &own, &other, None).await;
}

async fn due_tenants(gateway: &Client) -> usize {
    gateway.query("select from nexus.due_tenants(10)", &[]).await.unwrap().len()
}

/// The cursors and ids of a tenant's domain events, in the outbox's order.
async fn read_outbox(client: &Client, tenant_id: Uuid, after: Option<&str>) -> Vec<(String, Uuid)> {
    let sql = "select cursor, domain_event_id from nexus.read_domain_events($1, $2, 1000)";
    let rows = client.query(sql, &[&tenant_id, &after]).await.unwrap();
    assert!(rows.len() > 2, "{rows:?}");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Definer functions that a gateway may call and that do not refuse for their owner.
async fn that_run(admin: &Client, gateway: &Client) -> Vec<String> {
    let sql = "select format('select * from nexus.%I(%s)', p.proname, (
                   select string_agg('null::' || format_type(t, null), ', ' order by n)
                   from unnest(p.proargtypes::oid[]) with ordinality a(t, n)))
               from pg_proc p where p.pronamespace = 'nexus'::regnamespace and p.prosecdef
                 and has_function_privilege('nexus_gateway', p.oid, 'execute')";
    let calls: Vec<String> = admin.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(calls.len() > 20, "{calls:?}");
    let mut run = Vec::new();
    for call in calls {
        let answer = gateway.batch_execute(&call).await;
        let detail =
            answer.as_ref().err().and_then(|error| error.as_db_error()).and_then(|error| error.detail());
        if !detail.is_some_and(|detail| detail.contains("NX305")) {
            run.push(format!("{call}: {answer:?}"));
        }
    }
    run
}
