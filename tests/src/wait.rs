//! Waiting for a condition instead of sleeping.

use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

/// Longer than anything takes that is going to happen: only a failure waits this long.
pub const DEADLINE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(15);

/// Asks until there is an answer. `what` says what did not come true.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "within {} s this did not come true: {what}", DEADLINE.as_secs());
        sleep(PAUSE).await;
    }
}

/// The same of something that is true or not.
pub async fn until(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    eventually(what, async || is_true().await.then_some(())).await;
}

/// Until a session waits for what the session of this process id holds. `admin` is a third one.
pub async fn until_blocked_by(admin: &Client, pid: i32) {
    let waiting = "select count(*) from pg_stat_activity a where $1 = any (pg_blocking_pids(a.pid))";
    until("somebody waits for the lock", async || {
        admin.query_one(waiting, &[&pid]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
}

/// The process id of a session.
pub async fn pid(client: &Client) -> i32 {
    client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0)
}
