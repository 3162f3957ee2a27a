//! Keeps callers from waiting for a Redis that does not answer, and from waiting in ever greater numbers for
//! one that is slow. For processes whose callers can be told to come again; workers wait instead.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::error::RedisError;

/// So many failures in a row, and nobody is kept waiting.
const STRIKES: u32 = 3;
/// From then on it is tried so often whether it answers.
pub(super) const TRY_EVERY: Duration = Duration::from_millis(250);
/// A try takes so long at the most.
pub(super) const TRY_FOR: Duration = Duration::from_secs(1);
/// Requests on their way at a time; what a server answers slowly must not pile up in memory.
const AT_ONCE: usize = 1024;

/// Lets requests through while they are answered.
#[derive(Debug)]
pub(super) struct Guard {
    /// Failures in a row.
    strikes: AtomicU32,
    places: Semaphore,
}

impl Guard {
    pub(super) fn new() -> Self {
        gauge!("redis_breaker_open").set(0.0);
        for why in ["open", "full"] {
            counter!("redis_not_asked_total", "why" => why).increment(0);
        }
        Self {
            strikes: AtomicU32::new(0),
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Leave to send one request now; whoever has it tells what came of it.
    pub(super) fn enter(&self) -> Result<SemaphorePermit<'_>, RedisError> {
        let not_asked = |why: &'static str, message| {
            counter!("redis_not_asked_total", "why" => why).increment(1);
            RedisError::NotAsked(message)
        };
        if self.is_open() {
            return Err(not_asked("open", "it did not answer a moment ago"));
        }
        self.places
            .try_acquire()
            .map_err(|_| not_asked("full", "too many wait for it already"))
    }

    /// What came of a request: an answer of whatever kind, or none. Whether that was one failure too many:
    /// whoever is told so tries until there is an answer, and tells [`Self::answered`].
    pub(super) fn note(&self, error: Option<&RedisError>) -> bool {
        if !error.is_some_and(RedisError::is_silence) {
            // While nobody is let through, this one was on its way before.
            if !self.is_open() {
                self.strikes.store(0, Ordering::Release);
            }
            return false;
        }
        if self.strikes.fetch_add(1, Ordering::AcqRel) + 1 != STRIKES {
            return false;
        }
        gauge!("redis_breaker_open").set(1.0);
        let kind = error.map_or("", RedisError::kind);
        tracing::warn!(kind, "Redis does not answer: callers are told so at once");
        true
    }

    /// It answers again.
    pub(super) fn answered(&self) {
        self.strikes.store(0, Ordering::Release);
        gauge!("redis_breaker_open").set(0.0);
        tracing::info!("Redis answers again");
    }

    /// Whether nobody is kept waiting at the moment.
    pub(super) fn is_open(&self) -> bool {
        self.strikes.load(Ordering::Acquire) >= STRIKES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence() -> RedisError {
        RedisError::Unclear("no answer in time".into())
    }

    #[test]
    fn after_three_failures_in_a_row_nobody_waits_and_one_is_to_try() {
        let guard = Guard::new();
        let failures: Vec<bool> = (0..5).map(|_| guard.note(Some(&silence()))).collect();
        assert_eq!(failures, [false, false, true, false, false]);
        assert!(guard.enter().is_err());
        guard.note(None);
        assert!(guard.is_open(), "that was asked before");
        guard.answered();
        drop(guard.enter().unwrap());
        assert!(!guard.note(Some(&silence())), "it counts anew");
    }

    #[test]
    fn an_answer_that_is_an_error_is_an_answer() {
        let guard = Guard::new();
        for _ in 0..2 * STRIKES {
            guard.note(Some(&RedisError::Protocol("odd".into())));
        }
        for _ in 1..STRIKES {
            guard.note(Some(&silence()));
        }
        guard.note(None);
        guard.note(Some(&silence()));
        assert!(!guard.is_open());
    }

    #[test]
    fn no_more_wait_than_there_are_places() {
        let guard = Guard::new();
        let waiting: Vec<_> = (0..AT_ONCE).map(|_| guard.enter().unwrap()).collect();
        assert!(guard.enter().is_err());
        drop(waiting);
        drop(guard.enter().unwrap());
    }
}
