//! Nothing that was acknowledged is lost, nothing happens twice and nothing is left lying, whoever dies when.
//!
//! Shops send orders to two gateways beside each other while either of them and the database are killed at random
//! points, alone or together, `NEXUS_KILLS` times. Then it is counted: what was acknowledged, what is stored, what went
//! out, and what readers of the outbox saw. `NEXUS_SEED` has the same choices made again; what they meet depends on the
//! machine.

mod receiver;
mod shops;
mod witness;

use nexus_tests::cluster::{Cluster, Database};
use nexus_tests::gateway::Gateway;
use nexus_tests::random::Random;
use nexus_tests::site::Site;
use nexus_tests::wait::until;
use receiver::Receiver;
use serde_json::json;
use shops::{Shops, Street};
use std::time::Duration;
use tokio::task::block_in_place;
use tokio::time::sleep;
use witness::Witness;

const GATEWAYS: usize = 2;
const SHOPS: usize = 4;
const READERS: usize = 2;

/// What can be killed: the gateways and, last, the database.
struct Stage {
    cluster: Cluster,
    database: Database,
    gateways: Vec<Gateway>,
}

impl Stage {
    /// A gateway whose leases are short, so that what a dead one held is soon another's.
    fn gateway(database: &Database) -> Gateway {
        let settings = [("NEXUS_LISTEN_URL", database.gateway_url.as_str()), ("NEXUS_LEASE_SECONDS", "2")];
        Gateway::start_with(&database.gateway_url, &settings)
    }

    /// Kills those whose bit is set, and starts them again.
    fn strike(&mut self, victims: u64) {
        let dies = |place: usize| victims >> place & 1 == 1;
        let dead: Vec<usize> = (0..GATEWAYS).filter(|place| dies(*place)).collect();
        dead.iter().for_each(|place| self.gateways[*place].kill());
        if dies(GATEWAYS) {
            self.cluster.crash();
            self.cluster.start_again();
        }
        for place in dead {
            self.gateways[place] = Self::gateway(&self.database);
        }
    }

    fn addresses(&self) -> Vec<String> {
        self.gateways.iter().map(|gateway| gateway.base_url.clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_nothing_is_lost_and_nothing_happens_twice() {
    let kills: u64 = std::env::var("NEXUS_KILLS").map_or(10, |text| text.parse().unwrap());
    let mut random = Random::of_run();
    let cluster = Cluster::start("kills");
    let database = cluster.database();
    let gateways = (0..GATEWAYS).map(|_| Stage::gateway(&database)).collect();
    let mut stage = Stage { cluster, database: database.clone(), gateways };
    let mut site = Site::create(&database, &stage.gateways[0]).await;
    let receiver = Receiver::start(random.fork()).await;
    // Attempts whose gateway died count as well: there must be enough of them.
    site.flow(&receiver.url("/jobs"), json!({ "retry": { "delays_seconds": vec![0; 50] } })).await;
    let wanted =
        json!({ "url": receiver.url("/webhooks"), "event_types": ["order.*", "customer.*", "job.*"] });
    assert_eq!(site.post("/api/v1/portal/webhooks/subscribe", &wanted).await.status, 201);
    site.in_force().await;

    let street = Street::new(site.shop.clone(), receiver.clone(), stage.addresses());
    let shops = Shops::open(&street, (0..SHOPS).map(|_| random.fork()));
    let tenant_id = site.tenant.tenant_id;
    let readers: Vec<_> = (0..READERS).map(|_| witness::Reader::start(&database, tenant_id)).collect();
    let mut killed = 0;
    while killed < kills {
        // Each strike meets a system at work, some webhooks after the last one and at any moment between two.
        let (before, some) = (street.acknowledged(), random.below(20));
        until("webhooks are acknowledged after a kill", async || {
            shops.check();
            street.acknowledged() > before + some
        })
        .await;
        sleep(Duration::from_micros(random.below(50_000))).await;
        let victims = 1 + random.below((1 << (GATEWAYS + 1)) - 1);
        block_in_place(|| stage.strike(victims));
        street.move_to(stage.addresses());
        killed += u64::from(victims.count_ones());
    }
    let sent = shops.close().await;

    site.admin = database.admin().await;
    let witness = Witness { admin: &site.admin, tenant_id };
    witness.quiet().await;
    witness.every_webhook_is_one_event(&sent).await;
    witness.every_order_is_as_it_was_sent_last(&sent).await;
    witness.every_event_has_one_job(&sent).await;
    witness.everything_arrived(&receiver).await;
    for reader in readers {
        witness.a_reader_saw_everything_once(reader).await;
    }
    let (webhooks, tries) = (sent.webhooks(), street.tries());
    println!(
        "{killed} kills; {webhooks} webhooks, sent {tries} times; {} deliveries arrived",
        receiver.count()
    );
    assert!(tries > webhooks as u64 + sent.repeated, "no webhook had to be sent again: the kills met nobody");
}
