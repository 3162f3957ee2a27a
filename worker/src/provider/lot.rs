//! The tokens that this process has taken for a lane and not used yet.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Tokens taken in one call to Redis at most.
const LARGEST: usize = 10;
/// Tokens not used by then are forgotten, and a hold of another replica is heard of by then.
const VALID: Duration = Duration::from_secs(2);

/// One lane's tokens, and how many were needed lately.
#[derive(Debug)]
pub(super) struct Lot {
    tokens: u32,
    until: Instant,
    /// Redis had none; not to be asked before this.
    pub(super) dry_until: Instant,
    /// When the latest tokens were used, oldest first.
    used: VecDeque<Instant>,
}

impl Lot {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            tokens: 0,
            until: now,
            dry_until: now,
            used: VecDeque::with_capacity(LARGEST),
        }
    }

    /// Uses a token, if there is one.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        if self.tokens == 0 || now >= self.until {
            return false;
        }
        self.tokens -= 1;
        if self.used.len() == LARGEST {
            self.used.pop_front();
        }
        self.used.push_back(now);
        true
    }

    /// Adds what Redis granted to a question asked at `asked`.
    pub(super) fn fill(&mut self, tokens: u32, asked: Instant) {
        self.tokens = tokens;
        self.until = asked + VALID;
    }

    /// How many to ask for: enough for those who wait, and again as many as were used within the
    /// validity of a lot, so that few are wasted on a quiet process and a busy one seldom asks.
    pub(super) fn wanted(&self, waiting: usize, now: Instant) -> u32 {
        let lately = self.used.iter().filter(|used| now - **used < VALID).count();
        (waiting.max(1) + lately).min(LARGEST) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_good_for_two_seconds() {
        let (mut lot, now) = (Lot::new(), Instant::now());
        lot.fill(3, now);
        assert!(lot.spend(now));
        assert!(lot.spend(now + VALID - Duration::from_millis(1)));
        assert!(!lot.spend(now + VALID));
    }

    #[test]
    fn a_quiet_process_asks_for_one_and_a_busy_one_for_ten() {
        let (mut lot, mut now) = (Lot::new(), Instant::now());
        let mut questions = Vec::new();
        for _ in 0..40 {
            if !lot.spend(now) {
                let wanted = lot.wanted(1, now);
                questions.push(wanted);
                lot.fill(wanted, now);
                assert!(lot.spend(now));
            }
            now += Duration::from_millis(50);
        }
        assert_eq!(questions, [1, 2, 4, 8, 10, 10, 10]);
        assert_eq!(lot.wanted(1, now + VALID), 1);
        assert_eq!(lot.wanted(4, now + VALID), 4);
        assert_eq!(lot.wanted(400, now), LARGEST as u32);
    }
}
