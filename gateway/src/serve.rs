//! `nexus serve`: checks that everything is there, starts the parts, and stops them in order.

use crate::app::App;
use crate::body::Limits;
use crate::config::{Role, Settings};
use crate::configuration::Live;
use crate::db::{Database, Failure, Target};
use crate::dispatcher::Dispatcher;
use crate::dispatcher::send::Sender;
use crate::error::{StartError, Trouble};
use crate::hooks::batch::Ingest;
use crate::hooks::keys::Keys;
use crate::key_uses::KeyUses;
use crate::listen::Doorbell;
use crate::rate::Limiter;
use crate::secrets::Vault;
use crate::stream::Streams;
use crate::{http, metrics, outbox, router, shutdown, sql};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsAcceptor;

const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(3600);
/// Partitions stand ready for three months if nothing is changed, and for one at least.
const PARTITIONED_DAYS_LEAST: f64 = 20.0;
/// How often it is asked whether merges have left something to rewrite.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(60);
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the gateway until it is told to stop.
pub async fn serve(settings: Settings) -> Result<(), StartError> {
    let master_keys = settings.master_keys()?;
    let database = Database::new(&settings, settings.pool_size)?;
    check_schema(&database).await?;
    // Before anything works: a port that is taken must not leave deliveries leased behind.
    let listener = listen(&settings).await?;
    let tls = match &settings.tls {
        Some((certificate, key)) => Some(http::tls(certificate, key)?),
        None => None,
    };
    let metrics = metrics::install().map_err(|error| StartError::settings(format!("no metrics: {error}")))?;
    let configuration =
        Live::load(&database, master_keys.clone()).await.map_err(|failure| refused(&failure))?;
    check_master_keys(&configuration)?;
    let configuration = Arc::new(configuration);
    let doorbell = Arc::new(Doorbell::default());
    let stop = shutdown::signal()?;

    // Tasks without an end of their own: they go with the process.
    let mut background = JoinSet::new();
    let (kept, database_of_keeper) = (Arc::clone(&configuration), database.clone());
    background.spawn(async move { kept.keep(&database_of_keeper).await });
    background.spawn(maintain(database.clone()));
    background.spawn(follow_moves(database.clone()));
    let key_uses = Arc::new(KeyUses::default());
    let (uses, database_of_uses) = (Arc::clone(&key_uses), database.clone());
    background.spawn(async move { uses.keep(&database_of_uses).await });
    let recorder = metrics.clone();
    background.spawn(async move {
        let mut ticks = interval(METRICS_UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            recorder.run_upkeep();
        }
    });

    let sender = Sender::new(settings.allow_private_targets.clone())?;
    let keys = Keys::new(sender.clone());
    if let Some(url) = settings.listen_url.as_ref().filter(|_| settings.doorbell) {
        let target = Target::new(url, settings.database_ca_file.as_deref())?;
        background.spawn(Arc::clone(&doorbell).listen(target));
    }
    background.spawn(outbox::watch(database.clone()));
    let streams = Streams::new(database.clone(), Arc::clone(&configuration), stop.clone(), &settings);
    let (feeding, heard) = (Arc::clone(&streams), Arc::clone(&doorbell));
    background.spawn(async move { feeding.feed(&heard).await });
    let dispatcher = if settings.roles.contains(&Role::Dispatcher) {
        let dispatcher = Dispatcher::new(
            database.clone(),
            Arc::clone(&configuration),
            Arc::clone(&doorbell),
            sender.clone(),
            &settings,
        );
        Some(tokio::spawn(dispatcher.run(stop.clone(), settings.shutdown)))
    } else {
        None
    };

    if settings.doorbell {
        let (ringer, database_of_ringer) = (Arc::clone(&doorbell), database.clone());
        background.spawn(async move { ringer.ring_elsewhere(&database_of_ringer).await });
    }
    let app = App {
        ingest: Arc::new(Ingest::new(
            Database::new(&settings, settings.ingest_connections)?,
            Arc::clone(&doorbell),
        )),
        configuration,
        database: database.clone(),
        doorbell,
        api_limit: Limiter::new("api-key", settings.api_rate),
        hook_limit: Limiter::new("connector", settings.hook_rate),
        streams,
        sender,
        keys,
        key_uses: Arc::clone(&key_uses),
        vault: Vault::new(master_keys),
        metrics,
        public_url: settings.public_url.clone(),
        body_limits: Limits::new(settings.max_body_bytes, settings.read_timeout),
    };
    serve_http(&settings, listener, tls, app, stop).await;
    key_uses.write(&database).await;

    if let Some(dispatcher) = dispatcher
        && dispatcher.await.is_err()
    {
        tracing::error!("the dispatcher ended abnormally");
    }
    tracing::info!("stopped");
    Ok(())
}

async fn listen(settings: &Settings) -> Result<TcpListener, StartError> {
    TcpListener::bind((settings.host, settings.port)).await.map_err(|error| {
        StartError::address(format!(
            "{}:{} cannot be listened on: {error}; NEXUS_PORT chooses another port",
            settings.host, settings.port
        ))
    })
}

/// Serves HTTP until told to stop; without the role `api`, health and metrics only.
async fn serve_http(
    settings: &Settings,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: App,
    stop: shutdown::Stop,
) {
    let (ingest, streams) = (Arc::clone(&app.ingest), Arc::clone(&app.streams));
    let mut workers = JoinSet::new();
    for _ in 0..settings.ingest_connections {
        let ingest = Arc::clone(&ingest);
        workers.spawn(async move { ingest.work().await });
    }
    tracing::info!(host = %settings.host, port = settings.port, public_url = settings.public_url, "serving");
    let router = router::router(Arc::new(app), settings.roles.contains(&Role::Api));
    let server =
        http::serve(listener, tls, router, settings.read_timeout, settings.max_connections, stop.clone());
    // Connections that are kept open and idle must not hold up the stop.
    let mut cut_off = stop;
    let deadline = async {
        let _ = cut_off.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(settings.shutdown).await;
    };
    // Streams are no requests any more: they take their leave by themselves.
    let served = async {
        server.await;
        streams.ended().await;
    };
    tokio::select! {
        () = served => {}
        () = deadline => tracing::warn!("requests were cut off: they took longer than NEXUS_SHUTDOWN_SECONDS"),
    }
    if timeout(settings.shutdown, ingest.close()).await.is_err() {
        tracing::warn!("webhooks under way were cut off; their senders had no answer and come again");
    }
}

/// What must be so before anything starts, each with what to do about it.
async fn check_schema(database: &Database) -> Result<(), StartError> {
    database.check().await?;
    let (has_extension, bypasses_security) =
        installed(database).await.map_err(|failure| refused(&failure))?;
    if !has_extension {
        return Err(StartError::schema(
            "the extension nexus is not installed in this database; run create extension nexus; then select nexus.migrate(); as a superuser",
        ));
    }
    if bypasses_security {
        tracing::warn!(
            "the login bypasses row-level security; use one that is only a member of nexus_gateway"
        );
    }
    match pending_migrations(database).await.map_err(|failure| refused(&failure))? {
        0 => Ok(()),
        pending => Err(StartError::schema(format!(
            "{pending} migrations are pending; run select nexus.migrate(); as a superuser"
        ))),
    }
}

/// A gateway without the master key that wraps its tenants' data keys would refuse what platforms sign, and they
/// would give up sending.
fn check_master_keys(configuration: &Live) -> Result<(), StartError> {
    let current = configuration.current();
    let missing: Vec<&str> = current.useless_master_keys().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(StartError::master_key(format!(
        "data keys are wrapped by master key \"{}\", which is missing or not the one of that name; add it to NEXUS_MASTER_KEY_FILE, below the one in force",
        missing.join("\", \"")
    )))
}

/// Whether the extension is there, and whether the login would bypass row-level security.
async fn installed(database: &Database) -> Result<(bool, bool), Failure> {
    let row = database.row(sql::IS_INSTALLED, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

async fn pending_migrations(database: &Database) -> Result<i32, Failure> {
    Ok(database.row(sql::READINESS, &[]).await?.try_get(1)?)
}

fn refused(failure: &Failure) -> StartError {
    match failure.trouble() {
        Trouble::Away => StartError::database(format!("the database is not available: {failure}")),
        _ => StartError::schema(format!(
            "the database refuses the gateway: {failure}; run select nexus.migrate(); as a superuser and grant the login nexus_gateway"
        )),
    }
}

async fn maintain(database: Database) {
    let mut ticks = interval(MAINTENANCE_INTERVAL);
    loop {
        ticks.tick().await;
        // One call takes away so much at most: as long as there is something to do there may be more.
        while did_maintenance(&database).await {}
        if let Err(failure) = watch_partitions(&database).await {
            tracing::debug!(error = %failure, "the partitions could not be looked at");
        }
    }
}

/// Partitions are made months ahead, so that nobody is in the way for long enough; if it does happen somebody must hear.
async fn watch_partitions(database: &Database) -> Result<(), Failure> {
    let row = database.row(sql::PARTITIONED_UNTIL, &[]).await?;
    let (until, days): (f64, f64) = (row.try_get(0)?, row.try_get(1)?);
    metrics::partitioned_until(until);
    if days < PARTITIONED_DAYS_LEAST {
        tracing::error!(
            days,
            "no partition stands ready after these days, and rows without one are refused; see what locks the tables of history, and run nexus admin maintain"
        );
    }
    Ok(())
}

async fn did_maintenance(database: &Database) -> bool {
    let done = database.maintain().await.unwrap_or_else(|failure| {
        tracing::warn!(error = %failure, "maintenance failed; it is tried again in an hour");
        Vec::new()
    });
    for (action, detail) in &done {
        tracing::info!(action, detail, "maintained");
    }
    !done.is_empty()
}

/// Rewrites what merges left, a transaction at a time, until nothing is left.
async fn follow_moves(database: Database) {
    let mut ticks = interval(FOLLOW_INTERVAL);
    loop {
        ticks.tick().await;
        loop {
            match database.follow_moves().await {
                Ok(0) => break,
                Ok(_) => {}
                Err(failure) => {
                    tracing::warn!(error = %failure, "rewriting what merges left failed; it is tried again in a minute");
                    break;
                }
            }
        }
    }
}
