//! The ways an instance changes state, each in one place.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use shared::backoff::Backoff;
use shared::model::operation::Failure;
use shared::model::{AttemptState, Desired, Ending, EventKind, OperationState};

use super::cause;
use super::draft::{Draft, Next};
use super::failure;
use crate::novita::NovitaError;

/// Between tries while the provider does not answer as it should.
const SETBACK: Backoff = Backoff {
    base: Duration::from_secs(1),
    cap: Duration::from_secs(60),
};

impl Draft<'_> {
    /// The provider has the current attempt, under this id.
    pub(super) fn created(&mut self, id: &str, how: &str) {
        let now = self.now;
        let Some(attempt) = self.attempt_mut() else {
            return;
        };
        attempt.state = AttemptState::Acked;
        attempt.provider_id = Some(id.to_owned());
        attempt.acked_at = Some(now);
        attempt.reason = None;
        let data = json!({
            "event": "instance_created",
            "productId": attempt.offer.product_id,
            "region": attempt.offer.region,
            "createdAt": now.iso(),
        });
        self.status.timestamps.created.get_or_insert(now);
        self.status.removal = None;
        self.progress();
        self.event(EventKind::Created, how, data);
    }

    /// It runs, and every check passed.
    pub(super) fn ready(&mut self, reason: &str) {
        self.status.timestamps.ready = Some(self.now);
        self.status.was_ready = true;
        let mappings = self
            .status
            .provider
            .as_ref()
            .map(|facts| facts.port_mappings.clone());
        let kind = if self.status.pending_boot().is_some() {
            EventKind::Started
        } else {
            self.note_boot();
            EventKind::Ready
        };
        self.event(kind, reason, json!({ "portMappings": mappings }));
        self.status.power = None;
        self.end_operation(OperationState::Succeeded, None);
    }

    /// Gives up what the current attempt made: it is removed before anything else is ordered, so
    /// that a failure is never paid for.
    pub(super) fn discard(&mut self, reason: Failure) -> Next {
        let data = json!({ "code": reason.code, "novitaInstanceId": self.status.provider_id() });
        let cause = cause::of_failure(&reason.code, self.spec, &self.status);
        let kind = EventKind::AttemptDiscarded;
        self.event_by(cause, kind, reason.message.clone(), data);
        self.note_failed_boot(&reason);
        self.move_attempt(AttemptState::Discarding, Some(reason));
        Next::NOW
    }

    /// The provider does not have the current attempt any more; that is proved.
    pub(super) fn gone(&mut self) {
        let attempt = self.status.current();
        let reason = attempt.and_then(|attempt| attempt.reason.clone());
        // Nobody here asked for it, so somebody removed it by hand; that is respected.
        let by_hand = self.spec.desired != Desired::Deleted
            && attempt.is_some_and(|attempt| attempt.state == AttemptState::Acked);
        self.move_attempt(AttemptState::Gone, reason);
        self.status.removal = None;
        self.status.health = None;
        self.status.provider = None;
        self.status.timestamps.running = None;
        self.status.power = None;
        self.progress();
        if by_hand {
            self.status.ending = Some(Ending::Vanished);
            let reason = "the provider no longer has it";
            self.event(EventKind::Vanished, reason, json!({}));
        } else {
            self.status.timestamps.ready = None;
        }
    }

    /// Gives the wish up: it is closed once a last search found nothing of it at the provider.
    pub(super) fn fail(&mut self, reason: Failure) -> Next {
        self.status.last_error = Some(reason.clone());
        self.status.ending = Some(Ending::Failed(reason));
        Next::NOW
    }

    /// Closes the record: nothing of it is left at the provider, and that is proved.
    pub(super) fn closed(&mut self) -> Next {
        match (self.spec.desired, self.status.ending.clone()) {
            (Desired::Deleted, _) => self.terminated("its removal is confirmed"),
            (Desired::Running | Desired::Stopped, Some(Ending::Failed(reason))) => {
                self.failed(reason);
            }
            (Desired::Running | Desired::Stopped, Some(Ending::Vanished)) => {
                self.terminated("the provider no longer has it; somebody else removed it");
            }
            (Desired::Running | Desired::Stopped, None) => {
                let reason = "it came to nothing before it could be stopped";
                self.failed(failure("STOPPED_BEFORE_CREATED", reason));
            }
        }
        Next::Never
    }

    /// Nothing is left to do. A delete that was asked for while the record was closing is done too;
    /// whatever else was asked for cannot be done.
    pub(super) fn rest(&mut self) -> Next {
        if self.status.timestamps.terminated.is_some() && self.spec.desired == Desired::Deleted {
            self.end_operation(OperationState::Succeeded, None);
        } else {
            let error = failure("INSTANCE_CLOSED", "the instance does not exist any more");
            self.end_operation(OperationState::Failed, Some(error));
        }
        Next::Never
    }

    fn terminated(&mut self, reason: &str) {
        self.status.timestamps.terminated = Some(self.now);
        self.event(EventKind::Deleted, reason, json!({}));
        match self.spec.desired {
            Desired::Deleted => self.end_operation(OperationState::Succeeded, None),
            Desired::Running | Desired::Stopped => {
                let error = failure("INSTANCE_REMOVED", reason);
                self.end_operation(OperationState::Failed, Some(error));
            }
        }
        self.forget_envs();
        self.close();
        self.release_name();
    }

    fn failed(&mut self, reason: Failure) {
        self.status.timestamps.failed = Some(self.now);
        self.status.failure = Some(reason.clone());
        let cause = cause::of_failure(&reason.code, self.spec, &self.status);
        self.event_by(
            cause,
            EventKind::Failed,
            reason.message.clone(),
            json!({ "code": reason.code }),
        );
        self.end_operation(OperationState::Failed, Some(reason));
        self.forget_envs();
        self.release_name();
    }

    /// The provider did not do what was asked, for a reason that may pass: later, and later still. A call
    /// that we held back ourselves is no setback; it is made when its time has come.
    pub(super) fn provider_setback(&mut self, error: &NovitaError) -> Next {
        if let NovitaError::Held(held) = error {
            tracing::debug!(instance = %self.spec.id, %held, "not now");
            return Next::In(held.wait);
        }
        tracing::warn!(instance = %self.spec.id, %error, "the provider did not do it");
        self.setback(failure(code_of(error), error.to_string()));
        let mut rng: StdRng = StdRng::from_rng(&mut rand::rng());
        let wait = SETBACK.at_least_half(self.status.setbacks.saturating_sub(1), &mut rng);
        Next::In(wait.max(error.retry_after().unwrap_or_default().min(SETBACK.cap)))
    }
}

/// The code callers see for a provider error (the predecessor's names where it had one).
pub(super) fn code_of(error: &NovitaError) -> &str {
    match error {
        NovitaError::NotSent(_) => "NETWORK_ERROR",
        NovitaError::Unauthorized(_) => "AUTHENTICATION_FAILED",
        NovitaError::RateLimited { .. } | NovitaError::Held(_) => "RATE_LIMIT_EXCEEDED",
        NovitaError::NotFound(_) => "NOT_FOUND",
        NovitaError::InvalidStateChange(_) => "RESOURCE_CONFLICT",
        NovitaError::Refused(refusal) => match refusal.reason.as_str() {
            "" => "BAD_REQUEST",
            reason => reason,
        },
        NovitaError::Unclear(_) => "SERVER_ERROR",
    }
}
