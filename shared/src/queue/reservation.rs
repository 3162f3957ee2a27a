//! What a worker holds, and what it gives back.

use std::time::Duration;

use super::job::{Job, JobId};
use crate::clock::Millis;
use crate::model::{Event, InstanceId, Operation, Reservation as BudgetReservation, Status};
use crate::redis::Keys;
use crate::stock::StockNote;
use crate::webhooks::Entry;

/// A job that this process holds until it is settled or its lease ends.
#[derive(Debug)]
#[must_use = "a reservation that is dropped blocks its job until the lease ends"]
pub struct Reservation {
    /// Which job.
    pub id: JobId,
    /// Proof of ownership: every write carries it, and a stale one changes nothing.
    pub token: String,
    /// Since when it was runnable, by Redis's clock.
    pub since: Millis,
    /// Its last holder vanished: the lease ended before anything was settled.
    pub is_recovered: bool,
    /// Its last holder vanished while nothing but this job ran there.
    pub was_alone: bool,
    /// How often it was handed out since it last got on.
    pub attempt: u32,
    /// How often a holder vanished since it last got on.
    pub crashes: u32,
    /// How often it failed since it last got on.
    pub errors: u32,
    /// The stored body; see [`Job::parse`].
    pub body: String,
}

impl Reservation {
    /// Gives the job back, with what it came to.
    pub fn settle(self, verdict: Verdict, writes: Vec<Write>) -> Settlement {
        Settlement {
            id: self.id,
            token: self.token,
            verdict,
            writes,
        }
    }
}

/// What a reserved job came to; takes effect when it is exchanged.
#[derive(Debug)]
#[must_use]
pub struct Settlement {
    pub(super) id: JobId,
    pub(super) token: String,
    pub(super) verdict: Verdict,
    pub(super) writes: Vec<Write>,
}

impl Settlement {
    /// Which job.
    #[must_use]
    pub fn id(&self) -> &JobId {
        &self.id
    }

    /// How many changes it carries.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.writes.len()
    }

    /// It is done, and there is nothing else to tell: most are, and scripts take them in by their id.
    pub(super) fn is_plain(&self) -> bool {
        self.verdict == Verdict::Done && self.writes.is_empty()
    }

    /// What becomes of it.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The settlement of a job whose handler vanished together with its reservation.
    pub fn of_lost(id: JobId, token: String, verdict: Verdict) -> Self {
        Self {
            id,
            token,
            verdict,
            writes: Vec::new(),
        }
    }
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Finished.
    Done,
    /// Got on; look again after this long.
    Again(Duration),
    /// Failed; try again after this long.
    Retry {
        /// The wait.
        after: Duration,
        /// Why, for people.
        error: String,
    },
    /// Came to nothing in a way that a handler must not: counts as if its worker had vanished with it.
    Crash {
        /// The wait.
        after: Duration,
        /// Why, for people.
        error: String,
    },
    /// Given up; kept in the dead letter.
    Dead {
        /// Why, for people.
        error: String,
    },
    /// Not started, or stopped in the middle: anyone may take it at once, and no attempt is spent.
    Release,
    /// Not started, because it is not its turn: anyone may take it after this long, and no attempt is
    /// spent.
    Hold(Duration),
}

impl Verdict {
    /// The word that the scripts know it by, also for metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Again(_) => "at",
            Self::Retry { .. } => "retry",
            Self::Crash { .. } => "crash",
            Self::Dead { .. } => "dead",
            Self::Release => "release",
            Self::Hold(_) => "hold",
        }
    }
}

/// A change that takes effect together with a settlement, and only if its token still holds.
#[derive(Debug)]
pub enum Write {
    /// The instance's new status.
    Status(InstanceId, Box<Status>),
    /// An operation's new state.
    Operation(Box<Operation>),
    /// The next entry of an instance's event log.
    Event(Box<Event>),
    /// The instance no longer holds this name.
    ReleaseName(String, InstanceId),
    /// The instance is over: out of the listing, kept by id until it is pruned.
    Close(InstanceId),
    /// A field of a hash has this value from now on.
    Set(Hash, String, String),
    /// A field of a hash is needed no more.
    Unset(Hash, String),
    /// What was learned about an offer.
    Stock(StockNote),
    /// The instance's part of the budget, unless a later wish has reserved one already.
    Reserve(InstanceId, BudgetReservation),
    /// A line of the log of deliveries.
    Delivery(Box<Entry>),
    /// A follow-up job, due after this long; one that waits keeps the earlier time.
    Enqueue(Job, Duration),
}

/// A hash whose fields belong to what a settlement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// Instance id → its caller's environment variables, encrypted.
    Envs,
    /// The provider's id → the instance whose attempt it is, as long as it may exist.
    Bound,
    /// Instance id → what is waited for at the provider; see [`Watched`](crate::fleet::Watched).
    Watch,
    /// Digest of a URL → since when its receiver wants no webhooks; see
    /// [`Gone`](crate::webhooks::Gone).
    Gone,
}

impl Hash {
    pub(super) fn key(self, names: &Keys) -> String {
        match self {
            Self::Envs => names.envs(),
            Self::Bound => names.bound(),
            Self::Watch => names.watch(),
            Self::Gone => names.gone(),
        }
    }
}
