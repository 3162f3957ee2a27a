//! What happened to an instance, in order, with its cause.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ids::{EventId, InstanceId, OperationId};
use super::phase::Phase;
use crate::clock::Millis;

/// One entry of an instance's event log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Unique; the `webhook-id` of the webhook it causes, if any.
    pub id: EventId,
    /// Whose event it is.
    pub instance_id: InstanceId,
    /// Position in the instance's log, from 1, without gaps.
    pub number: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When, by Redis's clock.
    pub at: Millis,
    /// One sentence for people: why it happened.
    pub reason: String,
    /// What led to it.
    #[serde(default)]
    pub cause: Cause,
    /// Whose doing it is.
    #[serde(default)]
    pub actor: Actor,
    /// The change of phase that it completes, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<PhaseChange>,
    /// Facts that belong to it; an object.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// From one phase to another, as callers see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseChange {
    /// The phase before.
    pub from: Phase,
    /// The phase from this event on.
    pub to: Phase,
}

/// What led to an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Cause {
    /// A caller asked for it.
    Operation {
        /// In this operation.
        #[schema(value_type = String)]
        operation_id: OperationId,
    },
    /// The provider was looked at, or answered.
    Provider {
        /// Its word: a status, or the code of a refusal.
        said: String,
    },
    /// A rule of ours: a deadline, a limit.
    Policy {
        /// Which, by the code of its verdict.
        name: String,
    },
    /// The search for instances that nobody accounts for.
    Sweeper,
    /// Not recorded: written by another release.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Whose doing an event is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Actor {
    /// A caller of the API.
    Caller,
    /// A worker, by a rule of ours.
    Policy,
    /// The provider.
    Provider,
    /// Somebody with the provider's console.
    Operator,
    /// Not recorded: written by another release.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Cause {
    /// A rule by the code of its verdict.
    #[must_use]
    pub fn policy(name: &str) -> Self {
        Self::Policy {
            name: name.to_owned(),
        }
    }

    /// Who acts when this is the cause.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Operation { .. } => Actor::Caller,
            Self::Provider { .. } => Actor::Provider,
            Self::Policy { .. } | Self::Sweeper => Actor::Policy,
            Self::Unknown => Actor::Unknown,
        }
    }
}

/// The kinds of events, by the names that webhooks use as `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum EventKind {
    /// An offer was chosen and is about to be ordered.
    #[serde(rename = "instance.offer_chosen")]
    OfferChosen,
    /// The provider refused an order; nothing was created.
    #[serde(rename = "instance.offer_refused")]
    OfferRefused,
    /// The fate of an order is unknown; it is being looked for.
    #[serde(rename = "instance.create_unclear")]
    CreateUnclear,
    /// The provider has the instance.
    #[serde(rename = "instance.created")]
    Created,
    /// A created instance is of no use and is being removed.
    #[serde(rename = "instance.attempt_discarded")]
    AttemptDiscarded,
    /// The provider says it runs.
    #[serde(rename = "instance.running")]
    Running,
    /// Its endpoints are being checked.
    #[serde(rename = "instance.health_checking")]
    HealthChecking,
    /// Every check passed.
    #[serde(rename = "instance.ready")]
    Ready,
    /// The provider's word changed in a way nobody asked for.
    #[serde(rename = "instance.drifted")]
    Drifted,
    /// A start or restart was taken up.
    #[serde(rename = "instance.start_initiated")]
    StartInitiated,
    /// A start or restart came to a running instance whose checks passed.
    #[serde(rename = "instance.started")]
    Started,
    /// A start or restart was given up; the instance stays as it is.
    #[serde(rename = "instance.start_failed")]
    StartFailed,
    /// A stop was taken up.
    #[serde(rename = "instance.stopping")]
    Stopping,
    /// The provider says it is stopped, as was wanted.
    #[serde(rename = "instance.stopped")]
    Stopped,
    /// The provider does not have it any more, and nobody here asked for that.
    #[serde(rename = "instance.vanished")]
    Vanished,
    /// Its removal was taken up.
    #[serde(rename = "instance.deleting")]
    Deleting,
    /// A policy will stop it soon, unless it is used or wanted otherwise.
    #[serde(rename = "instance.stop_announced")]
    StopAnnounced,
    /// It was used before the stop of a policy was sent.
    #[serde(rename = "instance.stop_called_off")]
    StopCalledOff,
    /// The provider will take its spot machine back.
    #[serde(rename = "spot.reclaim_notice")]
    ReclaimNotice,
    /// The provider took its spot machine back.
    #[serde(rename = "spot.reclaimed")]
    Reclaimed,
    /// In a dry run, what would have been done about that.
    #[serde(rename = "spot.withheld")]
    SpotWithheld,
    /// Another instance is to take over from it.
    #[serde(rename = "instance.replacement_begun")]
    ReplacementBegun,
    /// Another instance has taken over: its id and endpoints are new.
    #[serde(rename = "instance.replaced")]
    Replaced,
    /// No other instance could be had to take over.
    #[serde(rename = "instance.replacement_failed")]
    ReplacementFailed,
    /// The provider was asked to move it to another machine.
    #[serde(rename = "instance.migration_initiated")]
    MigrationInitiated,
    /// The provider did not move it.
    #[serde(rename = "instance.migration_failed")]
    MigrationFailed,
    /// Its phase changed, and no other event of the same step tells why.
    #[serde(rename = "instance.phase_changed")]
    PhaseChanged,
    /// Accepting it took the deployment past the warning line of its budget.
    #[serde(rename = "budget.warning")]
    BudgetWarning,
    /// Given up, with nothing left at the provider.
    #[serde(rename = "instance.failed")]
    Failed,
    /// Its removal was confirmed.
    #[serde(rename = "instance.deleted")]
    Deleted,
    /// The provider has an instance of ours that nobody accounts for.
    #[serde(rename = "orphan.suspected")]
    OrphanSuspected,
    /// The record was lost, and rebuilt from what the provider has.
    #[serde(rename = "record.rebuilt")]
    RecordRebuilt,
    /// The record was taken over from the predecessor.
    #[serde(rename = "record.imported")]
    RecordImported,
}

impl EventKind {
    /// The name as webhooks carry it in `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OfferChosen => "instance.offer_chosen",
            Self::OfferRefused => "instance.offer_refused",
            Self::CreateUnclear => "instance.create_unclear",
            Self::Created => "instance.created",
            Self::AttemptDiscarded => "instance.attempt_discarded",
            Self::Running => "instance.running",
            Self::HealthChecking => "instance.health_checking",
            Self::Ready => "instance.ready",
            Self::Drifted => "instance.drifted",
            Self::StartInitiated => "instance.start_initiated",
            Self::Started => "instance.started",
            Self::StartFailed => "instance.start_failed",
            Self::Stopping => "instance.stopping",
            Self::Stopped => "instance.stopped",
            Self::Vanished => "instance.vanished",
            Self::Deleting => "instance.deleting",
            Self::StopAnnounced => "instance.stop_announced",
            Self::StopCalledOff => "instance.stop_called_off",
            Self::ReclaimNotice => "spot.reclaim_notice",
            Self::Reclaimed => "spot.reclaimed",
            Self::SpotWithheld => "spot.withheld",
            Self::ReplacementBegun => "instance.replacement_begun",
            Self::Replaced => "instance.replaced",
            Self::ReplacementFailed => "instance.replacement_failed",
            Self::MigrationInitiated => "instance.migration_initiated",
            Self::MigrationFailed => "instance.migration_failed",
            Self::PhaseChanged => "instance.phase_changed",
            Self::BudgetWarning => "budget.warning",
            Self::Failed => "instance.failed",
            Self::Deleted => "instance.deleted",
            Self::OrphanSuspected => "orphan.suspected",
            Self::RecordRebuilt => "record.rebuilt",
            Self::RecordImported => "record.imported",
        }
    }

    /// The `status` member of a webhook about this event; `None` when it stays in the log.
    #[must_use]
    pub fn notice(self) -> Option<&'static str> {
        match self {
            Self::Created => Some("creating"),
            Self::Running => Some("running"),
            Self::HealthChecking => Some("health_checking"),
            Self::Ready => Some("ready"),
            Self::StartInitiated => Some("startup_initiated"),
            Self::Started => Some("startup_completed"),
            Self::StartFailed => Some("startup_failed"),
            Self::Stopped => Some("stopped"),
            Self::StopAnnounced => Some("stop_announced"),
            Self::StopCalledOff => Some("stop_called_off"),
            Self::ReclaimNotice => Some("reclaim_notice"),
            Self::Reclaimed => Some("reclaimed"),
            Self::Replaced => Some("replaced"),
            Self::ReplacementFailed => Some("replacement_failed"),
            Self::MigrationInitiated => Some("migrating"),
            Self::MigrationFailed => Some("migration_failed"),
            Self::BudgetWarning => Some("budget_warning"),
            Self::Failed => Some("failed"),
            Self::Deleted => Some("deleted"),
            Self::OrphanSuspected => Some("orphan_suspected"),
            Self::OfferChosen
            | Self::OfferRefused
            | Self::CreateUnclear
            | Self::AttemptDiscarded
            | Self::Stopping
            | Self::Vanished
            | Self::Deleting
            | Self::SpotWithheld
            | Self::ReplacementBegun
            | Self::PhaseChanged
            | Self::RecordRebuilt
            | Self::RecordImported
            | Self::Drifted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_of_a_later_release_is_read_as_unknown() {
        let later = serde_json::json!({"kind": "spot", "deadline": 7});
        assert_eq!(
            serde_json::from_value::<Cause>(later).unwrap(),
            Cause::Unknown
        );
        let actor = serde_json::json!("robot");
        assert_eq!(
            serde_json::from_value::<Actor>(actor).unwrap(),
            Actor::Unknown
        );
        let known = Cause::policy("STARTUP_TIMEOUT");
        let stored = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<Cause>(&stored).unwrap(), known);
    }

    #[test]
    fn the_stored_name_is_the_webhook_type() {
        for kind in [
            EventKind::Created,
            EventKind::Ready,
            EventKind::OfferRefused,
            EventKind::BudgetWarning,
            EventKind::PhaseChanged,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
