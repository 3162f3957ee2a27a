//! What this process knows about the provider: how the last call went, and a breaker per lane.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::pace::Lane;
use shared::queue::BreakerState;
use tokio::time::Instant;

use crate::breaker::{Breaker, Entry, Outcome, Rules};
use crate::metrics;

/// A lane's breaker. A refusal is an answer too: what fails is a call without any.
const RULES: Rules = Rules {
    streak: 5,
    percent: 50,
    calls: 20,
    window: Duration::from_secs(30),
    first_rest: Duration::from_secs(5),
    longest_rest: Duration::from_secs(60),
};
/// Where money is saved it never rests for long.
const SAVING: Rules = Rules {
    longest_rest: Duration::from_secs(5),
    ..RULES
};

/// What this process knows about the provider; clones share it.
#[derive(Debug, Clone)]
pub struct ProviderHealth(Arc<Known>);

#[derive(Debug)]
struct Known {
    /// Whether the last call was answered at all, and how long that took.
    last: Mutex<Option<(bool, Duration)>>,
    save: Mutex<Breaker>,
    create: Mutex<Breaker>,
    observe: Mutex<Breaker>,
}

impl Default for ProviderHealth {
    fn default() -> Self {
        Self(Arc::new(Known {
            last: Mutex::default(),
            save: Mutex::new(Breaker::new(SAVING)),
            create: Mutex::new(Breaker::new(RULES)),
            observe: Mutex::new(Breaker::new(RULES)),
        }))
    }
}

impl ProviderHealth {
    pub(super) fn note(&self, answered: bool, took: Duration) {
        *locked(&self.0.last) = Some((answered, took));
    }

    pub(crate) fn last(&self) -> Option<(bool, Duration)> {
        *locked(&self.0.last)
    }

    /// The breaker of the lane that is worst off.
    pub(crate) fn worst_breaker(&self) -> BreakerState {
        let now = Instant::now();
        let states = Lane::ALL.map(|lane| {
            let state = self.breaker(lane).state(now);
            metrics::provider_breaker(lane, state);
            state
        });
        states.into_iter().max().unwrap_or_default()
    }

    /// Passes a lane's breaker, or tells how long to wait.
    pub(super) fn enter(&self, lane: Lane) -> Result<Passage, Duration> {
        let entry = self.breaker(lane).enter(Instant::now())?;
        Ok(Passage {
            health: self.clone(),
            lane,
            entry,
            outcome: Outcome::Abandoned,
        })
    }

    fn breaker(&self, lane: Lane) -> MutexGuard<'_, Breaker> {
        locked(match lane {
            Lane::Save => &self.0.save,
            Lane::Create => &self.0.create,
            Lane::Observe => &self.0.observe,
        })
    }
}

/// A call that passed a breaker; the breaker learns from it when it is dropped.
#[derive(Debug)]
pub(super) struct Passage {
    health: ProviderHealth,
    lane: Lane,
    entry: Entry,
    outcome: Outcome,
}

impl Passage {
    pub(super) fn conclude(mut self, is_answered: bool) {
        self.outcome = if is_answered {
            Outcome::Answered
        } else {
            Outcome::Failed
        };
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut breaker = self.health.breaker(self.lane);
        let before = breaker.state(now);
        breaker.leave(self.entry, self.outcome, now);
        let after = breaker.state(now);
        drop(breaker);
        metrics::provider_breaker(self.lane, after);
        if before != after {
            let (lane, state) = (self.lane.as_str(), after.as_str());
            tracing::warn!(lane, state, "the provider's breaker changed");
        }
    }
}

/// What these locks guard is whole at every moment, also after a panic elsewhere.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
