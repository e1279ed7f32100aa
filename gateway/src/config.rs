//! Settings: from flags, the environment and `nexus.toml`, in that order. `docs/configuration.md` lists them.

use crate::dispatcher::target::Allowed;
use crate::error::StartError;
use nexus_core::secret::MasterKey;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};
use url::Url;
use zeroize::Zeroizing;

/// A setting that must not be printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Masked(Zeroizing<String>);

impl Masked {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Masked {
    fn from(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }
}

impl std::str::FromStr for Masked {
    type Err = std::convert::Infallible;

    fn from_str(secret: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(secret.to_owned())))
    }
}

impl fmt::Debug for Masked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Webhooks and the REST API.
    Api,
    /// Deliveries.
    Dispatcher,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Settings as one source gives them; what is absent is left to the next source.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    /// Where the database is: postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Masked>,
    /// Certificate authorities for the database, PEM, beside the system's own
    #[arg(long, env = "NEXUS_DATABASE_CA_FILE")]
    pub database_ca_file: Option<PathBuf>,
    /// A direct connection for LISTEN, where DATABASE_URL goes through a pooler; without one: polling
    #[arg(long, env = "NEXUS_LISTEN_URL", hide_env_values = true)]
    pub listen_url: Option<Masked>,
    /// Whether dispatchers of other processes are woken by NOTIFY, and this one by theirs; else they poll [default: true]
    #[arg(long, env = "NEXUS_DOORBELL")]
    pub doorbell: Option<bool>,
    /// What this process does [default: api,dispatcher]
    #[arg(long, env = "NEXUS_ROLES", value_delimiter = ',')]
    pub roles: Option<Vec<Role>>,
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long, env = "NEXUS_HOST")]
    pub host: Option<IpAddr>,
    /// The port to listen on [default: 8080]
    #[arg(long, env = "NEXUS_PORT")]
    pub port: Option<u16>,
    /// How others reach the gateway: the beginning of callback URLs [default: http://host:port]
    #[arg(long, env = "NEXUS_PUBLIC_URL")]
    pub public_url: Option<Url>,
    /// Master keys as id:base64, separated by commas; the first seals (no flag: others could read it)
    #[arg(skip)]
    pub master_key: Option<Masked>,
    /// A file with master keys, one a line
    #[arg(long, env = "NEXUS_MASTER_KEY_FILE")]
    pub master_key_file: Option<PathBuf>,
    /// Addresses deliveries may go to although they are not public: `loopback` or CIDR blocks
    #[arg(long, env = "NEXUS_ALLOW_PRIVATE_TARGETS", value_delimiter = ',')]
    pub allow_private_targets: Option<Vec<String>>,
    /// The largest request body, in bytes [default: 1048576]
    #[arg(long, env = "NEXUS_MAX_BODY_BYTES")]
    pub max_body_bytes: Option<usize>,
    /// How long a request's headers, and then its body, may take to arrive, in seconds; idle connections stay as long [default: 30]
    #[arg(long, env = "NEXUS_READ_SECONDS")]
    pub read_seconds: Option<u32>,
    /// Connections that are served at a time; more wait to be accepted [default: 10000]
    #[arg(long, env = "NEXUS_MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,
    /// Webhooks a second that one connector may send to this process, ten seconds' worth at once; 0: no limit [default: 5000]
    #[arg(long, env = "NEXUS_HOOK_RATE")]
    pub hook_rate: Option<u32>,
    /// Requests a second that one API key may make of this process, ten seconds' worth at once; 0: no limit [default: 500]
    #[arg(long, env = "NEXUS_API_RATE")]
    pub api_rate: Option<u32>,
    /// The certificate chain to serve TLS with, PEM; without one HTTP is served as it is
    #[arg(long, env = "NEXUS_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, env = "NEXUS_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Connections that take webhooks in [default: one for each core, at least 2]
    #[arg(long, env = "NEXUS_INGEST_CONNECTIONS")]
    pub ingest_connections: Option<usize>,
    /// Connections for everything else [default: 8]
    #[arg(long, env = "NEXUS_POOL_SIZE")]
    pub pool_size: Option<usize>,
    /// Deliveries under way at a time [default: 512]
    #[arg(long, env = "NEXUS_DISPATCH_SLOTS")]
    pub dispatch_slots: Option<usize>,
    /// Deliveries under way at a time to one flow or subscription [default: 16]
    #[arg(long, env = "NEXUS_DESTINATION_SLOTS")]
    pub destination_slots: Option<usize>,
    /// WebSocket streams that one tenant may have open at this process; 0: no limit [default: 100]
    #[arg(long, env = "NEXUS_STREAMS_PER_TENANT")]
    pub streams_per_tenant: Option<usize>,
    /// How often a stream sends a heartbeat, and how long its client may take nothing, in seconds [default: 15]
    #[arg(long, env = "NEXUS_STREAM_HEARTBEAT_SECONDS")]
    pub stream_heartbeat_seconds: Option<u32>,
    /// How often the dispatcher looks for work of which no doorbell told, in seconds [default: 1]
    #[arg(long, env = "NEXUS_POLL_SECONDS")]
    pub poll_seconds: Option<u32>,
    /// How long a delivery stays with a dispatcher that is not heard of, in seconds [default: 60]
    #[arg(long, env = "NEXUS_LEASE_SECONDS")]
    pub lease_seconds: Option<u32>,
    /// How long deliveries may take to end when the gateway stops, in seconds [default: 20]
    #[arg(long, env = "NEXUS_SHUTDOWN_SECONDS")]
    pub shutdown_seconds: Option<u64>,
    /// How log lines are written [default: text]
    #[arg(long, env = "NEXUS_LOG")]
    pub log: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, or per module as in nexus=debug,warn [default: info]
    #[arg(long, env = "NEXUS_LOG_LEVEL")]
    pub log_level: Option<String>,
}

/// Settings, complete.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `DATABASE_URL`; commands that need it say so when it is absent.
    pub database_url: Option<Masked>,
    pub database_ca_file: Option<PathBuf>,
    pub listen_url: Option<Masked>,
    pub doorbell: bool,
    pub roles: BTreeSet<Role>,
    pub host: IpAddr,
    pub port: u16,
    /// Without a slash at its end.
    pub public_url: String,
    pub master_key: Option<Masked>,
    pub master_key_file: Option<PathBuf>,
    pub allow_private_targets: Allowed,
    pub max_body_bytes: usize,
    /// For a request's headers, and for its body.
    pub read_timeout: Duration,
    /// Connections that are served at a time.
    pub max_connections: usize,
    /// Webhooks a second of one connector; 0: no limit.
    pub hook_rate: u32,
    /// Requests a second of one API key; 0: no limit.
    pub api_rate: u32,
    /// Certificate chain and private key, PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
    pub ingest_connections: usize,
    pub pool_size: usize,
    pub dispatch_slots: usize,
    pub destination_slots: usize,
    /// 0: no limit.
    pub streams_per_tenant: usize,
    pub stream_heartbeat: Duration,
    pub poll: Duration,
    pub lease: Duration,
    pub shutdown: Duration,
    pub log: LogFormat,
    pub log_level: String,
}

impl Given {
    /// These, and where one is absent the other's.
    fn or(self, other: Self) -> Self {
        // The two say the same thing in two ways, so they come from one source.
        let has_key = self.master_key.is_some() || self.master_key_file.is_some();
        let (master_key, master_key_file) = match has_key {
            true => (self.master_key, self.master_key_file),
            false => (other.master_key, other.master_key_file),
        };
        Self {
            database_url: self.database_url.or(other.database_url),
            database_ca_file: self.database_ca_file.or(other.database_ca_file),
            listen_url: self.listen_url.or(other.listen_url),
            doorbell: self.doorbell.or(other.doorbell),
            roles: self.roles.or(other.roles),
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            public_url: self.public_url.or(other.public_url),
            master_key,
            master_key_file,
            allow_private_targets: self.allow_private_targets.or(other.allow_private_targets),
            max_body_bytes: self.max_body_bytes.or(other.max_body_bytes),
            read_seconds: self.read_seconds.or(other.read_seconds),
            max_connections: self.max_connections.or(other.max_connections),
            hook_rate: self.hook_rate.or(other.hook_rate),
            api_rate: self.api_rate.or(other.api_rate),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            ingest_connections: self.ingest_connections.or(other.ingest_connections),
            pool_size: self.pool_size.or(other.pool_size),
            dispatch_slots: self.dispatch_slots.or(other.dispatch_slots),
            destination_slots: self.destination_slots.or(other.destination_slots),
            streams_per_tenant: self.streams_per_tenant.or(other.streams_per_tenant),
            stream_heartbeat_seconds: self.stream_heartbeat_seconds.or(other.stream_heartbeat_seconds),
            poll_seconds: self.poll_seconds.or(other.poll_seconds),
            lease_seconds: self.lease_seconds.or(other.lease_seconds),
            shutdown_seconds: self.shutdown_seconds.or(other.shutdown_seconds),
            log: self.log.or(other.log),
            log_level: self.log_level.or(other.log_level),
        }
    }

    /// Completes flags and environment from `nexus.toml` and the defaults. Without `file`, `nexus.toml` in
    /// the working directory is read if there is one.
    pub fn complete(mut self, file: Option<&Path>) -> Result<Settings, StartError> {
        let from_environment = std::env::var("NEXUS_MASTER_KEY").ok().filter(|key| !key.trim().is_empty());
        self.master_key = from_environment.map(Masked::from);
        // An empty variable is how compose files and unit files say "not set".
        self.database_url = self.database_url.filter(|url| !url.reveal().is_empty());
        self.listen_url = self.listen_url.filter(|url| !url.reveal().is_empty());
        self.or(read_file(file)?).with_defaults()
    }

    fn with_defaults(self) -> Result<Settings, StartError> {
        let host = self.host.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let port = self.port.unwrap_or(8080);
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(StartError::settings(
                    "NEXUS_TLS_CERT and NEXUS_TLS_KEY go together; set both or none",
                ));
            }
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let own_url = || match host {
            IpAddr::V4(host) => format!("{scheme}://{host}:{port}"),
            IpAddr::V6(host) => format!("{scheme}://[{host}]:{port}"),
        };
        let allowed = self.allow_private_targets.unwrap_or_default();
        let at_least_one = |name: &str, number: usize| match number {
            0 => Err(StartError::settings(format!("{name} is 0; it must be at least 1"))),
            number => Ok(number),
        };
        let some_seconds = |name: &str, seconds: u32| {
            at_least_one(name, usize::try_from(seconds).unwrap_or(usize::MAX))?;
            Ok::<_, StartError>(Duration::from_secs(seconds.into()))
        };
        Ok(Settings {
            database_url: self.database_url,
            database_ca_file: self.database_ca_file,
            listen_url: self.listen_url,
            doorbell: self.doorbell.unwrap_or(true),
            roles: self
                .roles
                .map_or([Role::Api, Role::Dispatcher].into(), |roles| roles.into_iter().collect()),
            host,
            port,
            public_url: self
                .public_url
                .map_or_else(own_url, |url| url.as_str().trim_end_matches('/').to_owned()),
            master_key: self.master_key,
            master_key_file: self.master_key_file,
            allow_private_targets: Allowed::parse(allowed.iter().map(String::as_str))
                .map_err(|reason| StartError::settings(format!("NEXUS_ALLOW_PRIVATE_TARGETS: {reason}")))?,
            max_body_bytes: self.max_body_bytes.unwrap_or(1 << 20),
            read_timeout: some_seconds("NEXUS_READ_SECONDS", self.read_seconds.unwrap_or(30))?,
            max_connections: at_least_one("NEXUS_MAX_CONNECTIONS", self.max_connections.unwrap_or(10_000))?,
            hook_rate: self.hook_rate.unwrap_or(5000),
            api_rate: self.api_rate.unwrap_or(500),
            tls,
            ingest_connections: at_least_one(
                "NEXUS_INGEST_CONNECTIONS",
                self.ingest_connections.unwrap_or_else(own_cores),
            )?,
            pool_size: at_least_one("NEXUS_POOL_SIZE", self.pool_size.unwrap_or(8))?,
            dispatch_slots: at_least_one("NEXUS_DISPATCH_SLOTS", self.dispatch_slots.unwrap_or(512))?,
            destination_slots: at_least_one("NEXUS_DESTINATION_SLOTS", self.destination_slots.unwrap_or(16))?,
            streams_per_tenant: self.streams_per_tenant.unwrap_or(100),
            stream_heartbeat: some_seconds(
                "NEXUS_STREAM_HEARTBEAT_SECONDS",
                self.stream_heartbeat_seconds.unwrap_or(15),
            )?,
            poll: some_seconds("NEXUS_POLL_SECONDS", self.poll_seconds.unwrap_or(1))?,
            lease: some_seconds("NEXUS_LEASE_SECONDS", self.lease_seconds.unwrap_or(60))?,
            shutdown: Duration::from_secs(self.shutdown_seconds.unwrap_or(20)),
            log: self.log.unwrap_or(LogFormat::Text),
            log_level: self.log_level.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

impl Settings {
    /// Where the database is.
    pub fn database_url(&self) -> Result<&Masked, StartError> {
        self.database_url.as_ref().ok_or_else(|| {
            StartError::settings("DATABASE_URL is not set; set it to postgres://user:password@host/database")
        })
    }

    /// The master keys, from the setting or the file.
    pub fn master_keys(&self) -> Result<Vec<MasterKey>, StartError> {
        let text = match (&self.master_key, &self.master_key_file) {
            (Some(key), _) => Zeroizing::new(key.reveal().to_owned()),
            (None, Some(file)) => fs::read_to_string(file).map(Zeroizing::new).map_err(|error| {
                StartError::master_key(format!(
                    "the master key file {} cannot be read: {error}",
                    file.display()
                ))
            })?,
            (None, None) => Zeroizing::default(),
        };
        MasterKey::parse_all(&text).map_err(|error| {
            StartError::master_key(match &error.hint {
                Some(hint) => format!("{error}; {hint}"),
                None => error.to_string(),
            })
        })
    }

    /// The settings as `nexus.toml` would hold them, secrets masked; what is not set is left out.
    pub fn masked(&self) -> toml::Table {
        let number = |number: usize| toml::Value::from(i64::try_from(number).unwrap_or(i64::MAX));
        let seconds = |time: Duration| toml::Value::from(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
        let path = |path: &PathBuf| path.display().to_string().into();
        let role = |role: &Role| match role {
            Role::Api => "api".into(),
            Role::Dispatcher => "dispatcher".into(),
        };
        let log = match self.log {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let settings: [(&str, Option<toml::Value>); 29] = [
            ("database_url", self.database_url.as_ref().map(|url| masked_url(url).into())),
            ("database_ca_file", self.database_ca_file.as_ref().map(path)),
            ("listen_url", self.listen_url.as_ref().map(|url| masked_url(url).into())),
            ("doorbell", Some(self.doorbell.into())),
            ("roles", Some(toml::Value::Array(self.roles.iter().map(role).collect()))),
            ("host", Some(self.host.to_string().into())),
            ("port", Some(i64::from(self.port).into())),
            ("public_url", Some(self.public_url.clone().into())),
            ("master_key", self.master_key.as_ref().map(|_| "***".into())),
            ("master_key_file", self.master_key_file.as_ref().map(path)),
            ("allow_private_targets", Some(self.allow_private_targets.names().into())),
            ("max_body_bytes", Some(number(self.max_body_bytes))),
            ("read_seconds", Some(seconds(self.read_timeout))),
            ("max_connections", Some(number(self.max_connections))),
            ("hook_rate", Some(i64::from(self.hook_rate).into())),
            ("api_rate", Some(i64::from(self.api_rate).into())),
            ("tls_cert", self.tls.as_ref().map(|(certificate, _)| path(certificate))),
            ("tls_key", self.tls.as_ref().map(|(_, key)| path(key))),
            ("ingest_connections", Some(number(self.ingest_connections))),
            ("pool_size", Some(number(self.pool_size))),
            ("dispatch_slots", Some(number(self.dispatch_slots))),
            ("destination_slots", Some(number(self.destination_slots))),
            ("streams_per_tenant", Some(number(self.streams_per_tenant))),
            ("stream_heartbeat_seconds", Some(seconds(self.stream_heartbeat))),
            ("poll_seconds", Some(seconds(self.poll))),
            ("lease_seconds", Some(seconds(self.lease))),
            ("shutdown_seconds", Some(seconds(self.shutdown))),
            ("log", Some(log.into())),
            ("log_level", Some(self.log_level.clone().into())),
        ];
        settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// A batch keeps about one core of the database busy; where that has more of them, a setting says so.
fn own_cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).max(2)
}

fn read_file(file: Option<&Path>) -> Result<Given, StartError> {
    let path = file.unwrap_or(Path::new("nexus.toml"));
    let text = match fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => {
            return Ok(Given::default());
        }
        Err(error) => {
            return Err(StartError::settings(format!("{} cannot be read: {error}", path.display())));
        }
    };
    toml::from_str(&text).map_err(|error| {
        // Not the whole error: it would quote the line, which may hold a secret.
        StartError::settings(format!("{}: {}", path.display(), error.message()))
    })
}

/// A connection URL without its password.
fn masked_url(url: &Masked) -> String {
    let Ok(mut url) = Url::parse(url.reveal()) else { return "***".to_owned() };
    if url.cannot_be_a_base() || url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if pairs.iter().any(|(name, _)| name == "password") {
        let masked = pairs.iter().map(|(name, value)| (name, if name == "password" { "***" } else { value }));
        url.query_pairs_mut().clear().extend_pairs(masked);
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(toml: &str) -> Given {
        toml::from_str(toml).expect("settings")
    }

    #[test]
    fn the_earlier_source_wins() {
        let settings = given("port = 9000").or(given("port = 9001\nhost = \"0.0.0.0\"")).with_defaults();
        let settings = settings.expect("complete");
        assert_eq!((settings.port, settings.public_url.as_str()), (9000, "http://0.0.0.0:9000"));
    }

    #[test]
    fn passwords_are_masked() {
        for (url, shown) in [
            ("postgres://nexus:hunter2@db/nexus", "postgres://nexus:***@db/nexus"),
            ("postgres://db/nexus?user=a&password=hunter2", "postgres://db/nexus?user=a&password=***"),
            ("host=db password=hunter2", "***"),
            ("postgres://nexus@db/nexus", "postgres://nexus@db/nexus"),
        ] {
            assert_eq!(masked_url(&Masked::from(url.to_owned())), shown);
        }
        let settings =
            Given { database_url: Some("postgres://a:hunter2@b/c".to_owned().into()), ..Given::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn a_mistake_in_a_setting_names_it() {
        let refused = given("allow_private_targets = [\"10.0.0.0/33\"]").with_defaults();
        assert!(refused.expect_err("no such block").to_string().contains("10.0.0.0/33"));
        assert!(given("pool_size = 0").with_defaults().is_err());
    }
}
