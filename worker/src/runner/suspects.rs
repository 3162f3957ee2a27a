//! Jobs that may be what kills workers: each of them runs alone, so that one more death tells which.
//!
//! Whoever works beside a job that takes its process with it vanishes as often as that job, comes back
//! when it does, and would be given up together with it.

use shared::queue::{JobId, Reservation, Settlement, Verdict};
use tokio_util::sync::CancellationToken;

use super::{Handler, Runner};

/// Suspects in this worker's hands.
#[derive(Default)]
pub(super) struct Suspects {
    /// Not started before everything else has ended.
    waiting: Vec<Reservation>,
    /// One runs, alone.
    is_one_running: bool,
}

impl Suspects {
    pub(super) fn push(&mut self, job: Reservation) {
        self.waiting.push(job);
    }

    /// Nothing may be started beside them.
    pub(super) fn want_to_be_alone(&self) -> bool {
        self.is_one_running || !self.waiting.is_empty()
    }

    pub(super) fn no_more_alone(&mut self) {
        self.is_one_running = false;
    }

    /// Id and token of those that wait.
    pub(super) fn held(&self) -> impl Iterator<Item = (&JobId, &String)> {
        self.waiting.iter().map(|job| (&job.id, &job.token))
    }

    /// Hands back those that wait.
    pub(super) fn release(&mut self) -> impl Iterator<Item = Settlement> {
        let waiting = self.waiting.drain(..);
        waiting.map(|job| job.settle(Verdict::Release, Vec::new()))
    }
}

impl<H: Handler> Runner<H> {
    /// Starts one of the suspects once nothing else runs. The others are handed back before: if this
    /// one takes the process with it, that counts against nobody else.
    pub(super) async fn start_suspect(&mut self, stop: &CancellationToken) {
        if self.suspects.waiting.is_empty() || !self.calls.is_empty() {
            return;
        }
        self.hand_back();
        if !self.running.is_empty() {
            return;
        }
        let (Some(mut job), Some(now)) = (self.suspects.waiting.pop(), self.now()) else {
            return;
        };
        let others: Vec<_> = self.suspects.release().collect();
        for other in others {
            self.finish(other);
        }
        if !self.finished.is_empty() {
            self.suspects.push(job);
            self.call(0, false, stop);
            return;
        }
        match self.queue.mark_alone(&mut job).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(job = %job.id, %error, "not known to run alone, so it is not run");
                self.finish(job.settle(Verdict::Release, Vec::new()));
                return;
            }
        }
        tracing::warn!(job = %job.id, crashes = job.crashes, "runs alone: workers vanished with it");
        self.suspects.is_one_running = true;
        self.spawn(job, now);
    }
}
