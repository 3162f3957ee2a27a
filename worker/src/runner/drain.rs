//! The end: finish what runs, hand back what does not finish.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Handler, Runner};

/// On top of the grace, for settling what finished within it.
const SETTLE_GRACE: Duration = Duration::from_secs(2);

impl<H: Handler> Runner<H> {
    /// Lets running jobs finish, for at most the grace; takes nothing new, and hands back the rest: a
    /// step is safe to stop at any await, and whoever takes it next finds what it left.
    pub(super) async fn drain(&mut self) {
        let deadline = Instant::now() + self.options.grace;
        if let Err(error) = self.queue.leave().await {
            tracing::warn!(%error, "may still be woken, although it takes nothing any more");
        }
        self.finished.extend(self.suspects.release());
        self.hand_back();
        let finished = timeout_at(deadline + SETTLE_GRACE, self.finish_all(deadline));
        if finished.await.is_err() {
            tracing::warn!("some jobs could not be settled; they will run again");
        }
        self.pulse.farewell().await;
    }

    /// Settles each job as soon as it finished: whoever waits for it, and whatever ends this process
    /// before the grace is over, does not wait for the others.
    async fn finish_all(&mut self, deadline: Instant) {
        let stopped = CancellationToken::new();
        stopped.cancel();
        let mut is_over = false;
        loop {
            if self.calls.is_free() && !self.finished.is_empty() {
                self.call(0, false, &stopped);
            }
            if self.calls.is_empty() && self.running.is_empty() {
                return;
            }
            tokio::select! {
                Some(result) = self.running.join_next_with_id() => self.collect(result),
                // What a call that was on its way still reserved is handed back.
                answer = self.calls.answer() => self.answered(answer, &stopped),
                () = sleep_until(self.extend_at) => self.keep_leases().await,
                () = sleep_until(deadline), if !is_over => {
                    is_over = true;
                    tracing::warn!(jobs = self.running.len(), "stopped before these finished");
                    self.running.abort_all();
                }
            }
        }
    }
}
