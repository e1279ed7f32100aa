//! PostgreSQL clusters in a temporary directory, and databases in them.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use tokio_postgres::{Client, NoTls};
use url::Url;
use uuid::Uuid;

/// The directory of this run: clusters, keys, logs, and the working directory of what it starts.
pub static RUN: LazyLock<Run> = LazyLock::new(Run::begin);

/// The cluster that the suites share; each database in it is one suite's, or one test's.
pub static SHARED: LazyLock<Cluster> = LazyLock::new(|| Cluster::start("shared"));

/// A directory that is gone, with all that was started in it, when this process ends, however it ends.
pub struct Run {
    /// The directory.
    pub dir: PathBuf,
    /// The checkout, where the scripts are.
    pub checkout: PathBuf,
    /// Waits for the end of its standard input, which this process holds open.
    _reaper: Child,
}

impl Run {
    fn begin() -> Self {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let dir = std::env::temp_dir().join(format!("nexus-tests-{}", Uuid::new_v4().simple()));
        fs::create_dir(&dir).unwrap();
        // The unprivileged user that PostgreSQL runs as has to get to its cluster.
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        let script = r#"
            cat >/dev/null
            for process in /proc/[0-9]*; do
                [ "$process/cwd" -ef "$1" ] && [ "${process#/proc/}" != $$ ] && kill -KILL "${process#/proc/}"
            done
            for cluster in "$1"/cluster-*; do "$2/scripts/cluster.sh" stop "$cluster"; done
            rm -rf -- "$1""#;
        // A group of its own, so that Ctrl-C ends the tests and not what cleans up after them.
        let reaper = Command::new("bash")
            .args(["-c", script, "reaper"])
            .args([&dir, &checkout])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("bash starts");
        Self { dir, checkout, _reaper: reaper }
    }

    /// A program that was built with this one.
    pub fn program(&self, name: &str) -> PathBuf {
        let dir = std::env::var_os("NEXUS_BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
            let own = std::env::current_exe().unwrap();
            own.ancestors().nth(2).unwrap().to_owned()
        });
        let program = dir.join(name);
        assert!(program.is_file(), "there is no {}: run scripts/build.sh", program.display());
        program
    }
}

/// A running PostgreSQL server.
pub struct Cluster {
    dir: PathBuf,
    environment: HashMap<String, String>,
    /// Of the gateway's login.
    pub gateway_password: String,
}

impl Cluster {
    /// Creates and starts a cluster, and a database to copy others from.
    pub fn start(name: &str) -> Self {
        Self::start_with(name, "")
    }

    /// The same with lines of `postgresql.conf`.
    pub fn start_with(name: &str, options: &str) -> Self {
        let cluster = Self::start_empty(name, options);
        cluster.psql("postgres", &["-c", "create database nexus_template"]);
        let prepare = RUN.checkout.join("scripts/prepare-database.sql");
        cluster.psql("nexus_template", &["-f", prepare.to_str().unwrap()]);
        cluster
    }

    /// Creates and starts a cluster without anything of Nexus.
    pub fn start_empty(name: &str, options: &str) -> Self {
        let dir = RUN.dir.join(format!("cluster-{name}"));
        let options = format!("max_connections = 300\n{options}");
        run_script(&["start", dir.to_str().unwrap()], &options);
        let environment = environment_of(&dir);
        Self { dir, environment, gateway_password: Uuid::new_v4().simple().to_string() }
    }

    /// A copy of the whole cluster, as a backup is made. It does not run yet.
    pub fn backup(&self, name: &str) -> Self {
        let dir = RUN.dir.join(format!("cluster-{name}"));
        let (host, port, password) =
            (&self.environment["PGHOST"], &self.environment["PGPORT"], &self.environment["PGPASSWORD"]);
        // The log is fetched where the backup is recovered.
        let script = r#"source "$1/scripts/environment.sh"
            install -d -m 0700 -o "$SERVER_USER" "$2"
            as_server_user cp "$3/password" "$2/password"
            as_server_user "$PG_BINDIR/pg_basebackup" --pgdata="$2/data" --checkpoint=fast --wal-method=none \
                --no-manifest --dbname="$4""#;
        let url = format!("postgres://postgres:{password}@{host}:{port}/postgres");
        bash(script, &[&RUN.checkout, &dir, &self.dir, Path::new(&url)]);
        Self { dir, environment: HashMap::new(), gateway_password: self.gateway_password.clone() }
    }

    /// Starts a backup and recovers it from its origin's log, with these lines of `postgresql.conf`: to its end, as
    /// a standby is promoted, or to the target that they name. Returns when it can be written to.
    pub async fn recover_from(&mut self, origin: &Self, settings: &str) {
        let settings =
            format!("restore_command = 'cp {}/data/pg_wal/%f %p'\n{settings}\n", origin.dir.display());
        let prepare = r#"source "$1/scripts/environment.sh"
            as_server_user tee -a "$2/data/postgresql.auto.conf" <<<"$3" >/dev/null
            as_server_user touch "$2/data/recovery.signal""#;
        bash(prepare, &[&RUN.checkout, &self.dir, Path::new(&settings)]);
        script(&["start", self.dir.to_str().unwrap()]);
        self.environment = environment_of(&self.dir);
        crate::wait::until("the cluster is recovered", async || {
            self.run("psql", "postgres", &["--no-psqlrc", "-Atc", "select pg_is_in_recovery()"]).trim() == "f"
        })
        .await;
    }

    /// The copy here of a database of the cluster that this one is a backup of.
    pub fn the_same(&self, database: &Database) -> Database {
        self.address(database.name.clone())
    }

    /// Stops the server, as an operator would.
    pub fn stop(&self) {
        script(&["stop", self.dir.to_str().unwrap()]);
    }

    /// Ends the server as a power cut would: sessions break off, and the next start recovers from the WAL.
    pub fn crash(&self) {
        script(&["stop", self.dir.to_str().unwrap(), "immediate"]);
    }

    /// Starts it again, on the port it had.
    pub fn start_again(&self) {
        script(&["start", self.dir.to_str().unwrap(), &self.environment["PGPORT"]]);
    }

    /// What the server has logged since it was started.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("server.log")).unwrap()
    }

    /// One of PostgreSQL's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        Path::new(&self.environment["PG_BINDIR"]).join(name)
    }

    /// Runs one of them as the superuser; what it prints.
    pub fn run(&self, program: &str, database: &str, arguments: &[&str]) -> String {
        let output = Command::new(self.program(program))
            .args(arguments)
            .envs(&self.environment)
            .env("PGDATABASE", database)
            .env("NEXUS_GATEWAY_PASSWORD", &self.gateway_password)
            .output()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A new database with Nexus in it, ready for use.
    pub fn database(&self) -> Database {
        self.database_from("nexus_template")
    }

    /// A new database without Nexus.
    pub fn empty_database(&self) -> Database {
        self.database_from("template1")
    }

    /// A copy of a database as pg_dump makes it, in a file.
    pub fn dump(&self, database: &Database) -> PathBuf {
        let file = RUN.dir.join(format!("{}.dump", database.name));
        self.run("pg_dump", &database.name, &["--format=custom", "--file", file.to_str().unwrap()]);
        file
    }

    /// Reads such a file into a database.
    pub fn restore(&self, database: &Database, file: &Path) {
        self.run("pg_restore", "", &["--exit-on-error", "--dbname", &database.name, file.to_str().unwrap()]);
    }

    fn database_from(&self, template: &str) -> Database {
        let name = format!("nexus_{}", Uuid::new_v4().simple());
        self.psql("postgres", &["-c", &format!("create database {name} template {template}")]);
        self.address(name)
    }

    fn address(&self, name: String) -> Database {
        let (host, port) = (&self.environment["PGHOST"], &self.environment["PGPORT"]);
        let (password, gateway_password) = (&self.environment["PGPASSWORD"], &self.gateway_password);
        Database {
            admin_url: format!("postgres://postgres:{password}@{host}:{port}/{name}"),
            gateway_url: format!("postgres://nexus_gateway_login:{gateway_password}@{host}:{port}/{name}"),
            name,
        }
    }

    fn psql(&self, database: &str, arguments: &[&str]) {
        // Two databases cannot be copied from one template at the same time.
        static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock();
        self.run(
            "psql",
            database,
            &[&["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"], arguments].concat(),
        );
    }
}

/// A database of a cluster.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// As the superuser.
    pub admin_url: String,
    /// As the gateway.
    pub gateway_url: String,
}

impl Database {
    /// A session of the superuser.
    pub async fn admin(&self) -> Client {
        connect(&self.admin_url).await
    }

    /// The URL of another login.
    pub fn url_of(&self, role: &str, password: &str) -> String {
        let mut url = Url::parse(&self.admin_url).unwrap();
        url.set_username(role).and_then(|()| url.set_password(Some(password))).unwrap();
        url.into()
    }
}

/// A session.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database answers");
    tokio::spawn(connection);
    client
}

/// A port nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

fn environment_of(dir: &Path) -> HashMap<String, String> {
    script(&["env", dir.to_str().unwrap()])
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Runs a script, with arguments from `$1` on.
fn bash(script: &str, arguments: &[&Path]) {
    let output = Command::new("bash").args(["-euc", script, "bash"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn script(arguments: &[&str]) -> String {
    run_script(arguments, "")
}

fn run_script(arguments: &[&str], options: &str) -> String {
    let output = Command::new(RUN.checkout.join("scripts/cluster.sh"))
        .args(arguments)
        .env("CLUSTER_OPTIONS", options)
        .output()
        .expect("scripts/cluster.sh starts");
    assert!(
        output.status.success(),
        "scripts/cluster.sh {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
