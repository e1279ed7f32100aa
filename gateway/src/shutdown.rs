//! Stopping: SIGTERM and SIGINT are heard in one place and told to all parts.

use crate::error::StartError;
use tokio::signal::unix::{SignalKind, signal as listen};
use tokio::sync::watch;

/// Becomes true once, when the process is to stop.
pub type Stop = watch::Receiver<bool>;

/// Listens for signals from now on.
pub fn signal() -> Result<Stop, StartError> {
    let unavailable = |error| StartError::settings(format!("signals cannot be listened for: {error}"));
    let mut terminate = listen(SignalKind::terminate()).map_err(unavailable)?;
    let mut interrupt = listen(SignalKind::interrupt()).map_err(unavailable)?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
        // Kept open: a closed channel would look like a second reason.
        std::future::pending::<()>().await;
    });
    Ok(stopped)
}
