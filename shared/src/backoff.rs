//! The one backoff: exponential, capped, with full jitter.

use std::time::Duration;

use rand::{Rng, RngExt};

/// How waits grow: attempt `n` (from 0) waits a random time up to `base * 2^n`, at most `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub base: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
}

impl Backoff {
    /// The wait before try `attempt + 1`, uniformly random so that a crowd spreads out.
    pub fn wait<R: Rng>(&self, attempt: u32, rng: &mut R) -> Duration {
        let bound = self.bound(attempt);
        Duration::from_millis(rng.random_range(0..=bound.as_millis() as u64))
    }

    /// At least half of the bound: for waits that must not be zero, such as a poll.
    pub fn at_least_half<R: Rng>(&self, attempt: u32, rng: &mut R) -> Duration {
        let bound = self.bound(attempt).as_millis() as u64;
        Duration::from_millis(rng.random_range(bound / 2..=bound))
    }

    fn bound(&self, attempt: u32) -> Duration {
        self.base.saturating_mul(1 << attempt.min(20)).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_millis(100),
        cap: Duration::from_secs(2),
    };

    #[test]
    fn waits_stay_under_their_bound_and_reach_near_it() {
        let mut rng = StdRng::seed_from_u64(7);
        for (attempt, bound) in [(0, 100), (1, 200), (3, 800), (9, 2000), (u32::MAX, 2000)] {
            let waits: Vec<u64> = (0..500)
                .map(|_| BACKOFF.wait(attempt, &mut rng).as_millis() as u64)
                .collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "attempt {attempt}");
            assert!(
                waits.iter().any(|wait| *wait > bound * 9 / 10),
                "attempt {attempt}"
            );
        }
    }

    #[test]
    fn a_poll_never_waits_less_than_half() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..500 {
            assert!(BACKOFF.at_least_half(1, &mut rng) >= Duration::from_millis(100));
        }
    }
}
