//! A breaker: whom one keeps failing at is spared for a while.

use std::collections::VecDeque;
use std::time::Duration;

use shared::queue::BreakerState;
use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Failures in a row that open it.
    pub(crate) streak: u32,
    /// Or more than so many per cent
    pub(crate) percent: usize,
    /// of at least so many calls
    pub(crate) calls: usize,
    /// in this time.
    pub(crate) window: Duration,
    /// How long it stays open the first time; twice as long each time after that,
    pub(crate) first_rest: Duration,
    /// up to this.
    pub(crate) longest_rest: Duration,
}

/// The latest calls that are remembered.
const REMEMBERED: usize = 512;
/// Before one whose probe is under way is looked at again.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// How a call passed a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It was closed.
    Ordinary,
    /// It is half open, and this call finds out whether it may close.
    Probe,
}

/// What became of a call that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should be.
    Answered,
    /// Not as it should be.
    Failed,
    /// It was never sent, or nobody waited for its end.
    Abandoned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Instant },
    Probing,
}

/// One breaker. It has no clock of its own: time comes with each call.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    /// Failures in a row.
    streak: u32,
    /// The latest calls, oldest first, and whether each failed.
    calls: VecDeque<(Instant, bool)>,
    /// How long it rests when it opens next.
    rest: Duration,
    rules: Rules,
}

impl Breaker {
    /// A closed one.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            state: State::Closed,
            streak: 0,
            calls: VecDeque::new(),
            rest: rules.first_rest,
            rules,
        }
    }

    /// Lets a call pass, or tells how long to wait before asking again. Every entry must be left.
    pub(crate) fn enter(&mut self, now: Instant) -> Result<Entry, Duration> {
        match self.state {
            State::Closed => Ok(Entry::Ordinary),
            State::Open { until } if until > now => Err(until - now),
            State::Open { .. } => {
                self.state = State::Probing;
                Ok(Entry::Probe)
            }
            State::Probing => Err(PROBE_WAIT),
        }
    }

    /// Learns from a call that passed.
    pub(crate) fn leave(&mut self, entry: Entry, outcome: Outcome, now: Instant) {
        match (entry, outcome) {
            (Entry::Probe, Outcome::Answered) => *self = Self::new(self.rules),
            (Entry::Probe, Outcome::Failed) => self.open(now),
            (Entry::Probe, Outcome::Abandoned) => self.state = State::Open { until: now },
            (Entry::Ordinary, Outcome::Abandoned) => {}
            (Entry::Ordinary, Outcome::Answered | Outcome::Failed) => {
                // What began before it opened tells nothing new.
                if self.state == State::Closed {
                    self.count(outcome == Outcome::Failed, now);
                }
            }
        }
    }

    /// What it looks like from outside.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { until } if until > now => BreakerState::Open,
            State::Open { .. } | State::Probing => BreakerState::HalfOpen,
        }
    }

    fn count(&mut self, has_failed: bool, now: Instant) {
        self.streak = if has_failed { self.streak + 1 } else { 0 };
        self.calls.push_back((now, has_failed));
        while let Some((at, _)) = self.calls.front()
            && (self.calls.len() > REMEMBERED || now - *at > self.rules.window)
        {
            self.calls.pop_front();
        }
        let failures = self.calls.iter().filter(|(_, failed)| *failed).count();
        let calls = self.calls.len();
        let is_failing = calls >= self.rules.calls && failures * 100 > calls * self.rules.percent;
        if self.streak >= self.rules.streak || is_failing {
            self.open(now);
        }
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open {
            until: now + self.rest,
        };
        self.rest = (self.rest * 2).min(self.rules.longest_rest);
        self.streak = 0;
        self.calls.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);
    const STREAK: u32 = 5;
    const FIRST_REST: Duration = Duration::from_secs(5);

    fn rules(longest_rest: Duration) -> Rules {
        Rules {
            streak: STREAK,
            percent: 50,
            calls: 20,
            window: Duration::from_secs(30),
            first_rest: FIRST_REST,
            longest_rest,
        }
    }

    /// A call at `now` that ends at once.
    fn call(breaker: &mut Breaker, outcome: Outcome, now: Instant) {
        let entry = breaker.enter(now).unwrap();
        breaker.leave(entry, outcome, now);
    }

    fn failing(longest_rest: Duration, now: Instant) -> Breaker {
        let mut breaker = Breaker::new(rules(longest_rest));
        for _ in 0..STREAK {
            assert_eq!(breaker.state(now), BreakerState::Closed);
            call(&mut breaker, Outcome::Failed, now);
        }
        assert_eq!(breaker.state(now), BreakerState::Open);
        breaker
    }

    #[test]
    fn an_answer_in_between_breaks_the_streak() {
        let (mut breaker, now) = (Breaker::new(rules(MINUTE)), Instant::now());
        for _ in 0..20 {
            for outcome in [Outcome::Answered, Outcome::Failed] {
                for _ in 0..STREAK - 1 {
                    call(&mut breaker, outcome, now);
                }
            }
        }
        assert_eq!(breaker.state(now), BreakerState::Closed);
    }

    #[test]
    fn more_than_half_of_twenty_in_thirty_seconds_open_it() {
        let began = Instant::now();
        let open_after = |gap: Duration, calls: u32| {
            let mut breaker = Breaker::new(rules(MINUTE));
            for n in 0..calls {
                let outcome = match n % 3 {
                    0 => Outcome::Answered,
                    _ => Outcome::Failed,
                };
                call(&mut breaker, outcome, began + gap * n);
            }
            breaker.state(began + gap * calls)
        };
        assert_eq!(open_after(SECOND, 19), BreakerState::Closed);
        assert_eq!(open_after(SECOND, 20), BreakerState::Open);
        assert_eq!(open_after(2 * SECOND, 100), BreakerState::Closed);
    }

    #[test]
    fn it_rests_five_seconds_then_twice_as_long_up_to_its_longest() {
        for (longest, rests) in [(MINUTE, [5, 10, 20, 40, 60, 60]), (5 * SECOND, [5; 6])] {
            let mut now = Instant::now();
            let mut breaker = failing(longest, now);
            for rest in rests {
                assert_eq!(breaker.enter(now), Err(rest * SECOND));
                now += rest * SECOND;
                assert_eq!(breaker.state(now), BreakerState::HalfOpen);
                assert_eq!(breaker.enter(now), Ok(Entry::Probe));
                breaker.leave(Entry::Probe, Outcome::Failed, now);
            }
        }
    }

    #[test]
    fn one_probe_at_a_time_decides_and_one_that_is_dropped_lets_the_next_try() {
        let mut now = Instant::now();
        let mut breaker = failing(MINUTE, now);
        now += FIRST_REST;
        assert_eq!(breaker.enter(now), Ok(Entry::Probe));
        assert_eq!(breaker.enter(now), Err(PROBE_WAIT));
        breaker.leave(Entry::Probe, Outcome::Abandoned, now);
        assert_eq!(breaker.enter(now), Ok(Entry::Probe));
        // A call from before it opened neither closes nor opens anything.
        breaker.leave(Entry::Ordinary, Outcome::Answered, now);
        assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        breaker.leave(Entry::Probe, Outcome::Answered, now);
        assert_eq!(breaker.state(now), BreakerState::Closed);
        let mut again = failing(MINUTE, now);
        assert_eq!(again.enter(now), Err(FIRST_REST));
    }
}
