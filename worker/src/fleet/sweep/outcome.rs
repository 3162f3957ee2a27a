//! What a pass comes to.

use std::collections::BTreeMap;

use shared::clock::Millis;
use shared::model::{Finding, InstanceId, Recovery, Suspect};

use crate::novita::ProviderId;

/// Everything that follows from a pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Suspects that are new or changed.
    pub store: BTreeMap<ProviderId, Suspect>,
    /// Suspects that are none any more.
    pub forget: Vec<ProviderId>,
    /// What to do.
    pub actions: Vec<Action>,
    /// What would have been done, and why it is not.
    pub withheld: Vec<(Action, Hold)>,
    /// What somebody should know.
    pub alarms: Vec<Alarm>,
    /// Whether lost records are being rebuilt, for the next pass.
    pub recovery: Recovery,
    /// For metrics; `None` when the list was not to be believed.
    pub counts: Option<Counts>,
}

/// One thing to do. Each may be repeated; only the announcement does not need a look by id first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Tell that nobody accounts for it: `orphan.suspected`.
    Announce {
        /// The provider's id.
        provider_id: ProviderId,
        /// The provider's name for it.
        name: String,
        /// The instance that its marker names.
        instance: InstanceId,
        /// Why nobody accounts for it.
        finding: Finding,
        /// When it was first seen so.
        first_seen: Millis,
    },
    /// Give the live record back what it lost: its attempt of this number has this id. One that is
    /// being discarded stays so.
    Adopt {
        /// Whose record.
        instance: InstanceId,
        /// The provider's id.
        provider_id: ProviderId,
        /// The attempt that its marker names.
        attempt: u32,
    },
    /// Make a record of it, unless there is one: see [`rebuilt`](super::rebuilt).
    Rebuild {
        /// The id of the record.
        instance: InstanceId,
        /// The provider's id.
        provider_id: ProviderId,
    },
    /// Stop it. There is no record.
    StopOrphan {
        /// The instance that its marker names.
        instance: InstanceId,
        /// The provider's id.
        provider_id: ProviderId,
    },
    /// Delete it. There is no record, or its record holds another instance.
    DeleteOrphan {
        /// The instance that its marker names.
        instance: InstanceId,
        /// The provider's id.
        provider_id: ProviderId,
    },
    /// Its record is closed: open it to have this instance deleted, and close it again after that.
    Reopen {
        /// Whose record.
        instance: InstanceId,
        /// The provider's id.
        provider_id: ProviderId,
    },
}

/// Why an action is not done although its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// Nothing but announcements was asked for.
    DryRun,
    /// Lost records are being rebuilt.
    Recovery,
    /// Too many at once.
    Breaker,
}

/// What somebody should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// The list is empty although records hold instances: a failure, not a fact.
    EmptyList {
        /// How many live records hold one.
        records: u64,
    },
    /// The list names an instance twice, so it may lack another.
    RepeatedId,
    /// Instances that are older than the record store have no record: the store was lost.
    RecoveryEntered {
        /// How many ids have none.
        lost: u64,
    },
    /// Every lost record was rebuilt.
    RecoveryCompleted,
    /// So many stops and deletes were wanted that something else must be wrong; none is made.
    BreakerTripped {
        /// How many.
        wanted: usize,
    },
    /// Instances bear a marker of this deployment without its signature, and no record holds them.
    LookAlikes {
        /// How many.
        count: u64,
    },
}

impl Alarm {
    /// The word for it in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::EmptyList { .. } => "empty_list",
            Self::RepeatedId => "repeated_id",
            Self::RecoveryEntered { .. } => "recovery_entered",
            Self::RecoveryCompleted => "recovery_completed",
            Self::BreakerTripped { .. } => "breaker_tripped",
            Self::LookAlikes { .. } => "look_alikes",
        }
    }
}

/// What a complete list holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instances of this deployment.
    pub ours: u64,
    /// All others.
    pub foreign: u64,
    /// Of ours, those that nobody accounts for.
    pub suspects: u64,
    /// Of these, those for which that is settled: seen long and often enough.
    pub orphans: u64,
}
