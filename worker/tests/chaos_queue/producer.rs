//! Who enqueues, whatever happens.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use devstack::stack::eventually;
use shared::queue::{Delivery, Job, Queue};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// So many at a time, so often: 400 a second, so that workers always have some in their hands.
const AT_ONCE: usize = 10;
const EVERY: Duration = Duration::from_millis(25);
const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);

/// Enqueues at a steady pace.
pub(crate) struct Producer {
    queue: Queue,
    enqueued: AtomicUsize,
}

/// Both kinds: those that are given up some day, and those that never are.
pub(crate) fn job(n: usize) -> Job {
    if n.is_multiple_of(2) {
        let instance = format!("inst_{n}").parse().unwrap();
        return Job::Reconcile { instance };
    }
    Job::Webhook(Delivery {
        event_id: format!("evt_{n}").parse().unwrap(),
        url: "https://example.com/hook".to_owned(),
        body: format!(r#"{{"number":{n}}}"#),
        asked: None,
        headers: std::collections::BTreeMap::new(),
        traceparent: None,
    })
}

impl Producer {
    pub(crate) fn new(queue: Queue) -> Self {
        Self {
            queue,
            enqueued: AtomicUsize::new(0),
        }
    }

    /// Enqueues the jobs 0 to `count`, and tells which of them may have been enqueued twice.
    pub(crate) async fn enqueue(&self, count: usize) -> HashSet<String> {
        let mut enqueued_twice = HashSet::new();
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for first in (0..count).step_by(AT_ONCE) {
            ticks.tick().await;
            let batch: Vec<Job> = (first..count.min(first + AT_ONCE)).map(job).collect();
            while let Err(error) = self.queue.enqueue(&batch).await {
                if !error.was_not_applied() {
                    enqueued_twice.extend(batch.iter().map(|job| job.id().to_string()));
                }
                sleep(TRIED_AGAIN_AFTER).await;
            }
            self.enqueued.store(first + batch.len(), Ordering::Relaxed);
        }
        enqueued_twice
    }

    /// Waits until so many are enqueued.
    pub(crate) async fn until_enqueued(&self, goal: usize) {
        eventually("more jobs", PATIENCE, async || {
            let seen = self.enqueued.load(Ordering::Relaxed);
            if seen >= goal {
                Ok(())
            } else {
                Err(format!("{seen} of {goal}"))
            }
        })
        .await
        .unwrap();
    }
}
