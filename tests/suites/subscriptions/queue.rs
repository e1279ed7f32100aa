//! The queue, by SQL: what a claim takes of it, how far it looks, and when replayed events are due.

use nexus_tests::cluster::{Database, SHARED};
use nexus_tests::sink::Sink;
use nexus_tests::site::Signed;
use nexus_tests::tenant::Tenant;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::SystemTime;
use tokio_postgres::Client;
use uuid::Uuid;

/// An event of an order, as `nexus._emit` takes it.
pub fn event(environment_id: Uuid, entity_id: Uuid, version: i64) -> Value {
    json!({ "domain_event_id": Uuid::now_v7(), "environment_id": environment_id, "event_type": "order.updated",
            "dedupe_key": format!("{entity_id}:{version}"), "entity_kind": "sales_order", "entity_id": entity_id,
            "entity_version": version, "changed": [], "payload": {}, "trace_id": "t" })
}

/// A tenant whose deliveries nobody makes: there is no gateway.
struct Queue {
    admin: Client,
    tenant: Tenant,
}

impl Queue {
    async fn create() -> Self {
        Self::of(&SHARED.database()).await
    }

    async fn of(database: &Database) -> Self {
        let admin = database.admin().await;
        let tenant = Tenant::create(&admin).await;
        Self { admin, tenant }
    }

    async fn subscription(&self, options: Value) -> Uuid {
        let sql =
            "select nexus.create_subscription($1, $2, 'https://example.com', array['*'], options => $3)";
        self.admin
            .query_one(sql, &[&self.tenant.tenant_id, &self.tenant.prod, &options])
            .await
            .unwrap()
            .get(0)
    }

    /// Emits events of one type about an entity, one transaction each, from a version on.
    async fn emit(&self, entity_id: Uuid, versions: std::ops::RangeInclusive<i64>) {
        for version in versions {
            let event = json!([event(self.tenant.prod, entity_id, version)]);
            let sql = "select nexus._emit($1, $2)";
            self.admin.execute(sql, &[&self.tenant.tenant_id, &event]).await.unwrap();
        }
    }

    /// Queues so many deliveries for a destination, due for an hour.
    async fn fill(&self, destination_id: Uuid, count: i32) {
        let sql = "insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, domain_event_id,
                                               due_at, created_at)
            select $1, gen_random_uuid(), $2, 'webhook', $3, gen_random_uuid(),
                   now() - interval '1 hour' + n * interval '1 ms', now()
            from generate_series(1, $4::integer) n";
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.tenant.tenant_id, &self.tenant.prod, &destination_id, &count];
        self.admin.execute(sql, &parameters).await.unwrap();
    }

    /// Claims 64, at most 16 of a destination; how many of each.
    async fn claim(&self, room: Value) -> BTreeMap<Uuid, i64> {
        let sql = "select c.destination_id, count(*) from nexus.claim($1, 'suite', 64, '1 minute', 16, $2) c group by 1";
        let rows = self.admin.query(sql, &[&self.tenant.tenant_id, &room]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// Rows of the queue that the transaction has read.
    async fn rows_read(&self) -> i64 {
        let sql = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relid = 'nexus.delivery'::regclass";
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Entries of the queue's indexes that the session has read.
    async fn entries_read(&self) -> i64 {
        let sql = "select sum(pg_stat_get_xact_tuples_returned(i.indexrelid))::bigint from pg_index i
                   where i.indrelid = 'nexus.delivery'::regclass";
        self.admin.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Ends what is claimed.
    async fn settle(&self) {
        let held = "select jsonb_agg(to_jsonb(d) || jsonb_build_object('log_id', nexus.uuid_v7(), 'outcome', 'succeeded',
                                                                       'trace_id', 'a', 'attempted_at', now()))
            from nexus.delivery d where d.tenant_id = $1 and d.leased_by = 'suite'";
        let held: Value = self.admin.query_one(held, &[&self.tenant.tenant_id]).await.unwrap().get(0);
        let sql = "select nexus.settle($1, 'suite', $2)";
        self.admin.execute(sql, &[&self.tenant.tenant_id, &held]).await.unwrap();
    }
}

#[tokio::test]
async fn a_backlog_of_one_destination_hides_no_other() {
    const BACKLOG: i32 = 30_000;
    let queue = Queue::create().await;
    let (busy, other) = (queue.subscription(json!({})).await, queue.subscription(json!({})).await);
    queue.fill(busy, BACKLOG).await;
    queue.fill(other, 1).await;
    queue.admin.batch_execute("begin").await.unwrap();
    assert_eq!(queue.claim(json!({ busy.to_string(): 0 })).await, BTreeMap::from([(other, 1)]));
    assert!(queue.rows_read().await < 100, "{} rows were read to find one", queue.rows_read().await);
    assert_eq!(queue.claim(json!({ busy.to_string(): 3 })).await, BTreeMap::from([(busy, 3)]));
    assert_eq!(
        queue.claim(json!({})).await,
        BTreeMap::from([(busy, 16)]),
        "what is leased is not taken again"
    );
    assert!(queue.rows_read().await < 1000, "{} rows were read to find twenty", queue.rows_read().await);
    queue.admin.batch_execute("rollback").await.unwrap();
}

/// Where a worker that knows destinations begins: what of the queue is dead, before that, is not read.
#[tokio::test]
async fn a_claim_begins_where_the_worker_has_got_to() {
    let queue = Queue::create().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(queue.subscription(json!({})).await);
    }
    ids.sort_unstable();
    let [_, long, _] = ids[..] else { unreachable!("there are three") };
    queue.fill(long, 5000).await;
    for destination_id in [ids[0], ids[2]] {
        queue.fill(destination_id, 2).await;
    }
    queue.admin.batch_execute("begin").await.unwrap();
    let due = "select due_at, delivery_id from nexus.delivery where tenant_id = $1 and destination_id = $2 order by due_at";
    let rows = queue.admin.query(due, &[&queue.tenant.tenant_id, &long]).await.unwrap();
    let (since, after): (SystemTime, Uuid) = (rows[4001].get(0), rows[4001].get(1));
    let gone = "delete from nexus.delivery where tenant_id = $1 and destination_id = $2 and due_at < $3";
    queue
        .admin
        .execute(gone, &[&queue.tenant.tenant_id, &long, &rows[4000].get::<_, SystemTime>(0)])
        .await
        .unwrap();

    let claim = "select c.destination_id, c.due_at
        from nexus.claim($1, 'suite', 64, '1 minute', 4, known => $2, since => $3, after => $4) c";
    let tenant_id = queue.tenant.tenant_id;
    let before = queue.entries_read().await;
    let taken = queue
        .admin
        .query(claim, &[&tenant_id, &[long].as_slice(), &[since].as_slice(), &[after].as_slice()])
        .await
        .unwrap();
    let read = queue.entries_read().await - before;
    assert!(read < 500, "{read} entries of indexes were read to find eight");
    let mut taken: Vec<(Uuid, SystemTime)> = taken.iter().map(|row| (row.get(0), row.get(1))).collect();
    taken.sort_unstable();
    let found: Vec<Uuid> = taken.iter().map(|(id, _)| *id).collect();
    assert_eq!(found, [ids[0], ids[0], long, long, long, long, ids[2], ids[2]], "others are found as ever");
    assert_eq!(taken[2].1, since);

    // The one before it is for who looks from the beginning; what came just now is found by all.
    let now = "update nexus.delivery set due_at = now() - interval '10 ms' where tenant_id = $1 and delivery_id = $2";
    queue.admin.execute(now, &[&tenant_id, &rows[4999].get::<_, Uuid>(1)]).await.unwrap();
    let at = SystemTime::now();
    let taken = queue
        .admin
        .query(claim, &[&tenant_id, &[long].as_slice(), &[at].as_slice(), &[after].as_slice()])
        .await
        .unwrap();
    assert_eq!(taken.len(), 1);
    let beginning = SystemTime::UNIX_EPOCH;
    let taken = queue
        .admin
        .query(claim, &[&tenant_id, &[long].as_slice(), &[beginning].as_slice(), &[after].as_slice()])
        .await
        .unwrap();
    let first: SystemTime = taken.iter().map(|row| row.get(1)).min().unwrap();
    assert_eq!((taken.len(), first), (4, rows[4000].get(0)));
    queue.admin.batch_execute("rollback").await.unwrap();
}

#[tokio::test]
async fn tenants_are_found_that_the_worker_does_not_know() {
    let database = SHARED.database();
    let (first, second) = (Queue::of(&database).await, Queue::of(&database).await);
    let mut destinations = Vec::new();
    for queue in [&first, &second] {
        let id = queue.subscription(json!({})).await;
        queue.fill(id, 2000).await;
        destinations.push((queue.tenant.tenant_id, id));
    }
    let due = async |known: &[Uuid], since: &[SystemTime]| -> Vec<Uuid> {
        let sql = "select tenant_id from nexus.due_tenants(10, '{}', $1, $2, $3, $4)";
        let of = |tenant_id| destinations.iter().find(|(of, _)| of == tenant_id).map(|(_, id)| *id);
        let (ids, after): (Vec<_>, _) = (known.iter().map(of).collect(), vec![Uuid::nil(); known.len()]);
        let rows = first.admin.query(sql, &[&known, &ids, &since, &after]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let (one, other) = (first.tenant.tenant_id, second.tenant.tenant_id);
    let (beginning, now) = (SystemTime::UNIX_EPOCH, SystemTime::now());
    assert_eq!(due(&[], &[]).await.len(), 2);
    assert_eq!(due(&[one], &[now]).await, [other], "of the one nothing new is due");
    assert_eq!(due(&[one], &[beginning]).await.len(), 2);
    let mut both = [one, other];
    both.sort_unstable();
    assert_eq!(due(&both, &[now, beginning]).await, [both[1]]);
    // However many deliveries wait.
    first.admin.batch_execute("begin").await.unwrap();
    for known in [&[][..], &both] {
        let before = first.entries_read().await;
        assert_eq!(due(known, &vec![beginning; known.len()]).await.len(), 2);
        let read = first.entries_read().await - before;
        assert!(read < 50, "{read} entries of indexes were read to find two tenants");
    }
    first.admin.batch_execute("rollback").await.unwrap();
}

/// A delivery that appears as if it had been due for long, such as one whose worker died.
#[tokio::test]
async fn what_is_due_before_where_the_worker_has_got_to_is_found() {
    let (site, sink) = (crate::site().await, Sink::start().await);
    let Signed { id, .. } = site.subscribe(&sink, &["order.*"]).await;
    super::order(&site).await;
    sink.wait_for("/webhooks", 1).await;
    let again = "insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, domain_event_id,
                                             due_at, created_at)
        select $1, gen_random_uuid(), e.environment_id, 'webhook', $2, e.domain_event_id, now() - interval '1 hour', now()
        from nexus.domain_event e where e.tenant_id = $1 and e.event_type = 'order.created'";
    site.admin.execute(again, &[&site.tenant.tenant_id, &id]).await.unwrap();
    sink.wait_for("/webhooks", 2).await;
}

#[tokio::test]
async fn of_a_destination_with_a_rate_one_is_taken_until_the_worker_knows_it() {
    let queue = Queue::create().await;
    let limited = queue.subscription(json!({ "rate_limit": 100 })).await;
    queue.fill(limited, 20).await;
    assert_eq!(queue.claim(json!({})).await, BTreeMap::from([(limited, 1)]));
    assert_eq!(queue.claim(json!({ limited.to_string(): 7 })).await, BTreeMap::from([(limited, 7)]));
}

#[tokio::test]
async fn a_long_queue_of_one_entity_hides_no_other() {
    let queue = Queue::create().await;
    let ordered = queue.subscription(json!({ "ordering": "entity" })).await;
    let (long, other) = (Uuid::now_v7(), Uuid::now_v7());
    queue.emit(long, 1..=5).await;
    // As many as a page of the claim's look is not enough for.
    let more = "insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, domain_event_id,
                                            ordering_key, ordering_version, due_at, created_at)
        select d.tenant_id, gen_random_uuid(), d.environment_id, d.kind, d.destination_id, d.domain_event_id,
               d.ordering_key, 5 + n, d.due_at, d.created_at
        from nexus.delivery d cross join generate_series(1, 500) n where d.tenant_id = $1 and d.ordering_version = 5";
    queue.admin.execute(more, &[&queue.tenant.tenant_id]).await.unwrap();
    queue.emit(other, 1..=2).await;
    assert_eq!(queue.claim(json!({})).await, BTreeMap::from([(ordered, 2)]), "the first of each");
    assert_eq!(queue.claim(json!({})).await, BTreeMap::new(), "and the next only after that");
    queue.settle().await;
    assert_eq!(queue.claim(json!({})).await, BTreeMap::from([(ordered, 2)]));
    let versions =
        "select array_agg(ordering_version) from nexus.delivery where tenant_id = $1 and leased_by = 'suite'";
    let versions: Vec<i64> =
        queue.admin.query_one(versions, &[&queue.tenant.tenant_id]).await.unwrap().get(0);
    assert_eq!(versions, [2, 2]);
}

#[tokio::test]
async fn replayed_events_are_due_at_their_rate_over_all_pages() {
    let queue = Queue::create().await;
    queue.emit(Uuid::now_v7(), 1..=3).await;
    queue.subscription(json!({})).await;
    queue.admin.batch_execute("begin").await.unwrap();
    let mut filter = json!({ "rate": 2, "since": "2020-01-01T00:00:00Z" });
    loop {
        let sql =
            "select deliveries, next_event_id::text, next_due_at::text from nexus.replay_page($1, $2, 2)";
        let row = queue.admin.query_one(sql, &[&queue.tenant.tenant_id, &filter]).await.unwrap();
        let Some(next) = row.get::<_, Option<String>>(1) else { break };
        filter["next_event_id"] = json!(next);
        filter["next_due_at"] = json!(row.get::<_, String>(2));
    }
    let sql = "select array_agg(extract(epoch from d.due_at - now())::float8 order by d.due_at) from nexus.delivery d
               where d.tenant_id = $1";
    let due: Vec<f64> = queue.admin.query_one(sql, &[&queue.tenant.tenant_id]).await.unwrap().get(0);
    assert_eq!(due, [0.0, 0.5, 1.0], "half a second apart, the page's end or not");
    queue.admin.batch_execute("rollback").await.unwrap();
    let none =
        queue.admin.query("select nexus.replay($1, '{\"rate\": 0}')", &[&queue.tenant.tenant_id]).await;
    assert!(none.is_err(), "a rate of nothing is none");
}
