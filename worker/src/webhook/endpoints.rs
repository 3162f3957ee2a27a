//! Whose turn it is: one receiver that fails or does not answer must not hold up the others.
//!
//! What this process has seen of a receiver decides; nothing of it is stored. A delivery that has to wait
//! goes back to the queue, and its attempts stay as they are.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use shared::queue::BreakerState;
use tokio::time::Instant;

use crate::breaker::{Breaker, Entry, Outcome, Rules};

const RULES: Rules = Rules {
    streak: 10,
    percent: 70,
    calls: 20,
    window: Duration::from_secs(300),
    first_rest: Duration::from_secs(30),
    longest_rest: Duration::from_secs(900),
};
/// A receiver that has not answered within this time is slow, as long as it has not.
const SLOW: Duration = Duration::from_millis(500);
/// Before it is asked again whether it is the turn of a delivery that others go before.
const HELD: Duration = Duration::from_secs(2);
/// Receivers that are remembered; then those of which nothing is on its way are forgotten.
const KNOWN: usize = 10_000;

/// The receivers that this process knows, by URL.
#[derive(Debug)]
pub(crate) struct Endpoints {
    seen: Mutex<Seen>,
    /// URLs may hold secrets and be long: only their hashes are kept.
    hasher: RandomState,
    /// Slow attempts at a time, per receiver and in all.
    slow_each: usize,
    slow_all: usize,
}

#[derive(Debug, Default)]
struct Seen {
    endpoints: HashMap<u64, Endpoint>,
    /// Attempts on their way: whose, and since when.
    begun: Vec<(u64, Instant)>,
}

#[derive(Debug)]
struct Endpoint {
    breaker: Breaker,
    /// The last attempt was delivered.
    is_well: bool,
}

/// Why it is not a delivery's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotYet {
    /// Too many wait for slow receivers; to be asked again after this long.
    Crowded(Duration),
    /// Its receiver fails; likewise.
    Failing(Duration),
}

impl NotYet {
    /// Before it is asked again.
    pub(crate) fn wait(self) -> Duration {
        match self {
            Self::Crowded(wait) | Self::Failing(wait) => wait,
        }
    }

    /// The word for metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Crowded(_) => "slow",
            Self::Failing(_) => "failing",
        }
    }
}

/// A delivery whose turn it is; whoever drops it without a conclusion has made no attempt.
#[derive(Debug)]
#[must_use = "an endpoint learns from what became of its turn"]
pub(crate) struct Turn<'a> {
    endpoints: &'a Endpoints,
    key: u64,
    began: Instant,
    entry: Entry,
    outcome: Outcome,
}

impl Endpoints {
    /// For a worker that works on so many jobs at a time: a quarter of them may wait for one slow
    /// receiver, and half of them for slow ones in all.
    pub(crate) fn new(permits: usize) -> Self {
        Self {
            seen: Mutex::default(),
            hasher: RandomState::new(),
            slow_each: (permits / 4).max(1),
            slow_all: (permits / 2).max(1),
        }
    }

    /// Takes a turn at this URL, or tells why not and when to ask again.
    pub(crate) fn enter(&self, url: &str) -> Result<Turn<'_>, NotYet> {
        let (key, now) = (self.hasher.hash_one(url), Instant::now());
        let mut seen = self.locked();
        let (here, all) = seen.slow(key, now);
        let endpoint = seen.endpoint(key);
        if here >= self.slow_each || (all >= self.slow_all && !endpoint.is_well) {
            let wait = HELD.mul_f64(rand::rng().random_range(0.5..=1.5));
            return Err(NotYet::Crowded(wait));
        }
        let entry = endpoint.breaker.enter(now).map_err(NotYet::Failing)?;
        seen.begun.push((key, now));
        Ok(Turn {
            endpoints: self,
            key,
            began: now,
            entry,
            outcome: Outcome::Abandoned,
        })
    }

    fn leave(&self, turn: &Turn<'_>, now: Instant) {
        let mut seen = self.locked();
        let is_it = |begun: &(u64, Instant)| *begun == (turn.key, turn.began);
        if let Some(at) = seen.begun.iter().position(is_it) {
            seen.begun.swap_remove(at);
        }
        let endpoint = seen.endpoint(turn.key);
        if turn.outcome != Outcome::Abandoned {
            endpoint.is_well = turn.outcome == Outcome::Answered;
        }
        let before = endpoint.breaker.state(now);
        endpoint.breaker.leave(turn.entry, turn.outcome, now);
        let after = endpoint.breaker.state(now);
        drop(seen);
        if before != after {
            told(after);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn endpoint(&mut self, key: u64) -> &mut Endpoint {
        if self.endpoints.len() >= KNOWN && !self.endpoints.contains_key(&key) {
            let begun = &self.begun;
            let is_busy = |key: &u64| begun.iter().any(|(busy, _)| busy == key);
            self.endpoints.retain(|key, _| is_busy(key));
        }
        self.endpoints.entry(key).or_insert_with(|| Endpoint {
            breaker: Breaker::new(RULES),
            is_well: false,
        })
    }

    /// Attempts that have been on their way for too long: at this receiver, and in all.
    fn slow(&self, key: u64, now: Instant) -> (usize, usize) {
        let is_slow = |begun: &&(u64, Instant)| now.saturating_duration_since(begun.1) >= SLOW;
        let slow = self.begun.iter().filter(is_slow);
        slow.fold((0, 0), |(here, all), (whose, _)| {
            (here + usize::from(*whose == key), all + 1)
        })
    }
}

impl Turn<'_> {
    /// The attempt was made.
    pub(crate) fn conclude(mut self, is_delivered: bool) {
        self.outcome = if is_delivered {
            Outcome::Answered
        } else {
            Outcome::Failed
        };
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.endpoints.leave(self, Instant::now());
    }
}

fn told(state: BreakerState) {
    let to = match state {
        BreakerState::Closed => "closed",
        BreakerState::HalfOpen => "half_open",
        BreakerState::Open => "open",
    };
    tracing::info!(to, "the breaker of a webhook receiver");
    metrics::counter!("webhook_breaker_state_total", "to" => to).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(endpoints: &Endpoints, url: &str, times: u32) {
        for _ in 0..times {
            endpoints.enter(url).unwrap().conclude(false);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ten_failures_in_a_row_spare_a_receiver_for_half_a_minute_and_no_other() {
        let endpoints = Endpoints::new(10);
        fails(&endpoints, "https://a/dead", RULES.streak);
        assert_eq!(
            endpoints.enter("https://a/dead").unwrap_err(),
            NotYet::Failing(RULES.first_rest)
        );
        endpoints.enter("https://a/well").unwrap().conclude(true);
        tokio::time::advance(RULES.first_rest).await;
        let probe = endpoints.enter("https://a/dead").unwrap();
        endpoints.enter("https://a/dead").unwrap_err();
        probe.conclude(true);
        endpoints.enter("https://a/dead").unwrap().conclude(true);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quarter_of_the_permits_wait_for_one_slow_receiver() {
        let endpoints = Endpoints::new(8);
        let waiting: Vec<_> = (0..4)
            .map(|_| endpoints.enter("https://a/slow").unwrap())
            .collect();
        tokio::time::advance(SLOW).await;
        let not_yet = endpoints.enter("https://a/slow").unwrap_err();
        assert_eq!(not_yet.reason(), "slow");
        assert!(not_yet.wait() <= 2 * HELD);
        drop(waiting);
        endpoints.enter("https://a/slow").unwrap().conclude(true);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_permits_stay_for_receivers_that_are_known_to_be_well() {
        let endpoints = Endpoints::new(8);
        endpoints.enter("https://a/well").unwrap().conclude(true);
        let urls = ["https://b", "https://c", "https://d", "https://e"];
        let waiting = urls.map(|url| endpoints.enter(url).unwrap());
        endpoints.enter("https://f").unwrap().conclude(true);
        tokio::time::advance(SLOW).await;
        endpoints.enter("https://g").unwrap_err();
        endpoints.enter("https://a/well").unwrap().conclude(true);
        drop(waiting);
        endpoints.enter("https://g").unwrap().conclude(true);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let endpoints = Endpoints::new(8);
        let kept = endpoints.enter("https://kept").unwrap();
        for n in 0..2 * KNOWN {
            endpoints
                .enter(&format!("https://{n}"))
                .unwrap()
                .conclude(true);
        }
        assert!(endpoints.locked().endpoints.len() <= KNOWN);
        kept.conclude(true);
    }

    #[tokio::test(start_paused = true)]
    async fn who_makes_no_attempt_teaches_nothing() {
        let endpoints = Endpoints::new(8);
        fails(&endpoints, "https://a", RULES.streak - 1);
        drop(endpoints.enter("https://a").unwrap());
        endpoints.enter("https://a").unwrap().conclude(true);
        fails(&endpoints, "https://a", RULES.streak - 1);
        endpoints.enter("https://a").unwrap().conclude(true);
    }
}
