//! What led to an event, where the place that tells it does not know better.

use shared::model::policy::stop_in_effect;
use shared::model::{Actor, Cause, Desired, Ending, EventKind, Spec, Status};

/// Verdicts of our own rules, by code; any other code of a failure is the provider's word.
const RULES: [&str; 8] = [
    "STARTUP_TIMEOUT",
    "STARTUP_FAILED",
    "HEALTH_CHECK_TIMEOUT",
    "RESTART_NOT_CONFIRMED",
    "NO_OPTIMAL_PRODUCT_ANY_REGION",
    "PRODUCT_NOT_FOUND",
    "NOT_CREATABLE",
    "LEFTOVER",
];

/// The cause of an event of this kind, told in the course of this step.
pub(super) fn of(kind: EventKind, spec: &Spec, status: &Status) -> Cause {
    match kind {
        EventKind::Stopping | EventKind::Stopped
            if let Some(stop) = stop_in_effect(spec, status) =>
        {
            Cause::policy(stop.reason.rule())
        }
        EventKind::OfferChosen
        | EventKind::Created
        | EventKind::StartInitiated
        | EventKind::Stopping
        | EventKind::Deleting
        | EventKind::BudgetWarning => operation(spec),
        EventKind::Deleted if spec.desired == Desired::Deleted => operation(spec),
        EventKind::SpotWithheld
        | EventKind::ReplacementBegun
        | EventKind::Replaced
        | EventKind::MigrationInitiated => Cause::policy("SPOT_POLICY"),
        EventKind::OfferRefused => refusal(status),
        EventKind::CreateUnclear => Cause::Provider {
            said: "nothing clear".to_owned(),
        },
        EventKind::AttemptDiscarded
        | EventKind::Running
        | EventKind::HealthChecking
        | EventKind::Ready
        | EventKind::Drifted
        | EventKind::ReclaimNotice
        | EventKind::Reclaimed
        | EventKind::MigrationFailed
        | EventKind::ReplacementFailed
        | EventKind::Started
        | EventKind::StartFailed
        | EventKind::Stopped
        | EventKind::StopAnnounced
        | EventKind::StopCalledOff
        | EventKind::Vanished
        | EventKind::PhaseChanged
        | EventKind::Failed
        | EventKind::OrphanSuspected
        | EventKind::RecordRebuilt
        | EventKind::RecordImported
        | EventKind::Deleted => provider(status),
    }
}

/// The cause of giving something up, by the code of the reason.
pub(super) fn of_failure(code: &str, spec: &Spec, status: &Status) -> Cause {
    match code {
        "STOPPED_BEFORE_CREATED" => operation(spec),
        "PROVIDER_FAILURE" => provider(status),
        code if RULES.contains(&code) => Cause::policy(code),
        code => Cause::Provider {
            said: code.to_owned(),
        },
    }
}

/// Who acted: whoever removed an instance behind our back has the provider's console.
pub(super) fn actor(kind: EventKind, cause: &Cause, status: &Status) -> Actor {
    let by_hand = kind == EventKind::Vanished
        || (kind == EventKind::Deleted && status.ending == Some(Ending::Vanished));
    if by_hand && !matches!(cause, Cause::Operation { .. }) {
        return Actor::Operator;
    }
    cause.actor()
}

/// The caller's current request.
pub(super) fn operation(spec: &Spec) -> Cause {
    Cause::Operation {
        operation_id: spec.request.operation_id.clone(),
    }
}

/// Why the current attempt came to nothing.
fn refusal(status: &Status) -> Cause {
    let reason = status.current().and_then(|attempt| attempt.reason.as_ref());
    Cause::Provider {
        said: reason.map_or_else(String::new, |reason| reason.code.clone()),
    }
}

/// The provider's last word; none means that it does not have the instance.
fn provider(status: &Status) -> Cause {
    let facts = status.provider.as_ref();
    Cause::Provider {
        said: facts.map_or_else(|| "absent".to_owned(), |facts| facts.status.clone()),
    }
}
