//! Deletion: call, keep calling, and believe it only when it is proved.

use std::time::Duration;

use shared::fail_point::FailPoint;
use shared::model::operation::Failure;
use shared::model::{AttemptState, ProviderFacts};

use super::Reconciler;
use super::draft::{Draft, Next};
use super::facts::Word;
use super::leftovers::{Left, take_in};
use crate::novita::{Novita, NovitaError, ProviderId, ProviderStatus, Reason};

/// Two looks that miss an instance count as proof only this far apart.
const PROOF_GAP: Duration = Duration::from_secs(30);
/// The longest wait between two delete calls.
const DELETE_WAIT_MAX: Duration = Duration::from_secs(60);
/// A paid-for month cannot be deleted; asking more often than this cannot help.
const PREPAID_WAIT: Duration = Duration::from_secs(3600);

impl<N: Novita> Reconciler<N> {
    /// One step towards the confirmed removal of what the current attempt made.
    pub(super) async fn remove(&self, draft: &mut Draft<'_>) -> Next {
        let Some(id) = provider_id(draft) else {
            return without_id(draft);
        };
        draft.status.removal.get_or_insert_default();
        match self.ask(draft, &id).await {
            Ok(facts) => self.remove_seen(draft, &id, facts).await,
            Err(NovitaError::NotFound(_)) => self.prove_absence(draft, &id).await,
            Err(error) => {
                // Deleting must not depend on a read that works.
                let called = self.call_delete(draft, &id).await;
                called.or_later(draft.provider_setback(&error))
            }
        }
    }

    async fn remove_seen(
        &self,
        draft: &mut Draft<'_>,
        id: &ProviderId,
        facts: ProviderFacts,
    ) -> Next {
        let word = facts.word();
        draft.status.provider = Some(facts);
        if let Some(removal) = draft.status.removal.as_mut() {
            removal.missing_since = None;
        }
        match word {
            ProviderStatus::Removed => {
                draft.gone();
                Next::NOW
            }
            ProviderStatus::ToRemove | ProviderStatus::Removing => self.watch(),
            _ => self.call_delete(draft, id).await,
        }
    }

    async fn call_delete(&self, draft: &mut Draft<'_>, id: &ProviderId) -> Next {
        FailPoint::BeforeDelete.reached();
        match self.provider.delete(id).await {
            Ok(()) => {
                FailPoint::DeleteAccepted.reached();
                let removal = draft.status.removal.get_or_insert_default();
                let doublings = removal.calls.min(8);
                removal.calls += 1;
                draft.progress();
                // One that ignores the call is asked again, ever less often.
                Next::Watch((self.config.poll_fast * 2_u32.pow(doublings)).min(DELETE_WAIT_MAX))
            }
            // Another call got there first, or this one did and its answer was lost: look.
            Err(NovitaError::NotFound(_) | NovitaError::InvalidStateChange(_)) => {
                Next::In(self.config.poll_fast)
            }
            Err(NovitaError::Refused(refusal))
                if refusal.reason == Reason::PrepaidNotReleasable =>
            {
                draft.setback(Failure::new("DELETE_BLOCKED", refusal.to_string()));
                Next::In(PREPAID_WAIT)
            }
            Err(error) => draft.provider_setback(&error),
        }
    }

    /// Missing by id, twice and apart, old enough to show, and missing from a complete list: only
    /// then it is gone.
    pub(super) async fn prove_absence(&self, draft: &mut Draft<'_>, id: &ProviderId) -> Next {
        let now = draft.now;
        let removal = draft.status.removal.get_or_insert_default();
        let since = *removal.missing_since.get_or_insert(now);
        let gap = PROOF_GAP.as_millis() as u64;
        if now.since(since) < gap {
            FailPoint::InstanceMissed.reached();
            return Next::In(Duration::from_millis(gap - now.since(since)));
        }
        // What was ordered a moment ago may simply not show yet.
        if let Some(left) = draft
            .status
            .current()
            .and_then(|a| self.window_left(a, now))
        {
            return Next::In(left);
        }
        match self.ours(draft).await {
            Ok(listed) if listed.iter().all(|instance| instance.id != id.as_str()) => {
                FailPoint::AbsenceProved.reached();
                draft.gone();
                Next::NOW
            }
            Ok(_) => {
                if let Some(removal) = draft.status.removal.as_mut() {
                    removal.missing_since = None;
                }
                Next::In(self.config.poll_fast)
            }
            Err(why) => why.held().map_or_else(|| self.look_again(draft), Next::In),
        }
    }

    /// Closes a record, after a last look for anything left over.
    pub(super) async fn close(&self, draft: &mut Draft<'_>) -> Next {
        if draft.status.attempts.is_empty() {
            return draft.closed();
        }
        match self.leftovers(draft).await {
            Left::Nothing => {
                FailPoint::BeforeClose.reached();
                draft.closed()
            }
            Left::Lagging | Left::Unknown => self.look_again(draft),
            Left::Held(wait) => Next::In(wait),
            Left::Found { instance, .. } => take_in(draft, &instance, false),
        }
    }
}

/// The provider's id of the current attempt.
pub(super) fn provider_id(draft: &Draft<'_>) -> Option<ProviderId> {
    ProviderId::new(draft.status.provider_id()?)
}

/// An attempt without an id cannot be asked about or removed; it is looked for by its marker.
pub(super) fn without_id(draft: &mut Draft<'_>) -> Next {
    draft.move_attempt(AttemptState::Intent, None);
    Next::In(PROOF_GAP)
}
