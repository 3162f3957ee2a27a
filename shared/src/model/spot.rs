//! Spot machines, which the provider may take back: what is known of that, and what is done about it.
//!
//! A replacement comes up beside the instance that serves. It becomes the current attempt only once it is
//! ready; what it replaces is removed after that. So there are two of them for a while, and never none
//! that could have been kept.

mod beside;
mod decide;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::beside::{Behind, Beside, Boot, Role};
pub use self::decide::{SpotStep, decide, is_replacement_wanted};
use super::status::ProviderFacts;
use crate::clock::Millis;

/// Replacements of one instance within [`REPLACEMENT_WINDOW`]; then it waits (domain rules).
pub const REPLACEMENTS_ALLOWED: usize = 3;
/// See [`REPLACEMENTS_ALLOWED`].
pub const REPLACEMENT_WINDOW: Duration = Duration::from_secs(3600);

/// What is done when the provider takes a spot machine back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpotPolicy {
    /// It is told, and nothing is done.
    #[default]
    None,
    /// Another one is ordered as soon as notice is given, and takes over when it is ready.
    Replace,
    /// The same, not as a spot machine.
    OnDemand,
    /// Once it is lost the provider is asked to move it. What was on its disks is lost.
    Migrate,
}

impl SpotPolicy {
    /// The word for configuration, events and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Replace => "replace",
            Self::OnDemand => "on_demand",
            Self::Migrate => "migrate",
        }
    }
}

/// What holds for every spot instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpotRules {
    /// What is done.
    pub policy: SpotPolicy,
    /// It is only told what would be done.
    pub dry_run: bool,
    /// From one migration of an instance to the next.
    pub migration_gap: Duration,
    /// A migration that takes longer has failed.
    pub migration_timeout: Duration,
    /// What could not be migrated is replaced.
    pub replaces_failed: bool,
}

/// What is known and was done about one spot machine being taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SpotState {
    /// The reclaim that was told, in Unix seconds; 0 when the provider did not say when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noticed: Option<u64>,
    /// When it was found lost; until it runs again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Millis>,
    /// This notice or loss was counted instead of acted upon.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// When replacements were begun, as far as they still count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Millis>,
    /// The last migration that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
}

impl SpotState {
    /// Nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A migration that was asked for. One call per loss: a second may be a second job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// When the call was about to be made.
    pub called_at: Millis,
    /// It was seen on its way.
    #[serde(default)]
    pub was_moving: bool,
    /// It came to nothing.
    #[serde(default)]
    pub failed: bool,
}

impl ProviderFacts {
    /// The provider will take it, or is about to.
    #[must_use]
    pub fn is_wanted_back(&self) -> bool {
        matches!(self.spot_status.as_str(), "notified" | "reclaiming")
    }

    /// The provider took it. A reclaim before its last start is an old one: both times are the
    /// provider's own.
    #[must_use]
    pub fn is_reclaimed(&self) -> bool {
        let is_taken = match self.spot_status.as_str() {
            "terminated" => true,
            "" | "running" => self
                .spot_reclaim_at
                .is_some_and(|at| self.last_started.is_none_or(|started| at >= started)),
            _ => self.spot_reclaim_at.is_some(),
        };
        self.status == "exited" && is_taken
    }
}
