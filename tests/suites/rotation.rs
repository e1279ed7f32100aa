//! The master key is replaced while webhooks and deliveries go on.

use nexus_tests::cluster::SHARED;
use nexus_tests::gateway::{Gateway, admin_command, master_key_file, new_master_key, serve_in_vain};
use nexus_tests::shop::{fresh_id, minute, shopify, shopify_order};
use nexus_tests::sink::Sink;
use nexus_tests::site::Site;
use nexus_tests::wait::until;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// A tenant with a flow: its data key seals what its shop signs with and what signs its jobs.
struct Shop<'a> {
    site: Site<'a>,
    signing_secret: String,
    path: String,
}

impl<'a> Shop<'a> {
    async fn create(database: &'a nexus_tests::cluster::Database, gateway: &Gateway, sink: &Sink) -> Self {
        let site = Site::create(database, gateway).await;
        let path = format!("/{}", site.tenant.tenant_id);
        let signing_secret = site.flow(&sink.url(&path), json!({})).await.secret;
        Self { site, signing_secret, path }
    }

    /// Sends an order, which must be taken in.
    async fn send(&self) {
        let order = shopify("orders/create", &shopify_order(fresh_id(), minute(1)), minute(1));
        let answer = self.site.send(&order).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// Waits for as many jobs; all of them must be signed as they were before.
    async fn has_delivered(&self, sink: &Sink, count: usize) {
        let received = sink.wait_for(&self.path, count).await;
        assert!(received.iter().all(|received| received.is_signed_with(&self.signing_secret)));
    }
}

#[tokio::test]
async fn a_master_key_is_replaced_while_traffic_flows() {
    let database = SHARED.database();
    let old = fs::read_to_string(master_key_file()).unwrap();
    let new = new_master_key("next");
    let (old_id, both) = (old.split(':').next().unwrap(), format!("{new}{old}"));
    let sink = Sink::start().await;
    let mut gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_MASTER_KEY", &both)]);
    let mut shops = Vec::new();
    for _ in 0..5 {
        shops.push(Shop::create(&database, &gateway, &sink).await);
    }
    let session = database.admin().await;
    let wrapped_by = async |id: &str| -> i64 {
        let sql = "select count(*) from nexus.tenant_data_key where master_key_id = $1";
        session.query_one(sql, &[&id]).await.unwrap().get(0)
    };
    assert_eq!(wrapped_by(old_id).await, 5);

    let ended = AtomicBool::new(false);
    let traffic = async {
        let mut rounds = 0;
        while !ended.load(Ordering::Relaxed) {
            futures_util::future::join_all(shops.iter().map(Shop::send)).await;
            rounds += 1;
        }
        rounds
    };
    let rotation = async {
        // Half-way it waits for the third tenant's data key, and is killed there.
        let mut blocker = database.admin().await;
        let held = blocker.transaction().await.unwrap();
        let hold = "select from nexus.tenant_data_key where tenant_id = $1 for update";
        held.execute(hold, &[&shops[2].site.tenant.tenant_id]).await.unwrap();
        let rotate = ["rotate-master-key", "--batch", "1"];
        let command = || admin_command(&database, &rotate, &[("NEXUS_MASTER_KEY", &both)]);
        let mut interrupted = tokio::process::Command::from(command()).spawn().unwrap();
        until("two data keys are wrapped anew", async || wrapped_by("next").await == 2).await;
        interrupted.kill().await.unwrap();
        held.rollback().await.unwrap();

        // Either key alone opens only a part: a gateway says which is missing, and does not start.
        for (held, missing) in [(&new, old_id), (&old, "next")] {
            let (url, held) = (database.gateway_url.clone(), held.clone());
            let refused = move || serve_in_vain(&[("DATABASE_URL", &url), ("NEXUS_MASTER_KEY", &held)]);
            let refused = tokio::task::spawn_blocking(refused).await.unwrap();
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(13), "{said}");
            assert!(said.contains(&format!("master key \"{missing}\"")), "{said}");
        }
        let resumed = tokio::process::Command::from(command()).output().await.unwrap();
        assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
        let done: Value = serde_json::from_slice(&resumed.stdout).unwrap();
        assert_eq!((&done["master_key_id"], &done["remaining"]), (&json!("next"), &json!(0)), "{done}");
        assert_eq!(wrapped_by("next").await, 5);
        ended.store(true, Ordering::Relaxed);
    };
    let (rounds, ()) = futures_util::join!(traffic, rotation);
    for shop in &shops {
        shop.has_delivered(&sink, rounds).await;
    }

    gateway.kill();
    let gateway = Gateway::start_with(&database.gateway_url, &[("NEXUS_MASTER_KEY", &new)]);
    for shop in &mut shops {
        shop.site.move_to(&gateway);
        shop.send().await;
        shop.has_delivered(&sink, rounds + 1).await;
    }
    let another = new_master_key("next");
    let refused = serve_in_vain(&[("DATABASE_URL", &database.gateway_url), ("NEXUS_MASTER_KEY", &another)]);
    assert_eq!(refused.status.code(), Some(13), "another key of that name opens nothing");
}

#[test]
fn a_master_key_is_for_its_owner_to_read() {
    let mode = fs::metadata(master_key_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
