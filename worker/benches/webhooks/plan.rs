//! How much is measured, and for how long.

use std::time::Duration;

/// Jobs of the worker, and bare requests, at a time.
pub(crate) const AT_A_TIME: usize = 100;
/// Receivers of the throughput, by path.
pub(crate) const RECEIVERS: usize = 100;
/// Receivers of the isolation, the first of which hang.
pub(crate) const NEIGHBOURS: usize = 20;
/// A fifth of them.
pub(crate) const HANGING: usize = NEIGHBOURS / 5;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Deliveries of one measurement of throughput.
    pub(crate) deliveries: usize,
    /// Measurements of each, in turn.
    pub(crate) repeats: usize,
    /// Webhooks a second while delays are measured.
    pub(crate) pace: usize,
    /// How long they come.
    pub(crate) span: Duration,
    /// What comes before this is not counted: connections are made, and receivers get known.
    pub(crate) warm_up: Duration,
}

impl Plan {
    /// Five minutes.
    pub(crate) const FULL: Self = Self {
        deliveries: 20_000,
        repeats: 5,
        pace: 200,
        span: Duration::from_secs(60),
        warm_up: Duration::from_secs(5),
    };
    /// Half a minute.
    pub(crate) const QUICK: Self = Self {
        deliveries: 3000,
        repeats: 1,
        pace: 100,
        span: Duration::from_secs(8),
        warm_up: Duration::from_secs(2),
    };
}
