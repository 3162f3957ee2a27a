//! Start, stop and restart of an instance that the provider has.
//!
//! A stop is done when the provider says `exited`, a start or restart when it runs and its checks passed.
//! Neither ever gives up what the instance holds: a boot that fails ends its operation, nothing else.

use std::time::Duration;

use serde_json::json;
use shared::model::operation::Failure;
use shared::model::policy::stop_in_effect;
use shared::model::status::Power;
use shared::model::{EventKind, OperationKind, OperationState, ProviderFacts};
use shared::queue::Checkpoint;

use super::cause;
use super::draft::{Draft, Next};
use super::facts::Word;
use super::moves::code_of;
use super::observe::drifted;
use super::policy::why;
use super::remove::{provider_id, without_id};
use super::{Lease, Reconciler, failure};
use crate::novita::{Novita, NovitaError, ProviderId, ProviderStatus};

/// A call that shows no effect is made again after this long.
const NO_EFFECT: Duration = Duration::from_secs(60);
/// The longest wait between two stop calls.
const STOP_WAIT_MAX: Duration = Duration::from_secs(60);
/// Restarts that show no effect before one is given up: each may be a second boot.
const RESTART_CALLS: u32 = 2;

impl<N: Novita> Reconciler<N> {
    /// One step of a start or restart.
    pub(super) async fn boot(&self, draft: &mut Draft<'_>, lease: &Lease<'_>) -> Next {
        let Some(id) = provider_id(draft) else {
            return without_id(draft);
        };
        if draft.take_up_power() {
            draft.status.health = None;
            draft.event(
                EventKind::StartInitiated,
                "its start was asked for",
                json!({}),
            );
        }
        let waited = draft
            .power()
            .map_or(0, |power| draft.now.since(power.since));
        let is_up = draft.status.timestamps.running.is_some();
        if !is_up && waited > self.config.startup_max.as_millis() as u64 {
            let message = format!(
                "not running {} s after its start was asked for",
                waited / 1000
            );
            draft.boot_failed(failure("STARTUP_TIMEOUT", message));
            return Next::In(self.config.poll_slow);
        }
        match self.look_at_boot(draft, &id).await {
            Ok(facts) => {
                draft.progress();
                self.boot_seen(draft, lease, &id, facts).await
            }
            Err(NovitaError::NotFound(_)) => self.prove_absence(draft, &id).await,
            Err(error) => draft.provider_setback(&error),
        }
    }

    async fn boot_seen(
        &self,
        draft: &mut Draft<'_>,
        lease: &Lease<'_>,
        id: &ProviderId,
        facts: ProviderFacts,
    ) -> Next {
        let word = facts.word();
        let before = draft.status.provider.replace(facts);
        draft.status.removal = None;
        let restarts = draft.spec.request.kind == OperationKind::Restart;
        match word {
            ProviderStatus::Removed => {
                draft.gone();
                Next::NOW
            }
            ProviderStatus::Running if restarts && !draft.is_restarted() => {
                self.call_restart(draft, lease, id).await
            }
            ProviderStatus::Running => {
                draft.status.timestamps.stopped = None;
                self.running(draft).await
            }
            ProviderStatus::Exited => {
                draft.down();
                self.call_start(draft, id).await
            }
            ProviderStatus::ToStart
            | ProviderStatus::Starting
            | ProviderStatus::ToRestart
            | ProviderStatus::Restarting => {
                if let Some(power) = draft.status.power.as_mut() {
                    power.was_seen_booting = true;
                }
                draft.down();
                self.watch()
            }
            ProviderStatus::ToStop
            | ProviderStatus::Stopping
            | ProviderStatus::Pending
            | ProviderStatus::ToCreate
            | ProviderStatus::Creating
            | ProviderStatus::Pulling => self.watch(),
            _ => {
                drifted(draft, before.as_ref());
                self.watch()
            }
        }
    }

    /// It is stopped and shall run. A repeated call is harmless: one that is starting refuses it.
    async fn call_start(&self, draft: &mut Draft<'_>, id: &ProviderId) -> Next {
        if draft.called_within(NO_EFFECT) {
            return self.watch();
        }
        draft.note_call();
        match self.provider.start(id).await {
            Ok(()) | Err(NovitaError::InvalidStateChange(_) | NovitaError::NotFound(_)) => {
                self.watch()
            }
            Err(error @ NovitaError::Refused(_)) => {
                draft.boot_failed(failure(code_of(&error), error.to_string()));
                Next::In(self.config.poll_slow)
            }
            Err(error) => {
                draft.forget_call();
                draft.provider_setback(&error)
            }
        }
    }

    /// It runs and shall boot anew. Two restarts are one too many, so the call is written down first,
    /// and made again only when a whole minute shows no sign of the first.
    async fn call_restart(
        &self,
        draft: &mut Draft<'_>,
        lease: &Lease<'_>,
        id: &ProviderId,
    ) -> Next {
        if draft.called_within(NO_EFFECT) {
            return self.watch();
        }
        if draft
            .power()
            .is_some_and(|power| power.calls >= RESTART_CALLS)
        {
            let message = "the provider accepted the restart, and nothing shows that it happened";
            draft.boot_failed(failure("RESTART_NOT_CONFIRMED", message));
            return Next::In(self.config.poll_slow);
        }
        if draft.has_news() {
            return Next::NOW;
        }
        draft.note_call();
        match lease.checkpoint(&draft.stored()).await {
            Ok(Checkpoint::Written) => {}
            Ok(Checkpoint::Lost | Checkpoint::Outdated) | Err(_) => return Next::Abandoned,
        }
        match self.provider.restart(id).await {
            Ok(())
            | Err(
                NovitaError::InvalidStateChange(_)
                | NovitaError::NotFound(_)
                | NovitaError::Unclear(_),
            ) => self.watch(),
            Err(error @ NovitaError::Refused(_)) => {
                draft.boot_failed(failure(code_of(&error), error.to_string()));
                Next::In(self.config.poll_slow)
            }
            Err(error) => {
                draft.forget_call();
                draft.provider_setback(&error)
            }
        }
    }

    /// One step of a stop, and of watching that it stays stopped.
    pub(super) async fn halt(&self, draft: &mut Draft<'_>) -> Next {
        let Some(id) = provider_id(draft) else {
            return without_id(draft);
        };
        if draft.take_up_power() {
            draft.event(EventKind::Stopping, "its stop was asked for", json!({}));
        }
        match self.look(draft, &id).await {
            Ok(facts) => {
                draft.progress();
                self.halt_seen(draft, &id, facts).await
            }
            Err(NovitaError::NotFound(_)) => self.prove_absence(draft, &id).await,
            Err(error) => {
                // Saving money must not depend on a read that works.
                let called = self.call_stop(draft, &id).await;
                called.or_later(draft.provider_setback(&error))
            }
        }
    }

    async fn halt_seen(
        &self,
        draft: &mut Draft<'_>,
        id: &ProviderId,
        facts: ProviderFacts,
    ) -> Next {
        let (word, problem) = (facts.word(), facts.status_error.clone());
        let before = draft.status.provider.replace(facts);
        draft.status.removal = None;
        match word {
            ProviderStatus::Removed => {
                draft.gone();
                Next::NOW
            }
            // It is stopped when nothing of it runs, what is beside it included.
            ProviderStatus::Exited if draft.status.beside.is_some() => Next::SETTLED,
            ProviderStatus::Exited => {
                draft.stopped();
                Next::SETTLED
            }
            ProviderStatus::Running => {
                if draft.status.timestamps.stopped.take().is_some() {
                    drifted(draft, before.as_ref());
                    if draft.is_stopped_by_policy() {
                        // Somebody wants it after all. Only a caller's own wish to stop stands for good.
                        draft.end_policy_stop();
                        return Next::NOW;
                    }
                }
                self.call_stop(draft, id).await
            }
            _ if !draft.status.was_ready && !problem.is_empty() => {
                draft.discard(failure("PROVIDER_FAILURE", problem))
            }
            ProviderStatus::ToStop
            | ProviderStatus::Stopping
            | ProviderStatus::ToRemove
            | ProviderStatus::Removing
            | ProviderStatus::ToStart
            | ProviderStatus::Starting
            | ProviderStatus::ToRestart
            | ProviderStatus::Restarting => self.watch(),
            ProviderStatus::Pending
            | ProviderStatus::ToCreate
            | ProviderStatus::Creating
            | ProviderStatus::Pulling
                if !draft.status.was_ready =>
            {
                self.booting(draft)
            }
            _ => {
                drifted(draft, before.as_ref());
                self.watch()
            }
        }
    }

    /// Calls again, ever less often, for as long as it runs.
    async fn call_stop(&self, draft: &mut Draft<'_>, id: &ProviderId) -> Next {
        let calls = draft.power().map_or(0, |power| power.calls);
        let wait = (self.config.poll_fast * 2_u32.pow(calls.min(8))).min(STOP_WAIT_MAX);
        let look_at_the_latest = Next::Watch(wait.min(self.config.poll_slow));
        if calls > 0 && draft.called_within(wait) {
            return look_at_the_latest;
        }
        if let Some(next) = self.called_off(draft).await {
            return next;
        }
        draft.note_call();
        match self.provider.stop(id).await {
            Ok(()) | Err(NovitaError::InvalidStateChange(_) | NovitaError::NotFound(_)) => {
                look_at_the_latest
            }
            Err(error @ NovitaError::Held(_)) => {
                draft.forget_call();
                draft.provider_setback(&error)
            }
            Err(error) => draft.provider_setback(&error),
        }
    }
}

impl Draft<'_> {
    /// Begins the start, stop or restart of this generation; `false` when it was begun before.
    fn take_up_power(&mut self) -> bool {
        let generation = self.spec.generation;
        if self
            .power()
            .is_some_and(|power| power.generation == generation)
        {
            return false;
        }
        let mut power = Power::begun(generation, self.now);
        if self.spec.request.kind == OperationKind::Restart {
            let facts = self.status.provider.as_ref();
            power.started_before = facts.and_then(|facts| facts.last_started);
            self.down();
        }
        self.status.power = Some(power);
        self.status.timestamps.stopped = None;
        true
    }

    fn power(&self) -> Option<&Power> {
        self.status.power.as_ref()
    }

    fn called_within(&self, wait: Duration) -> bool {
        let called = self.power().and_then(|power| power.called_at);
        called.is_some_and(|called| self.now.since(called) < wait.as_millis() as u64)
    }

    fn note_call(&mut self) {
        let moment = self.moment();
        if let Some(power) = self.status.power.as_mut() {
            power.calls += 1;
            power.called_at = Some(moment);
        }
    }

    /// The call certainly did nothing, and may be made again at once.
    fn forget_call(&mut self) {
        if let Some(power) = self.status.power.as_mut() {
            power.calls = power.calls.saturating_sub(1);
            power.called_at = None;
        }
    }

    /// The restart shows: it was seen on its way, or the provider started it since.
    fn is_restarted(&self) -> bool {
        let Some(power) = self.power() else {
            return false;
        };
        let facts = self.status.provider.as_ref();
        let started = facts.and_then(|facts| facts.last_started);
        power.calls > 0 && (power.was_seen_booting || started > power.started_before)
    }

    /// It does not run at the moment.
    fn down(&mut self) {
        self.status.timestamps.running = None;
        self.status.timestamps.ready = None;
        self.status.health = None;
    }

    /// The provider says it is stopped, as was wanted.
    fn stopped(&mut self) {
        if self.status.timestamps.stopped.is_none() {
            self.down();
            self.status.timestamps.stopped = Some(self.now);
            let (reason, data) = match stop_in_effect(self.spec, &self.status) {
                Some(stop) => (why(stop.reason), json!({ "reason": stop.reason })),
                None => ("the provider says it is stopped", json!({})),
            };
            self.event(EventKind::Stopped, reason, data);
        }
        self.end_operation(OperationState::Succeeded, None);
    }

    /// A start or restart is given up; the instance stays as it is.
    pub(super) fn boot_failed(&mut self, reason: Failure) {
        if self.status.pending_boot().is_none() {
            return;
        }
        self.status.last_error = Some(reason.clone());
        let data = json!({ "code": reason.code });
        let cause = cause::of_failure(&reason.code, self.spec, &self.status);
        let kind = EventKind::StartFailed;
        self.event_by(cause, kind, reason.message.clone(), data);
        self.status.power = None;
        self.end_operation(OperationState::Failed, Some(reason));
    }
}
