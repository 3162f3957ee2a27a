//! What policies do to an instance of which nothing else is to be done: announce a stop, and stop.

use std::time::Duration;

use serde_json::json;
use shared::model::policy::{decide, stop_in_effect};
use shared::model::{EventKind, PolicyStep, PolicyStop, StopReason, Warned};

use super::Reconciler;
use super::draft::{Draft, Next};
use crate::novita::Novita;

/// Before it is asked again when an instance was used that is about to be stopped.
const ASK_AGAIN: Duration = Duration::from_secs(5);

impl<N: Novita> Reconciler<N> {
    /// Does what the policies ask for, and is back when they may ask for more.
    pub(super) fn police(&self, draft: &mut Draft<'_>) -> Next {
        let (spec, now) = (draft.spec, draft.now);
        match decide(spec, &draft.status, draft.last_used, now, &self.policy) {
            PolicyStep::Wait(None) => Next::SETTLED,
            PolicyStep::Wait(Some(at)) => Next::settled_until(at.since(now)),
            PolicyStep::Warn(warned) => {
                let wait = warned.stops_at.since(now);
                announce(draft, warned);
                Next::settled_until(wait)
            }
            PolicyStep::Stop(reason) if self.policy.dry_run => {
                metrics::counter!("policy_stops_withheld_total", "reason" => reason.as_str())
                    .increment(1);
                tracing::info!(instance = %spec.id, reason = reason.as_str(), "would be stopped");
                if let Some(warned) = draft.status.warned.as_mut() {
                    warned.withheld = true;
                }
                Next::SETTLED
            }
            PolicyStep::Stop(reason) => {
                metrics::counter!("policy_stops_total", "reason" => reason.as_str()).increment(1);
                draft.status.policy = Some(PolicyStop {
                    reason,
                    generation: spec.generation,
                    since: now,
                });
                Next::NOW
            }
        }
    }

    /// Calls the stop of an idle instance off that was used before the call could be sent; tells when
    /// to go on then. It is asked right before the call, because a use and a stop may race.
    pub(super) async fn called_off(&self, draft: &mut Draft<'_>) -> Option<Next> {
        let stop = stop_in_effect(draft.spec, &draft.status)?;
        let is_called = draft
            .status
            .power
            .as_ref()
            .is_some_and(|power| power.calls > 0);
        if stop.reason != StopReason::Idle || is_called {
            return None;
        }
        let Ok(last_used) = self.store.last_used(&draft.spec.id).await else {
            return Some(Next::In(ASK_AGAIN));
        };
        let stop = draft.status.policy.take();
        let decided = decide(
            draft.spec,
            &draft.status,
            last_used,
            draft.now,
            &self.policy,
        );
        if matches!(decided, PolicyStep::Stop(_)) {
            draft.status.policy = stop;
            return None;
        }
        draft.event(
            EventKind::StopCalledOff,
            "it was used before it was stopped",
            json!({}),
        );
        draft.status.power = None;
        Some(Next::NOW)
    }
}

fn announce(draft: &mut Draft<'_>, warned: Warned) {
    let reason = match warned.reason {
        StopReason::Idle => "nobody uses it; it will be stopped",
        StopReason::Lifetime => "it has run for nearly as long as it may; it will be stopped",
    };
    let data = json!({ "reason": warned.reason, "stopsAt": warned.stops_at.iso() });
    draft.status.warned = Some(warned);
    draft.event(EventKind::StopAnnounced, reason, data);
}
