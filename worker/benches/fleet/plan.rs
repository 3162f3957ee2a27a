//! How much is measured, and for how long.

use std::time::Duration;

use crate::steady::START_PHASE;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Instances that boot.
    pub(crate) booting: usize,
    /// Within this time they begin to run.
    pub(crate) boot_span: Duration,
    /// Instances at rest.
    pub(crate) steady: usize,
    /// Workers that share them, in the second measurement.
    pub(crate) replicas: usize,
    /// How long their requests are counted.
    pub(crate) steady_span: Duration,
    /// Instances of which some change.
    pub(crate) crowd: usize,
    /// Changes per second.
    pub(crate) pace: usize,
    /// For so long they stop one after another, and for so long they start again.
    pub(crate) crowd_span: Duration,
    /// How long after the start of a worker what it does counts as steady.
    pub(crate) start_phase: Duration,
}

impl Plan {
    /// Ten minutes.
    pub(crate) const FULL: Self = Self {
        booting: 1000,
        boot_span: Duration::from_secs(60),
        steady: 1000,
        replicas: 3,
        steady_span: Duration::from_secs(120),
        crowd: 10_000,
        pace: 50,
        crowd_span: Duration::from_secs(60),
        start_phase: START_PHASE,
    };
    /// A minute or two; passes are still quick, so there are too many requests.
    pub(crate) const QUICK: Self = Self {
        booting: 200,
        boot_span: Duration::from_secs(15),
        steady: 200,
        replicas: 3,
        steady_span: Duration::from_secs(30),
        crowd: 1000,
        pace: 20,
        crowd_span: Duration::from_secs(15),
        start_phase: Duration::ZERO,
    };

    /// How many instances of the crowd change.
    pub(crate) fn changes(&self) -> usize {
        self.pace * self.crowd_span.as_secs() as usize
    }
}
