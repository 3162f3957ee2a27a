//! What is measured, with how many jobs.

use std::fmt;

use crate::system::Route;

/// One kind of measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    /// One process enqueues, one call at a time.
    Enqueue {
        /// Jobs per call.
        batch: usize,
    },
    /// Worker processes empty a queue that was filled beforehand.
    Drain {
        /// Processes.
        workers: usize,
        /// Jobs handled at a time, per process.
        permits: usize,
    },
    /// One job at a time, to an idle worker.
    Paced {
        /// Between two jobs.
        interval_ms: u64,
    },
}

/// Jobs per call when enqueued in bulk.
pub(crate) const BULK: usize = 100;
/// The permits that are measured.
pub(crate) const PERMITS: [usize; 3] = [1, 10, 100];
/// The numbers of worker processes that are measured.
pub(crate) const WORKERS: [usize; 2] = [1, 4];
/// Enqueued one by one.
pub(crate) const SINGLE: Case = Case::Enqueue { batch: 1 };
/// Enqueued in bulk.
pub(crate) const IN_BULK: Case = Case::Enqueue { batch: BULK };
/// The load under which commands per job are counted.
pub(crate) const LOADED: Case = Case::Drain {
    workers: 1,
    permits: 10,
};
/// A queue in which there is seldom anything.
pub(crate) const SPARSE: Case = Case::Paced { interval_ms: 500 };
/// Often enough for a 99th percentile, seldom enough for an idle worker.
pub(crate) const PICK_UP: Case = Case::Paced { interval_ms: 80 };

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enqueue { batch: 1 } => f.write_str("enqueue, 1 per call"),
            Self::Enqueue { batch } => write!(f, "enqueue, {batch} per call"),
            Self::Drain { workers, permits } => {
                let (s, w) = (plural(*permits), plural(*workers));
                write!(f, "process, {workers} worker{w} × {permits} permit{s}")
            }
            Self::Paced { interval_ms } => write!(f, "one job per {interval_ms} ms"),
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// One measurement, repeated and interleaved between systems.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Which kind.
    pub(crate) case: Case,
    /// Which way to Redis.
    pub(crate) route: Route,
    /// With how many jobs.
    pub(crate) jobs: usize,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Of each measurement.
    pub(crate) repeats: usize,
    /// Every number of jobs is divided by this.
    divisor: usize,
}

impl Plan {
    /// For figures that are kept.
    pub(crate) const FULL: Self = Self {
        repeats: 3,
        divisor: 1,
    };
    /// For a look.
    pub(crate) const QUICK: Self = Self {
        repeats: 1,
        divisor: 5,
    };

    /// Everything of which jobs per second are told.
    pub(crate) fn throughput(self) -> Vec<Step> {
        let mut steps = Vec::new();
        for route in Route::ALL {
            for case in [SINGLE, IN_BULK] {
                steps.push(self.step(case, route));
            }
            for workers in WORKERS {
                for permits in PERMITS {
                    steps.push(self.step(Case::Drain { workers, permits }, route));
                }
            }
        }
        steps
    }

    /// Everything of which latency is told.
    pub(crate) fn paced(self) -> Vec<Step> {
        let mut steps = vec![self.step(SPARSE, Route::Resp)];
        steps.extend(Route::ALL.map(|route| self.step(PICK_UP, route)));
        steps
    }

    fn step(self, case: Case, route: Route) -> Step {
        let is_far = route == Route::Rtt20;
        let jobs: usize = match case {
            Case::Enqueue { batch: 1 } if is_far => 100,
            Case::Enqueue { batch: 1 } => 4_000,
            Case::Enqueue { .. } => 20_000,
            // Each takes a round trip.
            Case::Drain {
                workers,
                permits: 1,
            } if is_far => 100 * workers,
            Case::Drain {
                workers,
                permits: 10,
            } if is_far => 1_000 * workers,
            Case::Drain { permits: 1, .. } => 4_000,
            // Long enough that the start of the processes hardly counts.
            Case::Drain { .. } => 40_000,
            Case::Paced { interval_ms: 500 } => 40,
            Case::Paced { .. } => 250,
        };
        Step {
            case,
            route,
            jobs: jobs.div_ceil(self.divisor),
        }
    }
}
