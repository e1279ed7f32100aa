//! Waiting for what others do.

use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(25);

/// Asks again until there is an answer. `what` is what has not happened when the time is over.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("within {} s this did not come true: {what}", DEADLINE.as_secs());
        }
        sleep(PAUSE).await;
    }
}
