//! What policies do to an instance of which nothing else is to be done: announce a stop, and stop.

use std::time::Duration;

use serde_json::json;
use shared::model::policy::{decide, stop_in_effect};
use shared::model::status::Power;
use shared::model::{Cause, EventKind, PolicyStep, PolicyStop, StopReason, Warned};

use super::Reconciler;
use super::draft::{Draft, Next};
use crate::novita::Novita;

/// Before it is asked again whether an instance was used that is about to be stopped.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// What one look may come to, before the next one: each rule recalls, announces and counts once.
const ROUNDS: usize = 6;

impl<N: Novita> Reconciler<N> {
    /// Does what the policies ask for, and is back when they may ask for more. Without the provider's
    /// word nothing is judged.
    pub(super) fn police(&self, draft: &mut Draft<'_>, next: Next) -> Next {
        if matches!(next, Next::Never | Next::Abandoned) {
            return next;
        }
        draft.status.uptime = draft.status.uptime.after(&draft.status, draft.now);
        if draft.status.setbacks > 0 {
            return next;
        }
        for _ in 0..ROUNDS {
            match self.decided(draft) {
                PolicyStep::Wait(None) => return next,
                PolicyStep::Wait(Some(at)) => return next.within(at.since(draft.now)),
                PolicyStep::Warn(reason, warned) => draft.announce_stop(reason, warned),
                PolicyStep::Recall(reason) => draft.recall_stop(reason),
                PolicyStep::Withhold(reason) => draft.withhold_stop(reason),
                PolicyStep::Stop(reason) => {
                    draft.stop_by_policy(reason);
                    // First it is durable why; the call is the next step.
                    return Next::NOW;
                }
            }
        }
        next
    }

    fn decided(&self, draft: &Draft<'_>) -> PolicyStep {
        let (status, last_used) = (&draft.status, draft.last_used);
        decide(draft.spec, status, last_used, draft.now, &self.policy)
    }

    /// Calls the stop of an idle instance off that was used before the call could be sent; tells when
    /// to go on then. It is asked right before the call, because a use and a stop may race.
    pub(super) async fn called_off(&self, draft: &mut Draft<'_>) -> Option<Next> {
        let stop = stop_in_effect(draft.spec, &draft.status)?.clone();
        let power = draft.status.power.as_ref();
        let is_called = power.is_some_and(|power| power.calls > 0);
        if stop.reason != StopReason::Idle || is_called {
            return None;
        }
        let Ok(last_used) = self.store.last_used(&draft.spec.id).await else {
            return Some(Next::In(ASK_AGAIN));
        };
        draft.last_used = last_used;
        draft.status.policy = None;
        if self.decided(draft) == PolicyStep::Stop(StopReason::Idle) {
            draft.status.policy = Some(stop);
            return None;
        }
        draft.end_policy_stop();
        draft.recall_stop(StopReason::Idle);
        Some(Next::NOW)
    }
}

impl Draft<'_> {
    /// Wants it stopped, as long as its caller wants nothing else.
    pub(super) fn stop_by_policy(&mut self, reason: StopReason) {
        metrics::counter!("policy_stops_total", "reason" => reason.as_str()).increment(1);
        let generation = self.spec.generation;
        self.status.policy = Some(PolicyStop {
            reason,
            generation,
            since: self.now,
        });
        self.status.power = Some(Power::begun(generation, self.now));
        self.status.timestamps.stopped = None;
        let data = json!({ "reason": reason });
        self.event(EventKind::Stopping, why(reason), data);
    }

    /// It is as if no policy had asked for a stop.
    pub(super) fn end_policy_stop(&mut self) {
        self.status.policy = None;
        self.status.power = None;
    }

    pub(super) fn is_stopped_by_policy(&self) -> bool {
        stop_in_effect(self.spec, &self.status).is_some()
    }

    fn announce_stop(&mut self, reason: StopReason, warned: Warned) {
        self.status.warnings.set(reason, Some(warned));
        if warned.dry_run {
            return;
        }
        let text = match reason {
            StopReason::Idle => "nobody uses it: it will be stopped",
            StopReason::Lifetime => "it has run for nearly as long as it may: it will be stopped",
            StopReason::Other => "it will be stopped",
        };
        let data = json!({ "reason": reason, "stopsAt": warned.stops_at.iso() });
        let cause = Cause::policy(reason.rule());
        self.event_by(cause, EventKind::StopAnnounced, text, data);
    }

    fn recall_stop(&mut self, reason: StopReason) {
        let warned = self.status.warnings.of(reason).copied();
        self.status.warnings.set(reason, None);
        if warned.is_some_and(|warned| warned.dry_run) {
            return;
        }
        let text = match reason {
            StopReason::Idle => "it was used, or may be idle from now on: it is not stopped",
            StopReason::Lifetime | StopReason::Other => "it may run on: it is not stopped",
        };
        let cause = Cause::policy(reason.rule());
        let data = json!({ "reason": reason });
        self.event_by(cause, EventKind::StopCalledOff, text, data);
    }

    /// In a dry run a stop is counted, once.
    fn withhold_stop(&mut self, reason: StopReason) {
        let word = reason.as_str();
        metrics::counter!("policy_stops_withheld_total", "reason" => word).increment(1);
        tracing::info!(instance = %self.spec.id, reason = word, "it would be stopped");
        if let Some(warned) = self.status.warnings.of(reason) {
            let warned = Warned {
                withheld: true,
                ..*warned
            };
            self.status.warnings.set(reason, Some(warned));
        }
    }
}

/// Why a policy stops, or stopped, an instance.
pub(super) fn why(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Idle => "nobody used it for as long as it may be idle",
        StopReason::Lifetime => "it ran for as long as it may",
        StopReason::Other => "a rule of another release asked for it",
    }
}
