//! The one word that callers see, as a pure function of what is wanted and what is known.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::wanted;
use super::spec::{Desired, Spec};
use super::status::{AttemptState, Ending, ProviderFacts, Status};

/// The public status of an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Accepted, being ordered, or pulling its image.
    #[default]
    Creating,
    /// Booting again after a stop.
    Starting,
    /// The provider says it runs; checks have not begun.
    Running,
    /// It runs and its endpoints are being checked.
    HealthChecking,
    /// It runs and every check passed.
    Ready,
    /// On its way to a stop.
    Stopping,
    /// Stopped; disk may still cost money.
    Stopped,
    /// A removal was asked for and is not confirmed yet.
    Deleting,
    /// Its removal was confirmed.
    Terminated,
    /// The provider moves it to another machine.
    Migrating,
    /// The provider took a spot machine back.
    Reclaimed,
    /// Given up, with nothing left at the provider.
    Failed,
    /// The provider uses a word we do not know; nothing is done until it is understood.
    Unknown,
}

impl Phase {
    /// The word as callers read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::HealthChecking => "health_checking",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Deleting => "deleting",
            Self::Terminated => "terminated",
            Self::Migrating => "migrating",
            Self::Reclaimed => "reclaimed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// The phase of an instance; total over every stored combination.
    #[must_use]
    pub fn of(spec: &Spec, status: Option<&Status>) -> Self {
        let Some(status) = status else {
            return match spec.desired {
                Desired::Running => Self::Creating,
                Desired::Stopped => Self::Stopping,
                Desired::Deleted => Self::Deleting,
            };
        };
        if status.timestamps.terminated.is_some() {
            return Self::Terminated;
        }
        if spec.desired == Desired::Deleted || status.ending == Some(Ending::Vanished) {
            return Self::Deleting;
        }
        if status.timestamps.failed.is_some() {
            return Self::Failed;
        }
        match (
            status.current().map(|attempt| attempt.state),
            &status.provider,
        ) {
            (Some(AttemptState::Acked), Some(facts)) => {
                Self::observed(status, facts).towards(spec, status)
            }
            _ => Self::Creating,
        }
    }

    /// The phase as the current wish colours it: what is asked for shows at once, what is reached only
    /// when the provider says so.
    fn towards(self, spec: &Spec, status: &Status) -> Self {
        let is_taken_up = status.observed_generation == spec.generation;
        let boots = spec.request.kind.boots() && (!is_taken_up || status.pending_boot().is_some());
        let is_confirmed = is_taken_up && status.timestamps.running.is_some();
        match (wanted(spec, status), self) {
            (
                Desired::Stopped,
                Self::Creating
                | Self::Starting
                | Self::Running
                | Self::HealthChecking
                | Self::Ready,
            ) => Self::Stopping,
            (Desired::Running, Self::Stopping | Self::Stopped) if boots => Self::Starting,
            (Desired::Running, Self::Running | Self::HealthChecking | Self::Ready)
                if boots && !is_confirmed =>
            {
                Self::Starting
            }
            _ => self,
        }
    }

    /// The provider's vocabulary (Novita API reference, instance status), read for callers.
    fn observed(status: &Status, facts: &ProviderFacts) -> Self {
        match facts.status.as_str() {
            "pending" | "toCreate" | "creating" | "pulling" => Self::Creating,
            "running" => match (status.timestamps.ready, &status.health) {
                (Some(_), _) => Self::Ready,
                (None, Some(_)) => Self::HealthChecking,
                (None, None) => Self::Running,
            },
            "toStart" | "starting" | "toRestart" | "restarting" | "toReset" | "resetting" => {
                Self::Starting
            }
            "toStop" | "stopping" => Self::Stopping,
            // What was stopped as it was wanted stays stopped, whatever becomes of its machine.
            "exited" if status.timestamps.stopped.is_none() && facts.is_reclaimed() => {
                Self::Reclaimed
            }
            "exited" => Self::Stopped,
            "migrating" => Self::Migrating,
            "toRemove" | "removing" | "removed" => Self::Deleting,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Millis;
    use crate::model::ids::{InstanceId, OperationId};
    use crate::model::operation::OperationKind;
    use crate::model::options::CreateOptions;
    use crate::model::spec::{BillingMode, Request};
    use crate::model::status::{Attempt, Health, Offer};

    fn spec(desired: Desired) -> Spec {
        Spec {
            id: InstanceId::generate(),
            name: "a".into(),
            product_name: "RTX 4090 24GB".into(),
            template_id: "1".into(),
            gpu_num: 1,
            rootfs_size: 60,
            region: None,
            billing_mode: BillingMode::Spot,
            options: CreateOptions::default(),
            webhook_url: None,
            desired,
            generation: 1,
            created_at: Millis(1),
            request: Request {
                operation_id: OperationId::generate(),
                kind: OperationKind::Create,
                at: Millis(1),
                webhook_url: None,
                health_check: None,
                claim: None,
                traceparent: None,
            },
            past_operations: Vec::new(),
        }
    }

    fn seen(word: &str, state: AttemptState) -> Status {
        Status {
            attempts: vec![Attempt {
                number: 1,
                marker: "m".into(),
                offer: Offer {
                    product_id: "p".into(),
                    product_name: "n".into(),
                    cluster_id: "c".into(),
                    region: "r".into(),
                    billing_mode: BillingMode::Spot,
                    unit_price: 1,
                },
                ports: 0,
                state,
                intent_at: Millis(1),
                provider_id: Some("x".into()),
                acked_at: None,
                absences: 0,
                reason: None,
            }],
            provider: Some(ProviderFacts {
                status: word.into(),
                ..ProviderFacts::default()
            }),
            ..Status::default()
        }
    }

    #[test]
    fn every_provider_word_has_a_phase_and_an_unknown_one_says_so() {
        let expected = [
            ("pending", Phase::Creating),
            ("toCreate", Phase::Creating),
            ("creating", Phase::Creating),
            ("pulling", Phase::Creating),
            ("running", Phase::Running),
            ("toStart", Phase::Starting),
            ("starting", Phase::Starting),
            ("toRestart", Phase::Starting),
            ("restarting", Phase::Starting),
            ("toReset", Phase::Starting),
            ("resetting", Phase::Starting),
            ("toStop", Phase::Stopping),
            ("stopping", Phase::Stopping),
            ("exited", Phase::Stopped),
            ("migrating", Phase::Migrating),
            ("toRemove", Phase::Deleting),
            ("removing", Phase::Deleting),
            ("removed", Phase::Deleting),
            ("freezing", Phase::Unknown),
            ("", Phase::Unknown),
            ("somethingNew", Phase::Unknown),
        ];
        for (word, phase) in expected {
            let status = seen(word, AttemptState::Acked);
            assert_eq!(
                Phase::of(&spec(Desired::Running), Some(&status)),
                phase,
                "{word}"
            );
        }
    }

    #[test]
    fn ready_needs_passed_checks_and_not_just_a_running_provider() {
        let mut status = seen("running", AttemptState::Acked);
        status.health = Some(Health {
            started_at: Millis(1),
            checks: 1,
            report: None,
        });
        assert_eq!(
            Phase::of(&spec(Desired::Running), Some(&status)),
            Phase::HealthChecking
        );
        status.timestamps.ready = Some(Millis(2));
        assert_eq!(
            Phase::of(&spec(Desired::Running), Some(&status)),
            Phase::Ready
        );
    }

    #[test]
    fn a_machine_that_was_taken_back_shows_unless_it_was_stopped_before() {
        let mut status = seen("exited", AttemptState::Acked);
        let facts = status.provider.as_mut().unwrap();
        facts.spot_status = "terminated".into();
        let wanted = spec(Desired::Running);
        assert_eq!(Phase::of(&wanted, Some(&status)), Phase::Reclaimed);
        status.timestamps.stopped = Some(Millis(2));
        let stopped = spec(Desired::Stopped);
        assert_eq!(Phase::of(&stopped, Some(&status)), Phase::Stopped);
    }

    #[test]
    fn a_wish_to_delete_shows_at_once_and_terminated_only_when_confirmed() {
        let mut status = seen("running", AttemptState::Acked);
        assert_eq!(
            Phase::of(&spec(Desired::Deleted), Some(&status)),
            Phase::Deleting
        );
        assert_eq!(Phase::of(&spec(Desired::Deleted), None), Phase::Deleting);
        status.timestamps.terminated = Some(Millis(2));
        assert_eq!(
            Phase::of(&spec(Desired::Deleted), Some(&status)),
            Phase::Terminated
        );
    }

    #[test]
    fn an_attempt_that_is_given_up_reads_as_creating_again() {
        let status = seen("running", AttemptState::Discarding);
        assert_eq!(
            Phase::of(&spec(Desired::Running), Some(&status)),
            Phase::Creating
        );
    }
}
