//! Looking after what exists beside the serving instance: its replacement until that takes over, and what
//! is not needed any more until its removal is proved. The steps are those of any instance.

use serde_json::json;
use shared::model::spot::{Behind, Boot, Role, is_replacement_wanted};
use shared::model::{Attempt, AttemptState, Ending, EventKind};

use super::draft::{Draft, Next};
use super::{Lease, Reconciler, failure};
use crate::novita::Novita;

/// Instances that were created to take over and never got ready; after so many it is given up.
const BOOTS_ALLOWED: u32 = 3;

impl<N: Novita> Reconciler<N> {
    /// One step for the instance beside the serving one.
    pub(super) async fn mind_beside(&self, draft: &mut Draft<'_>, lease: &Lease<'_>) -> Next {
        let is_wanted = is_replacement_wanted(draft.spec, &draft.status)
            && draft
                .status
                .beside
                .as_ref()
                .is_some_and(|beside| beside.role == Role::Replacement);
        let Some(behind) = draft.status.view_beside() else {
            return Next::Never;
        };
        let number = behind.attempt(&draft.status).map(|attempt| attempt.number);
        draft.behind = Some(behind);
        let next = self.beside_step(draft, lease, is_wanted).await;
        let Some(behind) = draft.behind.take() else {
            return next;
        };
        if next != Next::Abandoned && is_wanted && draft.status.timestamps.ready.is_some() {
            draft.take_over(behind);
            return Next::NOW;
        }
        draft.status.leave_view(behind);
        conclude(draft, number, is_wanted, next)
    }

    async fn beside_step(&self, draft: &mut Draft<'_>, lease: &Lease<'_>, is_wanted: bool) -> Next {
        let behind = draft.behind.as_ref();
        let attempt = behind.and_then(|behind| behind.attempt(&draft.status));
        let state = attempt.map(|attempt| attempt.state);
        match state.filter(|state| state.may_exist()) {
            None if is_wanted => {
                if self.took_too_long(draft) {
                    return draft.fail(failure(
                        "NO_REPLACEMENT",
                        "nothing could be ordered in time",
                    ));
                }
                self.order_beside(draft, lease).await
            }
            None => Next::NOW,
            Some(AttemptState::Intent) => self.find(draft).await,
            Some(AttemptState::Acked) if is_wanted => self.observe(draft).await,
            Some(AttemptState::Acked) => {
                let message = "nothing is to be replaced any more";
                draft.discard(failure("REPLACEMENT_NOT_WANTED", message))
            }
            Some(_) => self.remove(draft).await,
        }
    }

    fn took_too_long(&self, draft: &Draft<'_>) -> bool {
        let began = draft.behind.as_ref().map(Behind::began);
        let waited = began.map_or(0, |began| draft.now.since(began));
        u128::from(waited) >= self.config.operation_max.as_millis()
    }
}

/// What a step means for there being one beside at all. `number` is that of its order before the step.
fn conclude(draft: &mut Draft<'_>, number: Option<u32>, is_wanted: bool, next: Next) -> Next {
    let is_it =
        |attempt: &Attempt| Some(attempt.number) == number && attempt.state == AttemptState::Gone;
    let is_spent = draft.status.attempts.iter().any(is_it);
    let Some(beside) = draft.status.beside.as_mut() else {
        return next;
    };
    if beside.attempt.is_some() || next == Next::Abandoned {
        return next;
    }
    // Nothing exists of it: what comes next, if anything, begins anew.
    let boot = std::mem::take(&mut beside.boot);
    beside.spent += u32::from(is_spent);
    let given_up = match boot.ending {
        Some(Ending::Failed(reason)) => Some(reason),
        _ if beside.spent >= BOOTS_ALLOWED => {
            Some(failure("STARTUP_FAILED", "none that was created got ready"))
        }
        _ => None,
    };
    if is_wanted && given_up.is_none() {
        beside.boot = Boot {
            setbacks: boot.setbacks,
            last_error: boot.last_error,
            ..Boot::default()
        };
        return next;
    }
    draft.status.file_beside(draft.now);
    if let Some(reason) = given_up.filter(|_| is_wanted) {
        let data = json!({ "code": reason.code });
        draft.event(EventKind::ReplacementFailed, reason.message, data);
    }
    Next::NOW
}
