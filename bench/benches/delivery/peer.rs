//! Queues of others, which do one plain POST a job. They are installed into `$NEXUS_HOME/bench-peers` by npm.

use crate::Result;
use nexus_bench::sink::Sink;
use nexus_bench::{checkout, folder};
use nexus_tests::cluster::{Cluster, Database};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::sleep;
use tokio_postgres::Client;

const PAUSE: Duration = Duration::from_millis(5);

/// One of them, with a database of its own.
pub struct Peer {
    pub name: &'static str,
    /// Whether it has jobs that have not ended.
    has_work: &'static str,
    database: Database,
    admin: Client,
    folder: PathBuf,
}

impl Peer {
    /// Installs them, unless they are.
    pub async fn all(cluster: &Cluster) -> Result<Vec<Self>> {
        let folder = install()?;
        let mut peers = Vec::new();
        for (name, has_work) in [
            ("graphile-worker", "select exists (select from graphile_worker._private_jobs)"),
            ("pg-boss", "select exists (select from pgboss.job where state < 'completed')"),
        ] {
            let database = cluster.empty_database();
            let admin = database.admin().await;
            peers.push(Self { name, has_work, database, admin, folder: folder.clone() });
        }
        Ok(peers)
    }

    /// Queues so many jobs with this body and starts it: jobs a second, from the first that arrives until the last has
    /// ended in the database.
    pub async fn drain(&self, sink: &Sink, body: &Path, count: usize) -> Result<f64> {
        let filled = self.command("fill", sink, body, count).status()?;
        if !filled.success() {
            return Err(format!("{} could not be filled: {filled}", self.name).into());
        }
        self.admin.batch_execute("vacuum analyze").await?;
        sink.begin();
        let _working = Killed(self.command("work", sink, body, count).spawn()?);
        let first = sink.wait_for(count).await?;
        while self.admin.query_one(self.has_work, &[]).await?.get(0) {
            sleep(PAUSE).await;
        }
        let took = first.elapsed();
        if sink.arrived() != count {
            return Err(format!("{} made {} requests for {count} jobs", self.name, sink.arrived()).into());
        }
        Ok(count as f64 / took.as_secs_f64())
    }

    fn command(&self, what: &str, sink: &Sink, body: &Path, count: usize) -> Command {
        let mut command = Command::new("node");
        command
            .arg(self.folder.join(format!("{}.js", self.name)))
            .arg(what)
            .env("DATABASE_URL", &self.database.admin_url)
            .env("SINK_URL", sink.url("/now"))
            .env("BODY_FILE", body)
            .env("COUNT", count.to_string())
            .stdin(Stdio::null());
        command
    }
}

/// A process that does not outlive its bench.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn install() -> Result<PathBuf> {
    for program in ["node", "npm"] {
        let is_there = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        if !is_there.is_ok_and(|status| status.success()) {
            let message = format!(
                "there is no {program}: the peers of this bench run on Node 20 or newer; install it, with npm \
                 (Debian: apt-get install nodejs npm)"
            );
            return Err(message.into());
        }
    }
    let target = folder().with_file_name("bench-peers");
    fs::create_dir_all(&target)?;
    for entry in fs::read_dir(checkout().join("bench/peers"))? {
        let entry = entry?;
        fs::copy(entry.path(), target.join(entry.file_name()))?;
    }
    let options = ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
    let installed = Command::new("npm").args(options).current_dir(&target).stdout(Stdio::null()).status()?;
    match installed.success() {
        true => Ok(target),
        false => Err(format!("npm install in {} failed: {installed}", target.display()).into()),
    }
}
