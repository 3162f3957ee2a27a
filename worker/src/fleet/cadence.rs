//! How often the fleet is looked at: often after a start, seldom while there is nothing to look after.

use std::time::Duration;

use shared::fleet::PassReport;
use tokio::time::Instant;

/// For so long after the start of a worker, passes come quickly: what happened while nobody looked is
/// found soon.
const START: Duration = Duration::from_secs(200);
/// From one of these passes to the next.
const START_EVERY: Duration = Duration::from_secs(10);
/// From one pass to the next while there is nothing to look after: whatever is ordered makes the next one
/// due, and every command is billed.
const IDLE_EVERY: Duration = Duration::from_secs(1800);

/// When the next looks are due.
#[derive(Debug)]
pub(crate) struct Cadence {
    /// From one pass to the next.
    pub(crate) slow: Duration,
    /// From one look at what is on its way to the next.
    pub(crate) fast: Duration,
    started: Instant,
}

impl Cadence {
    pub(crate) fn new(slow: Duration, fast: Duration) -> Self {
        Self {
            slow,
            fast,
            started: Instant::now(),
        }
    }

    /// How long after the beginning of a pass the next one begins.
    pub(super) fn after_pass(&self, report: &PassReport) -> Duration {
        self.every(report, self.started.elapsed())
    }

    fn every(&self, report: &PassReport, running: Duration) -> Duration {
        if report.idle > 0 && !report.recovery.is_on() {
            return IDLE_EVERY;
        }
        if running < START {
            return self.slow.min(START_EVERY);
        }
        self.slow
    }
}

/// What is left of `every` when `spent` of it went by; never so little that nothing else gets a turn.
pub(super) fn rest(every: Duration, spent: Duration) -> Duration {
    every.saturating_sub(spent).max(every / 10)
}

#[cfg(test)]
mod tests {
    use shared::clock::Millis;
    use shared::model::Recovery;

    use super::*;

    const SLOW: Duration = Duration::from_secs(30);

    fn report(idle: u32, recovery: Recovery) -> PassReport {
        PassReport {
            idle,
            recovery,
            ..PassReport::default()
        }
    }

    #[test]
    fn passes_are_quick_after_the_start_and_seldom_when_there_is_nothing() {
        let cadence = Cadence::new(SLOW, SLOW);
        let every = |idle, recovery, running| cadence.every(&report(idle, recovery), running);
        assert_eq!(every(0, Recovery::Off, Duration::ZERO), START_EVERY);
        assert_eq!(every(1, Recovery::Off, Duration::ZERO), IDLE_EVERY);
        assert_eq!(every(0, Recovery::Off, START), SLOW);
        let recovery = Recovery::On {
            since: Millis(1),
            clean: 0,
            last_clean: None,
        };
        assert_eq!(every(9, recovery, START), SLOW);
    }

    #[test]
    fn a_look_that_takes_long_leaves_a_pause() {
        assert_eq!(rest(SLOW, SLOW / 3), SLOW * 2 / 3);
        assert_eq!(rest(SLOW, SLOW * 2), SLOW / 10);
    }
}
