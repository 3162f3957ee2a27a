//! What handlers were given, in order.

use std::sync::{Arc, Mutex};

use devstack::stack::eventually;
use shared::clock::Millis;
use shared::queue::Reservation;

use crate::rig::PATIENCE;

/// A job in a handler's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) job: String,
    /// Redis's clock at the reservation.
    pub(crate) at: Millis,
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) errors: u32,
    /// This machine's clock.
    pub(crate) seen: Millis,
}

/// The starts of all handlers that share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Start>>>);

impl Log {
    pub(crate) fn note(&self, job: &Reservation, now: Millis) {
        self.0.lock().unwrap().push(Start {
            job: job.id.to_string(),
            at: now,
            attempt: job.attempt,
            crashes: job.crashes,
            errors: job.errors,
            seen: Millis::now(),
        });
    }

    pub(crate) fn all(&self) -> Vec<Start> {
        self.0.lock().unwrap().clone()
    }

    /// The starts of jobs whose id begins like this.
    pub(crate) fn of(&self, prefix: &str) -> Vec<Start> {
        let mut starts = self.all();
        starts.retain(|start| start.job.starts_with(prefix));
        starts
    }

    /// Waits for at least so many starts of such jobs.
    pub(crate) async fn until(&self, count: usize, prefix: &str) -> Vec<Start> {
        eventually(
            &format!("{count} starts of {prefix}"),
            PATIENCE,
            async || {
                let starts = self.of(prefix);
                if starts.len() >= count {
                    Ok(starts)
                } else {
                    Err(format!("{starts:?}"))
                }
            },
        )
        .await
        .unwrap()
    }
}
