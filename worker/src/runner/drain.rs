//! The end: finish what runs, hand back what does not finish.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{BATCH, Handler, Runner};

/// On top of the grace, for settling what finished within it.
const SETTLE_GRACE: Duration = Duration::from_secs(2);

impl<H: Handler> Runner<H> {
    /// Lets running jobs finish, for at most the grace; takes nothing new, and hands back the rest: a
    /// step is safe to stop at any await, and whoever takes it next finds what it left.
    pub(super) async fn drain(&mut self) {
        let deadline = Instant::now() + self.options.grace;
        self.finished.extend(self.suspects.release());
        let finished = timeout_at(deadline + SETTLE_GRACE, self.finish(deadline));
        if finished.await.is_err() {
            tracing::warn!("some jobs could not be settled; they will run again");
        }
        self.pulse.farewell().await;
    }

    /// Settles each job as soon as it finished: whoever waits for it, and whatever ends this process
    /// before the grace is over, does not wait for the others.
    async fn finish(&mut self, deadline: Instant) {
        let mut is_over = false;
        loop {
            self.settle_finished().await;
            tokio::select! {
                result = self.running.join_next_with_id() => {
                    let Some(result) = result else { return };
                    self.collect(result);
                    self.gather().await;
                }
                () = sleep_until(self.extend_at) => self.keep_leases().await,
                () = sleep_until(deadline), if !is_over => {
                    is_over = true;
                    tracing::warn!(jobs = self.running.len(), "stopped before these finished");
                    self.running.abort_all();
                }
            }
        }
    }

    async fn settle_finished(&mut self) {
        let stopped = CancellationToken::new();
        stopped.cancel();
        while !self.finished.is_empty() {
            // More than one call holds only if a whole batch was handed out at the last moment.
            let rest = self.finished.split_off(self.finished.len().min(BATCH));
            self.exchange(0, &stopped).await;
            self.finished = rest;
        }
    }
}
