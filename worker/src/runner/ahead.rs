//! Jobs that are held before there is a permit for them, so that short ones need not wait for Redis.
//!
//! A permit that becomes free is filled by a call to Redis; a job that takes less time than that call
//! would leave its permit unused for most of the time. So as many jobs are reserved ahead as will be
//! started during two calls, by what calls and handlers took lately. For handlers that take longer than
//! a call that is none at all: nothing waits behind a slow job while another worker is free.

use std::collections::VecDeque;
use std::time::Duration;

use shared::clock::Millis;
use shared::queue::{BATCH, Reservation};
use tokio::time::Instant;

use super::exchange::BESIDE;

/// Who holds jobs ahead starts them within so many calls' time.
const CALLS_AHEAD: u32 = 2;
/// A call of any length settles or reserves so many jobs at once.
const SMALL_BATCH: usize = 200;
/// Redis is busy for about so long with each job of a call (`make bench-queue`).
const PER_JOB: Duration = Duration::from_micros(10);
/// What a handler costs that does nothing else (`make bench-queue`). Who takes hardly longer is not
/// quicker with more of them side by side; their tasks only take the processor from each other.
const PER_HANDLER: Duration = Duration::from_micros(5);
/// So many handlers run side by side however quick they are.
const SIDE_BY_SIDE: usize = 10;
/// A job that waited this long is handed back: the estimate was wrong.
const PATIENCE: Duration = Duration::from_millis(200);
/// After a worker vanished nothing is held ahead for this long: what is held counts as crashed when its
/// holder is, also what was never started.
const CALM: Duration = Duration::from_secs(10);

/// The jobs held ahead, and how many there should be.
#[derive(Default)]
pub(super) struct Ahead {
    /// With Redis's clock when it was handed out, and when that was.
    waiting: VecDeque<(Reservation, Millis, Instant)>,
    call: Duration,
    shortest_call: Duration,
    /// Rises at once and falls slowly, so that one slow handler among many quick ones counts.
    handling: Duration,
    calm_until: Option<Instant>,
}

impl Ahead {
    /// How many jobs to hold ahead of `permits`; `longest` is how long the oldest handler has been
    /// running.
    pub(super) fn depth(&self, permits: usize, longest: Duration, now: Instant) -> usize {
        if self.calm_until.is_some_and(|until| now < until) {
            return 0;
        }
        let window = self.call * CALLS_AHEAD;
        let handling = self.handling.max(longest);
        // Before anything was handled there is no estimate.
        if self.handling.is_zero() {
            return 0;
        }
        let started = window.as_nanos() * permits as u128 / handling.as_nanos().max(1);
        (started as usize).min(4 * self.batch())
    }

    /// How many handlers to run side by side, at most `permits`: as many as their time is worth.
    pub(super) fn side_by_side(&self, permits: usize, longest: Duration) -> usize {
        if self.handling.is_zero() {
            return permits;
        }
        let handling = self.handling.max(longest);
        let worth = handling.as_nanos() / PER_HANDLER.as_nanos();
        (worth as usize).max(SIDE_BY_SIDE).min(permits)
    }

    /// How many jobs one call may settle or reserve: it should not keep Redis busy for longer than it is
    /// on its way.
    pub(super) fn batch(&self) -> usize {
        let on_its_way = self.shortest_call / 2;
        let jobs = on_its_way.as_nanos() / PER_JOB.as_nanos();
        (jobs as usize).clamp(SMALL_BATCH, BATCH)
    }

    /// How many calls may be on their way beside the first: one, so that Redis works while we do; and one
    /// more where it would have nothing to do all the same, since it is so far away.
    pub(super) fn calls_beside(&self) -> usize {
        let busy = PER_JOB * self.batch() as u32;
        if self.shortest_call > busy + busy / 2 {
            BESIDE
        } else {
            1
        }
    }

    /// A handler took this long.
    pub(super) fn handled(&mut self, took: Duration) {
        self.handling = if took > self.handling {
            (self.handling + took) / 2
        } else {
            (self.handling * 15 + took) / 16
        };
    }

    /// A call took this long.
    pub(super) fn called(&mut self, took: Duration) {
        let rising = self.shortest_call + self.shortest_call / 64;
        self.shortest_call = if rising.is_zero() {
            took
        } else {
            took.min(rising)
        };
        self.call = if self.call.is_zero() {
            took
        } else {
            (self.call * 3 + took) / 4
        };
    }

    /// A worker vanished with what it held.
    pub(super) fn calm(&mut self, now: Instant) {
        self.calm_until = Some(now + CALM);
    }

    pub(super) fn push(&mut self, job: Reservation, clock: Millis, now: Instant) {
        self.waiting.push_back((job, clock, now));
    }

    /// The one that waits the longest, with Redis's clock when it was handed out.
    pub(super) fn pop(&mut self) -> Option<(Reservation, Millis)> {
        let (job, clock, _) = self.waiting.pop_front()?;
        Some((job, clock))
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When the oldest has waited too long.
    pub(super) fn stale_at(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, _, since)| *since + PATIENCE)
    }

    /// Takes them all out, to be handed back.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Reservation> {
        self.waiting.drain(..).map(|(job, _, _)| job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Duration = Duration::from_millis(1);

    fn after(handlings: &[Duration]) -> Ahead {
        let mut ahead = Ahead::default();
        ahead.called(CALL);
        for took in handlings {
            ahead.handled(*took);
        }
        ahead
    }

    fn depth(ahead: &Ahead, permits: usize) -> usize {
        ahead.depth(permits, Duration::ZERO, Instant::now())
    }

    #[test]
    fn as_many_are_held_as_start_during_two_calls() {
        let ahead = after(&[Duration::from_micros(100); 64]);
        assert_eq!(depth(&ahead, 1), 20);
        assert_eq!(depth(&ahead, 10), 200);
        assert_eq!(depth(&ahead, 1000), 4 * SMALL_BATCH, "Redis is near");
        let mut far = after(&[Duration::from_micros(10); 64]);
        for _ in 0..300 {
            far.called(50 * CALL);
        }
        assert_eq!(depth(&far, 1000), 4 * BATCH);
    }

    #[test]
    fn a_third_call_is_for_a_redis_that_is_far_away() {
        let mut ahead = Ahead::default();
        assert_eq!(ahead.calls_beside(), 1);
        for (call, beside) in [(20 * CALL, BESIDE), (CALL / 4, 1)] {
            ahead.called(call);
            assert_eq!(ahead.calls_beside(), beside, "{call:?}");
        }
    }

    #[test]
    fn nothing_is_held_for_slow_handlers_or_before_any_was_seen() {
        assert_eq!(depth(&after(&[]), 100), 0);
        let slow = after(&[Duration::from_secs(1)]);
        assert_eq!(depth(&slow, 100), 0);
    }

    #[test]
    fn one_slow_handler_among_quick_ones_counts_at_once() {
        let mut ahead = after(&[Duration::from_micros(10); 64]);
        assert!(depth(&ahead, 10) > 100);
        assert_eq!(
            ahead.depth(10, Duration::from_millis(100), Instant::now()),
            0,
            "one is still running"
        );
        ahead.handled(Duration::from_millis(100));
        assert_eq!(depth(&ahead, 10), 0, "it ended");
    }

    #[test]
    fn handlers_that_wait_for_anything_run_side_by_side_and_no_others() {
        let quick = after(&[Duration::from_micros(20); 64]);
        assert_eq!(quick.side_by_side(100, Duration::ZERO), SIDE_BY_SIDE);
        assert_eq!(quick.side_by_side(3, Duration::ZERO), 3);
        let longest = Duration::from_millis(1);
        assert_eq!(
            quick.side_by_side(100, longest),
            100,
            "one is still running"
        );
        let waiting = after(&[Duration::from_millis(1); 64]);
        assert_eq!(waiting.side_by_side(100, Duration::ZERO), 100);
        assert_eq!(after(&[]).side_by_side(100, Duration::ZERO), 100);
    }

    #[test]
    fn nothing_is_held_while_workers_vanish() {
        let mut ahead = after(&[Duration::from_micros(10); 64]);
        let now = Instant::now();
        ahead.calm(now);
        assert_eq!(ahead.depth(10, Duration::ZERO, now), 0);
        assert!(ahead.depth(10, Duration::ZERO, now + CALM) > 0);
    }
}
