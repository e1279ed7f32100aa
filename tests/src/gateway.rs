//! Gateways: the real program, as a process that can be stopped, killed and started again.

use crate::cluster::{Database, RUN, free_port};
use serde_json::Value;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The file with the master key of every gateway of this run.
static MASTER_KEY: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = RUN.dir.join("master.key");
    let output = bare_nexus().args(["admin", "generate-master-key", "--out"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
});

/// A running gateway.
pub struct Gateway {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub base_url: String,
}

impl Gateway {
    /// Starts a gateway on a database, both roles, and waits until it is ready.
    pub fn start(database: &Database) -> Self {
        Self::start_with(&database.gateway_url, &[("NEXUS_LISTEN_URL", &database.gateway_url)])
    }

    /// The same with settings beside the defaults of the tests.
    pub fn start_with(database_url: &str, settings: &[(&str, &str)]) -> Self {
        // A port that was free may be taken by the time it is listened on.
        for _ in 0..5 {
            let port = free_port();
            let log = RUN.dir.join(format!("gateway-{}.log", Uuid::new_v4().simple()));
            let file = fs::File::create(&log).unwrap();
            let child = nexus()
                .arg("serve")
                .env("DATABASE_URL", database_url)
                .env("NEXUS_PORT", port.to_string())
                .env("NEXUS_ALLOW_PRIVATE_TARGETS", "loopback")
                .envs(settings.iter().copied())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(file)
                .spawn()
                .unwrap();
            let is_tls = settings.iter().any(|(name, _)| *name == "NEXUS_TLS_CERT");
            let scheme = if is_tls { "https" } else { "http" };
            let mut gateway = Self { child, log, base_url: format!("{scheme}://127.0.0.1:{port}") };
            // With TLS that it listens is all that is seen from here.
            if gateway.until(|| if is_tls { listens(port) } else { is_ready(port) }) {
                return gateway;
            }
            let log = gateway.log();
            assert!(log.contains("cannot be listened on"), "the gateway did not become ready:\n{log}");
        }
        panic!("no free port was found");
    }

    fn until(&mut self, is_true: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + crate::wait::DEADLINE;
        while Instant::now() < deadline && self.child.try_wait().unwrap().is_none() {
            if is_true() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop.
    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Where it writes its log.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway at {}:\n{}", self.base_url, self.log());
        }
    }
}

/// Runs `nexus serve` where it cannot work, to its end.
pub fn serve_in_vain(settings: &[(&str, &str)]) -> Output {
    let mut child = nexus()
        .arg("serve")
        .env("NEXUS_PORT", free_port().to_string())
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + crate::wait::DEADLINE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("nexus serve did not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// The file with the master key of every gateway that is not given another.
pub fn master_key_file() -> &'static Path {
    &MASTER_KEY
}

/// A master key of this name, as a line of such a file.
pub fn new_master_key(id: &str) -> String {
    let path = RUN.dir.join(format!("{}.key", Uuid::new_v4().simple()));
    let made = bare_nexus().args(["admin", "generate-master-key", "--id", id, "--out"]).arg(&path).output();
    assert!(made.unwrap().status.success());
    fs::read_to_string(path).unwrap()
}

/// `nexus admin` as the superuser, with settings beside the defaults of the tests.
pub fn admin_command(database: &Database, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = nexus();
    command
        .args(["admin", "--json"])
        .args(arguments)
        .env("DATABASE_URL", &database.admin_url)
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs `nexus admin` as the superuser; what it prints.
pub fn admin(database: &Database, arguments: &[&str], input: &str) -> Value {
    try_admin(database, arguments, input).unwrap_or_else(|error| panic!("nexus admin {arguments:?}: {error}"))
}

/// The same where it may be refused; the error is what it writes then.
pub fn try_admin(database: &Database, arguments: &[&str], input: &str) -> Result<Value, String> {
    let mut child = admin_command(database, arguments, &[]).spawn().unwrap();
    // A command that reads no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn nexus() -> Command {
    let mut command = bare_nexus();
    command.env("NEXUS_MASTER_KEY_FILE", &*MASTER_KEY);
    command
}

/// The program in this run's directory, without settings of the surroundings.
fn bare_nexus() -> Command {
    let mut command = Command::new(RUN.program("nexus"));
    command.env_clear().current_dir(&RUN.dir);
    command
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// Whether /readyz answers 200.
fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
