//! All samples of a run, and the questions asked of them.

use std::collections::BTreeMap;

use devstack::benchmarks::quantile;

use crate::measure::Sample;
use crate::plan::{Case, IN_BULK, LOADED, PICK_UP, SINGLE, SPARSE};
use crate::system::{Route, System};

/// Median, smallest and largest of several repeats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// Everything measured so far.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<(Route, Case, System), Vec<Sample>>);

impl Figures {
    /// Adds one sample.
    pub(crate) fn add(&mut self, system: System, route: Route, case: Case, sample: Sample) {
        let samples = self.0.entry((route, case, system)).or_default();
        samples.push(sample);
    }

    /// What was measured, in the order of the tables.
    pub(crate) fn cases(&self) -> Vec<(Route, Case)> {
        let mut cases: Vec<_> = self
            .0
            .keys()
            .map(|(route, case, _)| (*route, *case))
            .collect();
        cases.dedup();
        cases
    }

    /// One figure of all repeats.
    pub(crate) fn spread(
        &self,
        system: System,
        route: Route,
        case: Case,
        figure: impl Fn(&Sample) -> f64,
    ) -> Option<Spread> {
        let samples = self.0.get(&(route, case, system))?;
        let mut values: Vec<f64> = samples.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        Some(Spread {
            median: quantile(&values, 0.5)?,
            min: *values.first()?,
            max: *values.last()?,
        })
    }

    /// Our median jobs per second, over the better peer's.
    pub(crate) fn throughput_ratio(&self, route: Route, case: Case) -> Option<f64> {
        let median = |system| {
            let spread = self.spread(system, route, case, |sample| sample.jobs_per_second);
            Some(spread?.median)
        };
        let best = System::PEERS
            .into_iter()
            .filter_map(median)
            .reduce(f64::max)?;
        Some(median(System::Ours)? / best)
    }

    fn commands(&self, system: System, case: Case) -> Option<f64> {
        let spread = self.spread(system, Route::Resp, case, |sample| sample.commands);
        Some(spread?.median)
    }

    /// Commands of a job's whole life when each is enqueued by itself, over RESP, under load.
    pub(crate) fn commands_single(&self, system: System) -> Option<f64> {
        Some(self.commands(system, SINGLE)? + self.commands(system, LOADED)?)
    }

    /// The same when jobs are enqueued in bulk.
    pub(crate) fn commands_bulk(&self, system: System) -> Option<f64> {
        Some(self.commands(system, IN_BULK)? + self.commands(system, LOADED)?)
    }

    /// The same when there is seldom a job.
    pub(crate) fn commands_sparse(&self, system: System) -> Option<f64> {
        self.commands(system, SPARSE)
    }

    /// The `q`-quantile of all pick-up latencies, in ms.
    pub(crate) fn pick_up(&self, system: System, route: Route, q: f64) -> Option<f64> {
        let samples = self.0.get(&(route, PICK_UP, system))?;
        let mut all: Vec<f64> = samples
            .iter()
            .flat_map(|sample| sample.pick_up_ms.iter().copied())
            .collect();
        all.sort_by(f64::total_cmp);
        quantile(&all, q)
    }
}

/// Ours over the better peer's, of something that is better when small.
pub(crate) fn cost_ratio(of: impl Fn(System) -> Option<f64>) -> Option<f64> {
    let best = System::PEERS.into_iter().filter_map(&of).reduce(f64::min)?;
    Some(of(System::Ours)? / best)
}
