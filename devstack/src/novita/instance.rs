//! One simulated instance: pure state that advances with simulated time.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::billing::{Meter, Terms};
use super::clock::SimTime;
use super::order::Order;
use super::settings::Settings;
use super::spot::{Spot, SpotStep};
use super::status::Status;

/// Statuses remembered for a lagging list.
const MAX_HISTORY: usize = 256;

/// A failure shown beside the status; an empty `state` is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusError {
    /// A word such as `oom`.
    pub(crate) state: String,
    /// For people.
    #[serde(default)]
    pub(crate) message: String,
}

/// What the product gave the instance.
#[derive(Debug, Clone)]
pub(crate) struct Hardware {
    pub(crate) product_name: String,
    pub(crate) cpu_num: u32,
    /// GB.
    pub(crate) memory: u32,
    /// GB.
    pub(crate) max_root_fs: u32,
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
}

/// The way in of one run; a new one each time.
#[derive(Debug, Clone)]
pub(crate) struct Ssh {
    pub(crate) port: u16,
    pub(crate) password: String,
}

/// A running job; while there is one the instance refuses actions.
#[derive(Debug, Clone)]
pub(crate) struct RunningJob {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
}

#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) id: String,
    /// Rises with every create: lists show the newest first.
    pub(crate) number: u64,
    pub(crate) order: Order,
    pub(crate) hardware: Hardware,
    pub(crate) terms: Terms,
    pub(crate) created_at: SimTime,
    pub(crate) last_started_at: Option<SimTime>,
    pub(crate) last_stopped_at: Option<SimTime>,
    pub(crate) error: StatusError,
    /// Appears when the image is pulled next.
    pub(crate) pull_failure: Option<StatusError>,
    /// `None` unless billed as spot.
    pub(crate) spot: Option<Spot>,
    pub(crate) job: Option<RunningJob>,
    /// Overrides the setting for all applications.
    pub(crate) healthy: Option<bool>,
    pub(crate) ssh: Option<Ssh>,
    /// Where the ports answer, filled in by whoever opens the listeners.
    pub(crate) endpoints: BTreeMap<u16, SocketAddr>,
    /// Rises whenever it begins to run.
    pub(crate) runs: u32,
    /// Whether it occupies its GPUs.
    pub(crate) holds_gpus: bool,
    /// No longer listed, and not found by id.
    pub(crate) absent: bool,
    status: Status,
    since: SimTime,
    /// Nothing may happen before this any more, even if delays are shortened.
    advanced_to: SimTime,
    history: VecDeque<(SimTime, Status)>,
    compute: Meter,
    storage: Meter,
    rng: StdRng,
}

enum Step {
    Enter(Status),
    Spot(SpotStep),
    Vanish,
}

/// What a new instance is made of.
pub(crate) struct Birth {
    pub(crate) id: String,
    pub(crate) number: u64,
    pub(crate) order: Order,
    pub(crate) hardware: Hardware,
    pub(crate) terms: Terms,
    pub(crate) is_spot: bool,
    pub(crate) pull_failure: Option<StatusError>,
    pub(crate) seed: u64,
}

impl Instance {
    pub(crate) fn new(birth: Birth, now: SimTime) -> Self {
        Self {
            id: birth.id,
            number: birth.number,
            order: birth.order,
            hardware: birth.hardware,
            terms: birth.terms,
            created_at: now,
            last_started_at: None,
            last_stopped_at: None,
            error: StatusError::default(),
            pull_failure: birth.pull_failure,
            spot: birth.is_spot.then_some(Spot::NEW),
            job: None,
            healthy: None,
            ssh: None,
            endpoints: BTreeMap::new(),
            runs: 0,
            holds_gpus: true,
            absent: false,
            status: Status::Pending,
            since: now,
            advanced_to: now,
            history: VecDeque::from([(now, Status::Pending)]),
            compute: Meter::default(),
            storage: Meter::default(),
            rng: StdRng::seed_from_u64(birth.seed),
        }
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    pub(crate) fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// What it was at an earlier moment; `None` before it existed.
    pub(crate) fn status_at(&self, moment: SimTime) -> Option<&Status> {
        self.history
            .iter()
            .rev()
            .find(|(at, _)| *at <= moment)
            .map(|(_, status)| status)
    }

    /// The status in which the latest migration ended.
    pub(crate) fn after_migration(&self) -> Option<&Status> {
        let began = self
            .history
            .iter()
            .rposition(|(_, status)| *status == Status::Migrating)?;
        self.history.get(began + 1).map(|(_, status)| status)
    }

    pub(crate) fn billed_seconds(&self, now: SimTime) -> f64 {
        self.compute.counted(now).as_seconds()
    }

    pub(crate) fn cost_usd(&self, now: SimTime) -> f64 {
        self.terms.cost_usd(
            self.compute.counted(now).as_seconds(),
            self.storage.counted(now).as_seconds(),
        )
    }

    /// Everything that happens by itself up to `now`, each at its own moment.
    pub(crate) fn advance(&mut self, now: SimTime, settings: &Settings) {
        while let Some((due, step)) = self.next_step(settings) {
            let at = due.max(self.advanced_to);
            if at > now {
                break;
            }
            match step {
                Step::Enter(status) => self.enter(status, at, settings),
                Step::Spot(SpotStep::Becomes(spot)) => self.spot = Some(spot),
                Step::Spot(SpotStep::Ends) => self.enter(Status::Exited, at, settings),
                Step::Vanish => self.absent = true,
            }
            self.advanced_to = at;
        }
        self.advanced_to = self.advanced_to.max(now);
    }

    fn next_step(&self, settings: &Settings) -> Option<(SimTime, Step)> {
        match &self.status {
            Status::Running => {
                let (at, step) = self.spot?.next(self.since, &settings.spot)?;
                Some((at, Step::Spot(step)))
            }
            Status::Removed if self.absent => None,
            Status::Removed => Some((self.since.plus(settings.delays.removed), Step::Vanish)),
            status if status.is_coming_up() && !self.error.state.is_empty() => None,
            status => {
                let (delay, next) = status.successor(settings)?;
                Some((self.since.plus(delay), Step::Enter(next)))
            }
        }
    }

    /// Changes the status and all that hangs on it.
    pub(crate) fn enter(&mut self, status: Status, at: SimTime, settings: &Settings) {
        if status.is_billed() {
            self.compute.run(at);
            self.storage.run(at);
        } else {
            self.compute.stop(at);
        }
        self.ssh = None;
        self.endpoints.clear();
        match &status {
            Status::Pulling => {
                if let Some(failure) = self.pull_failure.take() {
                    self.error = failure;
                }
            }
            Status::ToStart => self.error = StatusError::default(),
            Status::Running => self.begin_run(at, settings),
            Status::Exited => {
                self.last_stopped_at = Some(at);
                self.spot = self.spot.map(Spot::stopped);
                self.holds_gpus = false;
            }
            Status::ToRemove | Status::Removing | Status::Removed => self.storage.stop(at),
            _ => {}
        }
        match &status {
            Status::Exited | Status::ToRemove | Status::Removing => {}
            Status::Removed => self.holds_gpus = false,
            _ => self.holds_gpus = true,
        }
        self.remember(&status, at);
        self.status = status;
        self.since = at;
        self.advanced_to = self.advanced_to.max(at);
    }

    fn begin_run(&mut self, at: SimTime, settings: &Settings) {
        self.runs += 1;
        self.last_started_at = Some(at);
        self.spot = self.spot.map(|spot| spot.started(&settings.spot));
        let password = (0..16).map(|_| char::from(self.rng.sample(rand::distr::Alphanumeric)));
        let password = password.collect();
        self.ssh = Some(Ssh {
            port: self.rng.random_range(30_000..60_000),
            password,
        });
    }

    fn remember(&mut self, status: &Status, at: SimTime) {
        self.history.push_back((at, status.clone()));
        if self.history.len() > MAX_HISTORY {
            self.history.pop_front();
        }
    }

    /// An empty `state` lets a stuck instance go on, with its delay from now.
    pub(crate) fn set_error(&mut self, error: StatusError, now: SimTime) {
        let was_stuck = self.status.is_coming_up() && !self.error.state.is_empty();
        if was_stuck && error.state.is_empty() {
            self.since = now;
        }
        self.error = error;
    }
}
