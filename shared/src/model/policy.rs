//! Stopping what nobody uses, or what ran for too long, on behalf of its caller.
//!
//! A policy never changes what its caller wants. It adds a stop that counts only as long as the caller
//! wants nothing else, so that every later wish wins. Nothing is ever deleted.

mod decide;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::decide::decide;
use super::spec::{Desired, Spec};
use super::status::Status;
use crate::clock::Millis;

/// Why an instance is stopped that its caller wants to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// Nobody used it for too long.
    Idle,
    /// It ran for as long as it may.
    Lifetime,
    /// A rule of another release.
    #[serde(other)]
    Other,
}

impl StopReason {
    /// The word for events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Other => "other",
        }
    }

    /// The name of the rule in the cause of an event.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Idle => "AUTO_STOP",
            Self::Lifetime => "MAX_LIFETIME",
            Self::Other => "OTHER",
        }
    }
}

/// A stop that a policy asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStop {
    /// Why.
    pub reason: StopReason,
    /// The generation of the spec for which it counts.
    pub generation: u64,
    /// When it was decided.
    pub since: Millis,
}

/// The last stop that was announced, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Warnings {
    /// Because nobody uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Warned>,
    /// Because it runs for too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Warned>,
}

/// A stop that was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warned {
    /// When that was told.
    pub at: Millis,
    /// When it is to be stopped.
    pub stops_at: Millis,
    /// It was told to nobody, because nothing is to be stopped at the moment.
    #[serde(default)]
    pub dry_run: bool,
    /// Its time came, and it was counted instead of stopped.
    #[serde(default)]
    pub withheld: bool,
}

impl Warnings {
    /// Of this reason.
    #[must_use]
    pub fn of(&self, reason: StopReason) -> Option<&Warned> {
        match reason {
            StopReason::Idle => self.idle.as_ref(),
            StopReason::Lifetime => self.lifetime.as_ref(),
            StopReason::Other => None,
        }
    }

    /// Replaces the one of this reason.
    pub fn set(&mut self, reason: StopReason, warned: Option<Warned>) {
        match reason {
            StopReason::Idle => self.idle = warned,
            StopReason::Lifetime => self.lifetime = warned,
            StopReason::Other => {}
        }
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a caller asked for at create.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoStop {
    /// Whether it is stopped when it is idle; when it is not said, a time of its own says yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// For how long nobody may use it, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_minutes: Option<u32>,
}

/// What holds for every instance that does not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRules {
    /// Idle instances are stopped.
    pub stops_idle: bool,
    /// For how long nobody may use one that was used.
    pub idle: Duration,
    /// The same for one that was not used since it got ready, counted from there.
    pub ready_grace: Duration,
    /// The same, counted from its creation.
    pub created_grace: Duration,
    /// The longest time that one runs after its create or its last start.
    pub lifetime: Option<Duration>,
    /// From the warning to the stop of an idle one.
    pub warning: Duration,
    /// Idle instances are not stopped; it is only told which would be.
    pub dry_run: bool,
}

/// What is to be done for a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyStep {
    /// Nothing, and nothing before this time.
    Wait(Option<Millis>),
    /// It is told that the instance will be stopped then.
    Warn(StopReason, Warned),
    /// The announced stop is off; that is told to whoever was told of it.
    Recall(StopReason),
    /// It would be stopped now, if this were no dry run.
    Withhold(StopReason),
    /// It is stopped.
    Stop(StopReason),
}

/// What is wanted of an instance, with the stop of a policy taken into account.
#[must_use]
pub fn wanted(spec: &Spec, status: &Status) -> Desired {
    match spec.desired {
        Desired::Running if stop_in_effect(spec, status).is_some() => Desired::Stopped,
        desired => desired,
    }
}

/// The stop of a policy, as long as its caller wants nothing else.
#[must_use]
pub fn stop_in_effect<'a>(spec: &Spec, status: &'a Status) -> Option<&'a PolicyStop> {
    let stop = status.policy.as_ref()?;
    (stop.generation == spec.generation && spec.desired == Desired::Running).then_some(stop)
}
