//! pgbouncer in transaction mode, on a free port.

use crate::cluster::{Database, RUN, free_port};
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use url::Url;
use uuid::Uuid;

/// A running pgbouncer.
pub struct Pooler {
    child: Child,
    port: u16,
    /// The database through it, as the first of its logins.
    pub url: String,
}

impl Pooler {
    /// Starts one before a database for the gateway, with fewer connections to the server than a gateway opens.
    pub fn start(database: &Database) -> Self {
        Self::start_for(&[&database.gateway_url], 3)
    }

    /// Starts one for logins of a server, each with so many connections to it. They are given by their URLs.
    pub fn start_for(logins: &[&str], pool_size: usize) -> Self {
        let urls: Vec<Url> = logins.iter().map(|login| Url::parse(login).unwrap()).collect();
        let (server, port) = (urls[0].port().unwrap(), free_port());
        let user = |url: &Url| format!("\"{}\" \"{}\"\n", url.username(), url.password().unwrap_or_default());
        let name = format!("pgbouncer-{}", Uuid::new_v4().simple());
        let (settings, users) = (RUN.dir.join(format!("{name}.ini")), RUN.dir.join(format!("{name}.users")));
        fs::write(&users, urls.iter().map(user).collect::<String>()).unwrap();
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = plain\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = {pool_size}\n",
            users.display()
        );
        fs::write(&settings, text).unwrap();
        // As root it refuses to run; the owner of the cluster is the right one.
        let cluster = fs::metadata(RUN.dir.join("cluster-shared")).unwrap();
        let mut command = Command::new("pgbouncer");
        command.arg("--quiet").arg(&settings).current_dir(&RUN.dir);
        // sbin is not on an ordinary user's PATH.
        command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        if fs::metadata("/proc/self").unwrap().uid() != cluster.uid() {
            command.uid(cluster.uid()).gid(cluster.gid());
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("pgbouncer starts: scripts/setup.sh pgbouncer installs it");
        let mut pooler = Self { child, port, url: String::new() };
        pooler.url = pooler.url_of(logins[0]);
        pooler.wait_until_open(port);
        pooler
    }

    /// The URL of a login, through it.
    pub fn url_of(&self, login: &str) -> String {
        let mut url = Url::parse(login).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    fn wait_until_open(&mut self, port: u16) {
        let deadline = Instant::now() + crate::wait::DEADLINE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(self.child.try_wait().unwrap().is_none(), "pgbouncer ended: what it wrote says why");
            assert!(Instant::now() < deadline, "pgbouncer does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
