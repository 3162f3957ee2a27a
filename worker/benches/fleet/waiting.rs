//! Waiting for what others do, without taking the processor from them.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Waits for `check` to give a value; on time-out tells what it saw last.
pub(crate) async fn until<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> anyhow::Result<Result<T, String>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match check().await? {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() > deadline => {
                bail!("{what}: not within {within:?}; last seen: {seen}")
            }
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}
