//! What must be so in the end.

use super::receiver::Receiver;
use super::shops::{Sent, note};
use nexus_tests::cluster::Database;
use nexus_tests::wait::until;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// Reads the database when all is over.
pub struct Witness<'a> {
    pub admin: &'a Client,
    pub tenant_id: Uuid,
}

impl Witness<'_> {
    /// Waits until nothing is left to be delivered. What waits for its next attempt need not wait: an hour has passed.
    /// What is leased must run out by itself.
    pub async fn quiet(&self) {
        let pass = "update nexus.delivery set due_at = now()
            where tenant_id = $1 and due_at > now() and leased_until is null";
        until("every delivery has ended", async || {
            self.admin.execute(pass, &[&self.tenant_id]).await.unwrap();
            self.column::<i64>("select count(*) from nexus.delivery where tenant_id = $1").await == [0]
        })
        .await;
    }

    /// What was acknowledged is stored under the id it was acknowledged with, once; and nothing else is.
    pub async fn every_webhook_is_one_event(&self, sent: &Sent) {
        let sql = "select headers ->> 'x-shopify-webhook-id', event_id from nexus.event where tenant_id = $1";
        let rows = self.admin.query(sql, &[&self.tenant_id]).await.unwrap();
        assert_eq!(rows.len(), sent.events.len(), "an event for each webhook");
        let stored: HashMap<String, Uuid> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert!(stored == sent.events, "an event is not the one that was acknowledged");
    }

    /// The golden row has the last change, and the outbox each change once.
    pub async fn every_order_is_as_it_was_sent_last(&self, sent: &Sent) {
        let sql = "select o.order_number, o.note, o.entity_version, array_agg(e.entity_version order by e.entity_version)
            from nexus.sales_order o
            join nexus.domain_event e on e.tenant_id = o.tenant_id and e.entity_id = o.sales_order_id
            where o.tenant_id = $1 group by o.tenant_id, o.sales_order_id";
        let rows = self.admin.query(sql, &[&self.tenant_id]).await.unwrap();
        assert_eq!(rows.len(), sent.changes.len(), "a golden order for each order");
        for row in rows {
            let (number, told, version): (String, Option<String>, i64) = (row.get(0), row.get(1), row.get(2));
            let versions: Vec<i64> = row.get(3);
            let changes = sent.changes[&number];
            assert_eq!((told.as_deref(), version), (Some(&*note(changes)), changes + 1), "order {number}");
            assert_eq!(versions, (1..=changes + 1).collect::<Vec<_>>(), "domain events of order {number}");
        }
        let customers = "select count(*) from nexus.domain_event where tenant_id = $1 and event_type = 'customer.created'";
        assert_eq!(
            self.column::<i64>(customers).await,
            [sent.changes.len() as i64],
            "a customer for each order"
        );
    }

    /// Each event made one job, which has succeeded and said so once.
    pub async fn every_event_has_one_job(&self, sent: &Sent) {
        let events: Vec<Uuid> =
            self.column("select event_id from nexus.job where tenant_id = $1 and status = 'succeeded'").await;
        let jobs = self.column::<i64>("select count(*) from nexus.job where tenant_id = $1").await;
        assert_eq!(jobs, [events.len() as i64], "every job has succeeded");
        assert_eq!(events.len(), sent.events.len(), "a job for each event");
        let of_jobs: HashSet<Uuid> = events.into_iter().collect();
        assert!(sent.events.values().all(|event_id| of_jobs.contains(event_id)), "an event has no job");
        let ends = "select count(distinct payload ->> 'job_id'), count(*) from nexus.domain_event
            where tenant_id = $1 and event_type like 'job.%'";
        let row = self.admin.query_one(ends, &[&self.tenant_id]).await.unwrap();
        assert_eq!([row.get::<_, i64>(0), row.get(1)], [jobs[0]; 2], "the end of each job is told once");
    }

    /// Every job and every event of the outbox came to its receiver and was taken, and the log has it.
    pub async fn everything_arrived(&self, receiver: &Receiver) {
        let outgoing = "select event_id from nexus.job where tenant_id = $1
            union all select domain_event_id from nexus.domain_event where tenant_id = $1";
        let outgoing: Vec<Uuid> = self.column(outgoing).await;
        let missing = outgoing.iter().filter(|id| !receiver.has_taken(**id)).count();
        assert_eq!(missing, 0, "of {} deliveries so many never arrived", outgoing.len());
        let logged = "select count(distinct delivery_id) from nexus.webhook_delivery_log
            where tenant_id = $1 and outcome = 'succeeded'";
        assert_eq!(
            self.column::<i64>(logged).await,
            [outgoing.len() as i64],
            "every delivery's success is logged"
        );
    }

    /// A reader that went on through all of it missed nothing and met nothing twice.
    pub async fn a_reader_saw_everything_once(&self, reader: Reader) {
        let stored: HashSet<Uuid> = self
            .column("select domain_event_id from nexus.domain_event where tenant_id = $1")
            .await
            .into_iter()
            .collect();
        until("a reader has come to the end of the outbox", async || reader.seen().len() >= stored.len())
            .await;
        let seen = reader.seen();
        let distinct: HashSet<Uuid> = seen.iter().copied().collect();
        assert_eq!(distinct.len(), seen.len(), "a reader met events twice");
        assert!(distinct == stored, "a reader saw other events than there are");
    }

    async fn column<T: FromSqlOwned>(&self, sql: &str) -> Vec<T> {
        let rows = self.admin.query(sql, &[&self.tenant_id]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// Reads the outbox by its cursor, and begins again where it was whenever the database comes back.
pub struct Reader {
    seen: Arc<Mutex<Vec<Uuid>>>,
    task: JoinHandle<()>,
}

impl Reader {
    /// A reader of a tenant's outbox.
    pub fn start(database: &Database, tenant_id: Uuid) -> Self {
        let seen: Arc<Mutex<Vec<Uuid>>> = Arc::default();
        let (url, kept) = (database.admin_url.clone(), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut cursor: Option<String> = None;
            loop {
                // It ends by an error only: the database went away.
                let _ = read(&url, tenant_id, &mut cursor, &kept).await;
                sleep(PAUSE).await;
            }
        });
        Self { seen, task }
    }

    fn seen(&self) -> Vec<Uuid> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const PAUSE: Duration = Duration::from_millis(10);

async fn read(
    url: &str,
    tenant_id: Uuid,
    cursor: &mut Option<String>,
    seen: &Mutex<Vec<Uuid>>,
) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let sql = "select domain_event_id, cursor from nexus.read_domain_events($1, $2, 100)";
    loop {
        let rows = client.query(sql, &[&tenant_id, cursor]).await?;
        if let Some(last) = rows.last() {
            *cursor = Some(last.get(1));
            seen.lock().unwrap().extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
        } else {
            sleep(PAUSE).await;
        }
    }
}
