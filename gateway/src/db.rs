//! Connections to the database.
//!
//! Everything goes through unnamed statements and single transactions, so that a pooler in transaction mode
//! may stand between (Debian's pgbouncer 1.18 knows no named prepared statements). No session holds state.

use crate::config::{Masked, Settings};
use crate::error::{Chain, Error, StartError, Trouble};
use crate::sql;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

/// A statement's parameters with their types: what an unnamed statement needs.
pub type Parameters<'a> = [(&'a (dyn ToSql + Sync), Type)];

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement may take before it counts as lost. The server gives up earlier where it can.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a transaction is tried that others are in the way of.
const CONFLICT_ATTEMPTS: u32 = 4;
/// Before the second attempt; before each later one as much more.
const CONFLICT_PAUSE: Duration = Duration::from_millis(10);

/// Connections of one purpose.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
}

/// Where to connect to, and how.
#[derive(Clone)]
pub struct Target {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
}

impl Target {
    /// Reads a connection URL, as libpq writes it.
    ///
    /// `sslmode` is stricter than libpq's: `require` verifies the certificate, as `verify-full` does there;
    /// `prefer`, the default, does not use TLS.
    pub fn new(url: &Masked, ca_file: Option<&Path>) -> Result<Self, StartError> {
        let unusable = |error: String| {
            StartError::settings(format!(
                "the database URL cannot be used: {error}; write postgres://user:password@host/database"
            ))
        };
        let text = url.reveal().replace("sslmode=verify-full", "sslmode=require");
        let text =
            text.replace("sslmode=verify-ca", "sslmode=require").replace("sslmode=allow", "sslmode=prefer");
        let mut config: tokio_postgres::Config =
            text.parse().map_err(|error| unusable(Chain(&error).to_string()))?;
        if config.get_hosts().is_empty() {
            return Err(unusable("it names no host".to_owned()));
        }
        if config.get_application_name().is_none() {
            config.application_name("nexus");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Require => Some(tls(ca_file)?),
            _ => {
                config.ssl_mode(SslMode::Disable);
                None
            }
        };
        Ok(Self { config, tls })
    }

    fn pool(&self, size: usize) -> Result<Pool, StartError> {
        // Fast: ask the connection whether it is closed, not the server.
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), manager_config),
            None => Manager::from_config(self.config.clone(), NoTls, manager_config),
        };
        Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(|error| StartError::settings(format!("no connection pool: {error}")))
    }

    /// Listens on the doorbell's channel and calls `rung` for each ring, until the connection ends; `attend` may use
    /// the session meanwhile.
    pub async fn listen(
        &self,
        rung: impl Fn(),
        attend: impl AsyncFnOnce(&Client) -> Result<(), tokio_postgres::Error>,
    ) -> Result<(), tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                run_listener(client, connection, rung, attend).await
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                run_listener(client, connection, rung, attend).await
            }
        }
    }
}

async fn run_listener<S, T>(
    client: Client,
    mut connection: tokio_postgres::Connection<S, T>,
    rung: impl Fn(),
    attend: impl AsyncFnOnce(&Client) -> Result<(), tokio_postgres::Error>,
) -> Result<(), tokio_postgres::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let messages = async {
        while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message? {
                rung();
            }
        }
        Ok(())
    };
    let listening = async {
        client.batch_execute(sql::LISTEN).await?;
        attend(&client).await
    };
    tokio::select! {
        ended = messages => ended,
        failed = listening => failed,
    }
}

impl Database {
    /// A pool of at most `size` connections; none is made yet.
    pub fn new(settings: &Settings, size: usize) -> Result<Self, StartError> {
        let target = Target::new(settings.database_url()?, settings.database_ca_file.as_deref())?;
        Ok(Self { pool: target.pool(size)? })
    }

    /// Connects once, so that a wrong URL is known at the start.
    pub async fn check(&self) -> Result<(), StartError> {
        self.pool.get().await.map(drop).map_err(|error| {
            let reason = match &error {
                deadpool_postgres::PoolError::Backend(error) => Chain(error).to_string(),
                deadpool_postgres::PoolError::Timeout(_) => "it does not answer".to_owned(),
                error => error.to_string(),
            };
            StartError::database(format!(
                "no connection to the database: {reason}; check DATABASE_URL and that the server runs"
            ))
        })
    }

    /// Runs a statement in a transaction of its own.
    pub async fn rows(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>, Failure> {
        Transaction { setup: None, sql, parameters }.run_bounded(self.pool.get().await?).await
    }

    /// Runs a statement that gives exactly one row.
    pub async fn row(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Row, Failure> {
        self.rows(sql, parameters).await?.into_iter().next().ok_or(Failure::Empty)
    }

    /// Reads as a tenant's environment, under row-level security.
    pub async fn read(
        &self,
        tenant_id: Uuid,
        environment_id: Uuid,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        self.read_scoped(tenant_id.to_string(), environment_id.to_string(), sql, parameters).await
    }

    /// Reads as a tenant, in all its environments.
    pub async fn read_tenant(
        &self,
        tenant_id: Uuid,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        self.read_scoped(tenant_id.to_string(), String::new(), sql, parameters).await
    }

    /// One round trip: the transaction's four statements are sent together.
    async fn read_scoped(
        &self,
        tenant_id: String,
        environment_id: String,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, Error> {
        let scope: &Parameters<'_> = &[(&tenant_id, Type::TEXT), (&environment_id, Type::TEXT)];
        let setup = Some(Setup { begin: sql::BEGIN_READ, statement: sql::SCOPE, parameters: scope });
        Ok(Transaction { setup, sql, parameters }.run_bounded(self.pool.get().await?).await?)
    }

    /// Runs a statement in a transaction of its own for somebody whom the activity log is to name; nobody
    /// (empty) is the login. One round trip, as for reads.
    pub async fn act(
        &self,
        actor: &str,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Vec<Row>, Failure> {
        let actor: &Parameters<'_> = &[(&actor, Type::TEXT)];
        let setup = Some(Setup { begin: sql::BEGIN, statement: sql::ACTOR, parameters: actor });
        Transaction { setup, sql, parameters }.run_bounded(self.pool.get().await?).await
    }

    /// The same for a statement that gives exactly one row.
    pub async fn act_for_one(
        &self,
        actor: &str,
        sql: &str,
        parameters: &Parameters<'_>,
    ) -> Result<Row, Failure> {
        self.act(actor, sql, parameters).await?.into_iter().next().ok_or(Failure::Empty)
    }

    /// Runs the regular upkeep: what was done, and how much.
    pub async fn maintain(&self) -> Result<Vec<(String, Option<String>)>, Failure> {
        let rows = self.rows(sql::MAINTAIN, &[]).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    /// Rewrites some of what merges left; how much, and 0 once nothing is left.
    pub async fn follow_moves(&self) -> Result<i64, Failure> {
        Ok(self.row(sql::FOLLOW_MOVES, &[]).await?.try_get(0)?)
    }

    /// Runs a statement in a transaction of its own, however long it takes.
    pub async fn rows_unbounded(&self, sql: &str, parameters: &Parameters<'_>) -> Result<Vec<Row>, Failure> {
        Ok(Transaction { setup: None, sql, parameters }.run(&self.pool.get().await?).await?)
    }

    /// A connection for statements that belong to one session.
    pub async fn client(&self) -> Result<Object, Failure> {
        Ok(self.pool.get().await?)
    }

    /// Connections in use and open.
    pub fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.size)
    }
}

/// A statement in a transaction of its own.
struct Transaction<'a> {
    setup: Option<Setup<'a>>,
    sql: &'a str,
    parameters: &'a Parameters<'a>,
}

/// What precedes it.
struct Setup<'a> {
    begin: &'static str,
    statement: &'static str,
    parameters: &'a Parameters<'a>,
}

impl Transaction<'_> {
    /// Runs it on a connection. One that does not answer in time is not used again: its answer could come when another
    /// waits.
    async fn run_bounded(&self, client: Object) -> Result<Vec<Row>, Failure> {
        match timeout(STATEMENT_TIMEOUT, self.run(&client)).await {
            Ok(done) => Ok(done?),
            Err(_) => {
                drop(Object::take(client));
                Err(Failure::Timeout)
            }
        }
    }

    /// Runs it, and again if others were in its way: then nothing of it was done.
    async fn run(&self, client: &Object) -> Result<Vec<Row>, tokio_postgres::Error> {
        for attempt in 1..CONFLICT_ATTEMPTS {
            match self.run_once(client).await {
                Err(error) if Trouble::of(&error) == Trouble::Conflict => {
                    tracing::debug!(error = %Chain(&error), "another transaction was in the way");
                    sleep(CONFLICT_PAUSE * attempt).await;
                }
                ended => return ended,
            }
        }
        self.run_once(client).await
    }

    async fn run_once(&self, client: &Object) -> Result<Vec<Row>, tokio_postgres::Error> {
        let Some(setup) = &self.setup else { return client.query_typed(self.sql, self.parameters).await };
        let (_, _, rows, _) = futures_util::try_join!(
            client.batch_execute(setup.begin),
            client.query_typed(setup.statement, setup.parameters),
            client.query_typed(self.sql, self.parameters),
            client.batch_execute(sql::COMMIT),
        )?;
        Ok(rows)
    }
}

/// Why a statement gave no rows.
#[derive(Debug)]
pub enum Failure {
    /// The server's or the connection's error.
    Database(tokio_postgres::Error),
    /// No connection.
    Pool(deadpool_postgres::PoolError),
    /// No answer in time. Whether it was done is unknown.
    Timeout,
    /// No row where there is always one.
    Empty,
}

impl Failure {
    /// What the failure says about trying again.
    pub fn trouble(&self) -> Trouble {
        match self {
            Failure::Database(error) => Trouble::of(error),
            Failure::Pool(deadpool_postgres::PoolError::Backend(error)) => Trouble::of(error),
            Failure::Pool(_) | Failure::Timeout => Trouble::Away,
            Failure::Empty => Trouble::Other,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Database(error) => Chain(error).fmt(formatter),
            Failure::Pool(error) => Chain(error).fmt(formatter),
            Failure::Timeout => formatter.write_str("no answer in time"),
            Failure::Empty => formatter.write_str("a statement gave no row"),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl From<deadpool_postgres::PoolError> for Failure {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Pool(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) => error.into(),
            Failure::Pool(error) => error.into(),
            Failure::Timeout => Self::database_unavailable(),
            Failure::Empty => Self::new(nexus_core::error::Code::Internal, "the database gave no answer"),
        }
    }
}

fn tls(ca_file: Option<&Path>) -> Result<MakeRustlsConnect, StartError> {
    let mut roots = rustls::RootCertStore::empty();
    // A certificate of the system that cannot be read leaves the others in force.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let unreadable = |error: &dyn std::fmt::Display| {
            StartError::settings(format!("the certificate file {} cannot be used: {error}", file.display()))
        };
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
            let certificate = certificate.map_err(|error| unreadable(&error))?;
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::settings(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Waits for a future that is expected to end soon, and says so when it does not.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout(limit, work).await.unwrap_or(Err(Failure::Timeout))
}
