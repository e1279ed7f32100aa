//! The outbox's promises: readers miss and repeat nothing whatever order transactions end in, and nothing is sent
//! again after a restore until an operator says so.

use nexus_tests::cluster::{Cluster, Database, connect};
use nexus_tests::gateway::{Gateway, admin};
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::Sink;
use nexus_tests::site::Site;
use nexus_tests::stream::{cursor, emit, id};
use nexus_tests::wait::{eventually, until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_postgres::Client;
use uuid::Uuid;

/// What a reader has read: cursors and events, in its order.
#[derive(Default)]
struct Read {
    cursor: Option<String>,
    ids: Vec<Uuid>,
}

impl Read {
    fn take(&mut self, cursor: String, id: Uuid) {
        let place = |cursor: &str| -> (u32, u64, String) {
            let parts: Vec<&str> = cursor.split('.').collect();
            (parts[0].parse().unwrap(), parts[1].parse().unwrap(), parts[2].to_owned())
        };
        let is_later = self.cursor.as_deref().is_none_or(|last| place(last) < place(&cursor));
        assert!(is_later, "{cursor} comes after {:?}", self.cursor);
        self.cursor = Some(cursor);
        self.ids.push(id);
    }
}

const BY_SQL: &str = "select cursor, domain_event_id from nexus.read_domain_events($1, $2, 7)";

#[tokio::test]
async fn readers_wait_for_an_open_transaction_and_miss_and_repeat_nothing() {
    const WRITERS: usize = 64;
    const TRANSACTIONS: usize = 6;
    // A cluster of its own: an open transaction holds back readers in all of its databases.
    let cluster = Cluster::start("held");
    let database = cluster.database();
    let gateway = Gateway::start(&database);
    let site = Site::create(&database, &gateway).await;
    let (tenant_id, prod) = (site.tenant.tenant_id, site.prod());
    let mut stream = site.stream("").await;
    let before = emit(&site.admin, prod, "order.created", &[json!({})]).await;
    assert_eq!(id(&stream.event().await), before[0]);

    let holder = database.admin().await;
    holder.batch_execute("begin").await.unwrap();
    let held = emit(&holder, prod, "order.updated", &[json!({}), json!({})]).await;
    let ended = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (database, ended) = (database.clone(), Arc::clone(&ended));
            tokio::spawn(async move {
                let session = database.admin().await;
                let mut committed = Vec::new();
                for transaction in 0..TRANSACTIONS {
                    session.batch_execute("begin").await.unwrap();
                    let payloads = vec![json!({ "writer": writer }); 1 + (writer + transaction) % 3];
                    let ids = emit(&session, prod, "order.updated", &payloads).await;
                    if (writer + transaction) % 3 == 0 {
                        session.batch_execute("rollback").await.unwrap();
                    } else {
                        session.batch_execute("commit").await.unwrap();
                        committed.extend(ids);
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                }
                committed
            })
        })
        .collect();

    // By SQL and by the list, over and over; the stream waits by itself.
    let (mut by_sql, mut by_list, mut by_stream) = (Read::default(), Read::default(), Read::default());
    let read_on = async |by_sql: &mut Read, by_list: &mut Read| {
        for row in site.admin.query(BY_SQL, &[&tenant_id, &by_sql.cursor]).await.unwrap() {
            by_sql.take(row.get(0), row.get(1));
        }
        let after = by_list.cursor.as_ref().map(|after| format!("&cursor={after}")).unwrap_or_default();
        let page = site.get(&format!("/api/v1/integrations/events?limit=9{after}")).await;
        for event in page.body["data"].as_array().unwrap() {
            // The list gives the last one's cursor; the others' are its page's.
            by_list.ids.push(event["domain_event_id"].as_str().unwrap().parse().unwrap());
        }
        by_list.cursor = page.body["next_cursor"].as_str().map(str::to_owned);
    };
    while ended.load(Ordering::Relaxed) < WRITERS * TRANSACTIONS / 2 {
        read_on(&mut by_sql, &mut by_list).await;
        assert_eq!(
            (&by_sql.ids, &by_list.ids),
            (&before, &before),
            "nothing is read beyond the open transaction"
        );
    }
    until("the lag is seen", async || site.metric("nexus_outbox_lag_seconds").await >= Some(1.0)).await;
    holder.batch_execute("commit").await.unwrap();

    let mut written: Vec<Uuid> = before.iter().chain(&held).copied().collect();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    until("everything has been read", async || {
        read_on(&mut by_sql, &mut by_list).await;
        by_sql.ids.len() >= written.len() && by_list.ids.len() >= written.len()
    })
    .await;
    read_on(&mut by_sql, &mut by_list).await;
    by_stream.take(String::from("0.0.0"), before[0]);
    for event in stream.events(written.len() - 1).await {
        by_stream.take(cursor(&event), id(&event));
    }
    // In one order for all, which begins with what was held open: its transaction was the first.
    assert_eq!(by_sql.ids[1..3], held[..]);
    assert_eq!((&by_list.ids, &by_stream.ids), (&by_sql.ids, &by_sql.ids));
    let mut read = by_sql.ids;
    read.sort();
    written.sort();
    assert_eq!(read, written);
    until("the lag is gone", async || site.metric("nexus_outbox_lag_seconds").await == Some(0.0)).await;
}

/// Writes a job and a webhook that nobody sends, and where readers stand.
async fn leave_work(database: &Database, sink: &Sink) -> (Uuid, Uuid, String) {
    let gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_ROLES", "api")]);
    let site = Site::create(database, &gateway).await;
    site.subscribe(sink, &["order.*"]).await;
    let order = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
    assert_eq!(site.send(&order).await.status, 202);
    let sql = "select cursor from nexus.read_domain_events($1) order by cursor desc limit 1";
    let last = eventually("the events are readable", async || {
        let rows = site.admin.query(sql, &[&site.tenant.tenant_id]).await.unwrap();
        rows.first().map(|row| row.get(0))
    })
    .await;
    (site.tenant.tenant_id, site.tenant.prod, last)
}

async fn due_tenants(gateway: &Client) -> usize {
    gateway.query("select tenant_id from nexus.due_tenants(10)", &[]).await.unwrap().len()
}

async fn status(gateway: &Client) -> (i32, bool) {
    let row = gateway.query_one("select epoch, is_accepted from nexus.outbox_status()", &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_restore_to_a_point_in_time_sends_nothing_until_it_is_accepted() {
    // Promotions pass by themselves here, and a restore does not all the same.
    let cluster = Cluster::start_with("origin", "nexus.accept_promotions = on");
    let (database, sink) = (cluster.database(), Sink::start().await);
    let (tenant_id, prod, seen) = leave_work(&database, &sink).await;
    assert_eq!(due_tenants(&connect(&database.gateway_url).await).await, 1);
    let session = database.admin().await;
    let mut restored = cluster.backup("restored-to-a-point");
    session.batch_execute("select pg_create_restore_point('before')").await.unwrap();
    // What is written from here on is lost, and its transaction ids are given again.
    let mut lost = Vec::new();
    for _ in 0..20 {
        lost.extend(emit(&session, (tenant_id, prod), "order.updated", &[json!({})]).await);
    }
    let newest = "select cursor from nexus.read_domain_events($1, $2) order by cursor desc limit 1";
    let row = session.query_one(newest, &[&tenant_id, &seen]).await.unwrap();
    let ahead: String = row.get(0);
    restored
        .recover_from(&cluster, "recovery_target_name = 'before'\nrecovery_target_action = 'promote'")
        .await;

    let database = restored.the_same(&database);
    let gateway = Gateway::start(&database);
    until("the gateway says that nothing is delivered", async || {
        gateway.log().contains("nexus admin accept-epoch")
    })
    .await;
    let (session, login) = (database.admin().await, connect(&database.gateway_url).await);
    assert_eq!((due_tenants(&login).await, status(&login).await), (0, (2, false)));
    let claim = "select * from nexus.claim($1, 'w', 10)";
    assert_eq!(login.query(claim, &[&tenant_id]).await.unwrap().len(), 0);
    // Events come in all the same, in an epoch of their own: who was ahead misses none.
    let new = emit(&session, (tenant_id, prod), "order.updated", &[json!({})]).await;
    let rows = eventually("the new event is readable", async || {
        let rows = session.query(BY_SQL, &[&tenant_id, &Some(&ahead)]).await.unwrap();
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    assert_eq!(rows.iter().map(|row| row.get(1)).collect::<Vec<Uuid>>(), new);
    let rows = session.query(BY_SQL, &[&tenant_id, &Some(&seen)]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(1)).collect::<Vec<Uuid>>(), new, "and who was not, too");
    assert_eq!(sink.received("/webhooks").len(), 0);

    let accepted: Value = admin(&database, &["accept-epoch"], "");
    assert_eq!(accepted, json!({ "epoch": 2 }));
    sink.wait_for("/webhooks", 2).await;
    until("the gateway says that deliveries go on", async || {
        gateway.log().contains("deliveries may be sent")
    })
    .await;
    assert!(lost.len() == 20 && status(&login).await == (2, true));
}

#[tokio::test]
async fn a_promotion_passes_by_itself_only_where_the_operator_says_so() {
    let cluster = Cluster::start("primary");
    let (database, sink) = (cluster.database(), Sink::start().await);
    leave_work(&database, &sink).await;
    for (name, settings, is_accepted) in
        [("promoted", "", false), ("promoted-by-itself", "nexus.accept_promotions = on", true)]
    {
        let mut standby = cluster.backup(name);
        standby.recover_from(&cluster, settings).await;
        let login = connect(&standby.the_same(&database).gateway_url).await;
        // Before anybody has looked, the timeline is another already.
        assert_eq!(due_tenants(&login).await, 0, "{name}");
        assert_eq!(status(&login).await, (2, is_accepted), "{name}");
        assert_eq!(due_tenants(&login).await, usize::from(is_accepted), "{name}");
        standby.stop();
    }
    assert_eq!(status(&connect(&database.gateway_url).await).await, (1, true), "the primary is where it was");
}
