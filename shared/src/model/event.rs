//! What happened to an instance, in order, with its cause.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::{EventId, InstanceId};
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
    /// Facts that belong to it; an object.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// The kinds of events, by the names that webhooks use as `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
            Self::Failed => "instance.failed",
            Self::Deleted => "instance.deleted",
            Self::OrphanSuspected => "orphan.suspected",
            Self::RecordRebuilt => "record.rebuilt",
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
            Self::Failed => Some("failed"),
            Self::Deleted => Some("deleted"),
            Self::OrphanSuspected => Some("orphan_suspected"),
            Self::OfferChosen
            | Self::OfferRefused
            | Self::CreateUnclear
            | Self::AttemptDiscarded
            | Self::Stopping
            | Self::RecordRebuilt
            | Self::Drifted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_name_is_the_webhook_type() {
        for kind in [
            EventKind::Created,
            EventKind::Ready,
            EventKind::OfferRefused,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
