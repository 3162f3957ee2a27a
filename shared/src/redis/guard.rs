//! Keeps callers from waiting for a Redis that does not answer, and from waiting in ever greater numbers for
//! one that is slow. For processes whose callers can be told to come again; workers wait instead.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::error::RedisError;

/// So many failures in a row, and nobody else is kept waiting.
const STRIKES: u32 = 3;
/// From one try that failed to the next.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// A try that takes longer does not keep the next one from being made.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// Requests on their way at a time; what a server answers slowly must not pile up in memory.
const AT_ONCE: usize = 1024;

/// Lets requests through while they are answered.
#[derive(Debug)]
pub(super) struct Guard {
    state: Mutex<State>,
    places: Semaphore,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many failures in a row.
    Closed(u32),
    /// Nobody is let through before this but one who tries.
    Open(Instant),
}

impl Guard {
    pub(super) fn new() -> Self {
        gauge!("redis_breaker_open").set(0.0);
        for why in ["open", "full"] {
            counter!("redis_not_asked_total", "why" => why).increment(0);
        }
        Self {
            state: Mutex::new(State::Closed(0)),
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Leave to send one request now; whoever has it tells what came of it.
    pub(super) fn enter(&self) -> Result<SemaphorePermit<'_>, RedisError> {
        let not_asked = |why: &'static str, message| {
            counter!("redis_not_asked_total", "why" => why).increment(1);
            RedisError::NotAsked(message)
        };
        let mut state = self.state();
        if let State::Open(next) = &mut *state {
            let now = Instant::now();
            if now < *next {
                return Err(not_asked("open", "it did not answer a moment ago"));
            }
            *next = now + TRY_AGAIN;
        }
        drop(state);
        self.places
            .try_acquire()
            .map_err(|_| not_asked("full", "too many wait for it already"))
    }

    /// What came of a request: an answer of whatever kind, or none.
    pub(super) fn note(&self, error: Option<&RedisError>) {
        let mut state = self.state();
        let is_away = error.is_some_and(RedisError::is_away);
        let was_open = matches!(*state, State::Open(_));
        *state = match (is_away, *state) {
            (false, _) => State::Closed(0),
            (true, State::Closed(strikes)) if strikes + 1 < STRIKES => State::Closed(strikes + 1),
            (true, _) => State::Open(Instant::now() + TRY_EVERY),
        };
        let is_open = matches!(*state, State::Open(_));
        drop(state);
        if was_open == is_open {
            return;
        }
        gauge!("redis_breaker_open").set(f64::from(u8::from(is_open)));
        if is_open {
            let kind = error.map_or("", RedisError::kind);
            tracing::warn!(kind, "Redis does not answer: callers are told so at once");
        } else {
            tracing::info!("Redis answers again");
        }
    }

    /// Whether nobody is kept waiting at the moment.
    pub(super) fn is_open(&self) -> bool {
        matches!(*self.state(), State::Open(_))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, pause};

    use super::*;

    fn away() -> RedisError {
        RedisError::Unclear("no answer in time".into())
    }

    fn open() -> Guard {
        let guard = Guard::new();
        for _ in 0..STRIKES {
            drop(guard.enter().unwrap());
            guard.note(Some(&away()));
        }
        guard
    }

    #[tokio::test]
    async fn after_three_failures_one_tries_now_and_then_and_nobody_else_waits() {
        pause();
        let guard = open();
        assert!(guard.is_open());
        assert!(guard.enter().is_err());
        advance(TRY_EVERY).await;
        let _trying = guard.enter().unwrap();
        assert!(guard.enter().is_err(), "one at a time");
        guard.note(Some(&away()));
        assert!(guard.enter().is_err());
        advance(TRY_EVERY).await;
        drop(guard.enter().unwrap());
        guard.note(None);
        assert!(!guard.is_open());
        drop(guard.enter().unwrap());
    }

    #[tokio::test]
    async fn a_try_that_hangs_does_not_keep_the_next_one_from_being_made() {
        pause();
        let guard = open();
        advance(TRY_EVERY).await;
        let _hanging = guard.enter().unwrap();
        advance(TRY_AGAIN).await;
        drop(guard.enter().unwrap());
    }

    #[tokio::test]
    async fn an_answer_that_is_an_error_is_an_answer() {
        let guard = Guard::new();
        for _ in 0..2 * STRIKES {
            guard.note(Some(&RedisError::Protocol("odd".into())));
        }
        for _ in 1..STRIKES {
            guard.note(Some(&away()));
        }
        guard.note(None);
        guard.note(Some(&away()));
        assert!(!guard.is_open());
    }

    #[tokio::test]
    async fn no_more_wait_than_there_are_places() {
        let guard = Guard::new();
        let waiting: Vec<_> = (0..AT_ONCE).map(|_| guard.enter().unwrap()).collect();
        assert!(guard.enter().is_err());
        drop(waiting);
        drop(guard.enter().unwrap());
    }
}
