//! The boundary against those who try: two tenants with data in every table, and attackers who make every attempt
//! there is to see, to change, or only to confirm a row that is not theirs. An attempt is data; see
//! `attack/statements.rs` for the handmade ones and `attack/catalogue.rs` and `attack/rest.rs` for those that are
//! derived from what the database and the API offer.

mod attempt;
mod catalogue;
mod party;
mod rest;
pub mod session;
mod sql;
mod statements;
mod twins;

use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::gateway::Gateway;
use nexus_tests::pooler::Pooler;
use nexus_tests::wait::eventually;
use party::{Home, Party};
use session::Session;
use sql::{Assault, fingerprint};
use std::collections::BTreeMap;
use tokio_postgres::Client;
use twins::Twins;

/// A database with an attacker's tenant and a victim's, and a gateway that answers requests and sends nothing.
pub struct Field {
    pub database: Database,
    pub admin: Client,
    gateway: Gateway,
    pub own: Home,
    pub other: Home,
}

impl Field {
    pub async fn prepare() -> Self {
        let database = SHARED.database();
        let settings = [("NEXUS_ROLES", "api"), ("NEXUS_API_RATE", "0")];
        let gateway = Gateway::start_with(&database.gateway_url, &settings);
        let (own, other) =
            (Home::furnish(&database, &gateway).await, Home::furnish(&database, &gateway).await);
        let admin = database.admin().await;
        // Else the planner's statistics have nothing to tell.
        admin.batch_execute("analyze").await.unwrap();
        Self { database, admin, gateway, own, other }
    }
}

#[tokio::test]
async fn no_login_sees_changes_or_confirms_a_foreign_row() {
    let Field { database, admin, own, other, .. } = &Field::prepare().await;
    let pooler = Pooler::start_for(&[&own.analyst, &own.prod_analyst], 1);
    attack_by_sql(database, admin, own, other, Some(&pooler)).await;
}

/// Attacks with the logins of a tenant, its own test environment and another tenant; directly, and through a pooler.
pub async fn attack_by_sql(
    database: &Database,
    admin: &Client,
    own: &Home,
    other: &Home,
    pooler: Option<&Pooler>,
) {
    let (whole, prod) = (own.whole(admin).await, own.prod(admin).await);
    let sides = [
        ("a login of the tenant", &own.analyst, &whole, other.whole(admin).await),
        ("a login of prod", &own.prod_analyst, &prod, other.whole(admin).await),
        ("a login of prod at test", &own.prod_analyst, &prod, own.test(admin).await),
    ];
    let (mut made, mut breaches, mut blunt) = (0, Vec::new(), Vec::new());
    let victims: Vec<Party> =
        sides.iter().map(|(_, _, attacker, victim)| victim.clone().against(attacker)).collect();
    for is_last in [false, true] {
        for ((name, login, attacker, _), victim) in sides.iter().zip(&victims) {
            let twins = Twins { attacker, victim };
            let before = fingerprint(admin, &[victim.scope]).await;
            let pooled = pooler.map(|pooler| ("through the pooler", pooler.url_of(login)));
            for (way, url) in [("directly", (*login).clone())].into_iter().chain(pooled) {
                let assault = Assault { name: format!("{name}, {way}"), url: &url, twins };
                let attempts =
                    if is_last { statements::repetitions() } else { assault.attempts(admin).await };
                made += attempts.len();
                breaches.extend(assault.make(&attempts).await);
            }
            breaches.extend(changes(name, &before, &fingerprint(admin, &[victim.scope]).await));
            if !is_last {
                let superuser = Assault { name: (*name).to_owned(), url: &database.admin_url, twins };
                blunt.extend(superuser.blunt(admin).await);
            }
        }
    }
    report("SQL", made, &breaches, &blunt);
}

#[tokio::test]
async fn no_key_sees_changes_or_confirms_a_foreign_row() {
    let field = Field::prepare().await;
    let Field { admin, own, other, gateway, .. } = &field;
    let (base_url, http) = (&gateway.base_url, &reqwest::Client::builder().no_proxy().build().unwrap());
    let description =
        http.get(format!("{base_url}/openapi.json")).send().await.unwrap().json().await.unwrap();
    let (own_prod, own_test, their_prod) =
        (own.prod(admin).await, own.test(admin).await, other.prod(admin).await);
    let [key, reading_key] = &own.keys;
    let sides = [
        ("another tenant's key that may read", reading_key, &their_prod, &other.keys[0]),
        ("another tenant's key", key, &their_prod, &other.keys[0]),
        ("a key of another environment", key, &own_test, &own.test_key),
    ];
    let (mut made, mut breaches, mut blunt) = (0, Vec::new(), Vec::new());
    for (name, key, victim, victims_key) in sides {
        let victim = &victim.clone().against(&own_prod);
        let twins = Twins { attacker: &own_prod, victim };
        let before = fingerprint(admin, &[victim.scope]).await;
        let assault = rest::Assault { name, base_url, http, key, twins };
        let itself = rest::Assault { name: "the victim", base_url, http, key: victims_key, twins };
        let mut attempts = rest::attempts(&description, victim);
        attempts.extend(rest::replays(&itself, &attempts).await);
        made += attempts.len();
        breaches.extend(assault.make(&attempts).await);
        blunt.extend(itself.blunt(&attempts).await);
        breaches.extend(changes(name, &before, &fingerprint(admin, &[victim.scope]).await));
    }
    // With too little scope, in its own environment.
    let attempts = rest::beyond_reading(&description, &own_prod);
    let nobody = &own_prod.clone().unmarked();
    let before = fingerprint(admin, &[own_prod.scope]).await;
    let twins = Twins { attacker: &own_prod, victim: nobody };
    let assault = rest::Assault { name: "a key that may read", base_url, http, key: reading_key, twins };
    made += attempts.len();
    breaches.extend(assault.make(&attempts).await);
    breaches.extend(changes("a key that may read", &before, &fingerprint(admin, &[own_prod.scope]).await));
    report("REST", made, &breaches, &blunt);
}

/// What one login left on a connection of the pooler, another must not find there.
#[tokio::test]
async fn a_pooled_connection_leaves_nothing_for_others() {
    let field = Field::prepare().await;
    let Field { admin, own, other, .. } = &field;
    let pooler = Pooler::start_for(&[&own.analyst, &other.analyst], 1);
    let mut victim = Session::open(&pooler.url_of(&other.analyst)).await;
    let left = "prepare left_plan as select * from nexus.customer;
        create temp table left_table as select * from nexus.customer;
        begin; declare left_cursor scroll cursor with hold for select * from nexus.customer; commit;
        set nexus.tenant_id = 'left'; listen left_channel";
    assert_eq!(victim.ask(left).await.failure, None);
    drop(victim);
    let mark = other.whole(admin).await.against(&own.whole(admin).await);
    for taken in [
        "execute left_plan",
        "select * from left_table",
        "fetch backward all in left_cursor",
        "fetch forward all in left_cursor",
        "select statement from pg_prepared_statements",
        "select statement from pg_cursors",
        "select * from pg_listening_channels()",
        "show nexus.tenant_id",
        "select * from nexus.customer",
    ] {
        let found = Session::open(&pooler.url_of(&own.analyst)).await.ask(taken).await;
        assert_eq!(attempt::shown(taken, &found, &mark), [""; 0], "{taken}: {found:?}");
        assert!(!found.said.contains("left_") || found.failure.is_some(), "{taken}: {found:?}");
    }
    // The same connection to the server it is for who left it there.
    let kept = Session::open(&pooler.url_of(&other.analyst)).await.ask("execute left_plan").await;
    assert_eq!(kept.failure, None, "{kept:?}");
    // Doorbells tell that there is work, and not whose.
    admin.execute("select nexus.fall_asleep()", &[]).await.unwrap();
    let mut listener = Session::open(&own.analyst).await;
    let channels = format!("listen nexus_doorbell; listen \"{}\"", other.tenant.tenant_id);
    assert_eq!(listener.ask(&channels).await.failure, None);
    let ingest = format!(
        "select * from nexus.ingest('{}', '{}', '{{\"x-shopify-topic\": \"orders/create\"}}', '\\x7b7d')",
        mark.values["tenant.tenant_id"], mark.values["sales_order_line.connector_id"]
    );
    assert_eq!(Session::open(&other.analyst).await.ask(&ingest).await.failure, None);
    let heard = eventually("the doorbell rings", async || {
        let answer = listener.ask("select 1").await;
        answer.said.contains("nexus_doorbell").then_some(answer)
    })
    .await;
    assert_eq!(attempt::shown("", &heard, &mark), [""; 0], "{heard:?}");
}

/// The tables whose rows are not what they were.
fn changes(name: &str, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let changed = before.iter().filter(|(table, print)| after.get(*table) != Some(print));
    changed
        .map(|(table, print)| format!("{name} changed nexus.{table}: {print} became {:?}", after.get(table)))
        .collect()
}

fn report(way: &str, made: usize, breaches: &[String], blunt: &[String]) {
    println!("{made} attempts by {way}, {} breaches", breaches.len());
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
    assert!(blunt.is_empty(), "{} attempts prove nothing:\n{}", blunt.len(), blunt.join("\n"));
}
