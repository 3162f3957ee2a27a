//! Deletion: call, keep calling, and believe it only when it is proved.

use std::time::Duration;

use serde_json::json;
use shared::model::operation::Failure;
use shared::model::{Attempt, AttemptState, EventKind, Offer};

use super::draft::{Draft, Next};
use super::{Reconciler, facts, failure};
use crate::marker::Marker;
use crate::novita::{Instance, Listing, Novita, NovitaError, ProviderId, ProviderStatus, Reason};

/// Two looks that miss an instance count as proof only this far apart.
const PROOF_GAP: Duration = Duration::from_secs(30);
/// A paid-for month cannot be deleted; asking more often than this cannot help.
const PREPAID_WAIT: Duration = Duration::from_secs(3600);

impl<N: Novita> Reconciler<N> {
    /// One step towards the confirmed removal of what the current attempt made.
    pub(super) async fn remove(&self, draft: &mut Draft<'_>) -> Next {
        // An attempt without an id is looked for, never removed: `plan` does not come here.
        let Some(id) = provider_id(draft) else {
            return Next::NOW;
        };
        draft.status.removal.get_or_insert_default();
        match self.provider.get(&id).await {
            Ok(instance) => self.remove_seen(draft, &id, &instance).await,
            Err(NovitaError::NotFound(_)) => self.prove_absence(draft, &id).await,
            Err(error) => draft.provider_setback(&error),
        }
    }

    async fn remove_seen(
        &self,
        draft: &mut Draft<'_>,
        id: &ProviderId,
        instance: &Instance,
    ) -> Next {
        draft.status.provider = Some(facts::of(instance, draft.now));
        if let Some(removal) = draft.status.removal.as_mut() {
            removal.missing_since = None;
        }
        match instance.status {
            ProviderStatus::Removed => {
                draft.gone();
                Next::NOW
            }
            ProviderStatus::ToRemove | ProviderStatus::Removing => Next::In(self.config.poll_fast),
            _ => self.call_delete(draft, id).await,
        }
    }

    async fn call_delete(&self, draft: &mut Draft<'_>, id: &ProviderId) -> Next {
        match self.provider.delete(id).await {
            Ok(()) => {
                if let Some(removal) = draft.status.removal.as_mut() {
                    removal.calls += 1;
                }
                draft.progress();
                Next::In(self.config.poll_fast)
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
            return Next::In(Duration::from_millis(gap - now.since(since)));
        }
        // What was ordered a moment ago may simply not show yet.
        let window = self.config.lookup_window.as_millis() as u64;
        let ordered = draft.status.current().map(|attempt| attempt.intent_at);
        let age = ordered.map_or(window, |at| now.since(at));
        if age < window {
            return Next::In(Duration::from_millis(window - age));
        }
        match self.ours(draft).await {
            Some(listed) if listed.iter().all(|instance| instance.id != id.as_str()) => {
                draft.gone();
                Next::NOW
            }
            Some(_) => {
                if let Some(removal) = draft.status.removal.as_mut() {
                    removal.missing_since = None;
                }
                Next::In(self.config.poll_fast)
            }
            None => self.list_setback(draft),
        }
    }

    /// Closes a record whose deletion was asked for, after a last look for anything left over.
    pub(super) async fn close(&self, draft: &mut Draft<'_>) -> Next {
        if !draft.status.attempts.is_empty() {
            let Some(listed) = self.ours(draft).await else {
                return self.list_setback(draft);
            };
            if let Some(left) = listed.first() {
                adopt_leftover(draft, left);
                return Next::NOW;
            }
        }
        draft.terminated("its removal is confirmed");
        Next::Never
    }

    /// What a complete list holds under any of this instance's markers, apart from what is already
    /// being removed or gone. `None` when the list was not complete: then it proves nothing.
    async fn ours(&self, draft: &Draft<'_>) -> Option<Vec<Instance>> {
        let Some(marker) = self.marker(draft.spec, 1) else {
            return Some(Vec::new());
        };
        let Listing::Complete(listed) = self.provider.list_all(&marker.instance_part()).await
        else {
            return None;
        };
        let is_ours = |instance: &Instance| {
            Marker::parse(&instance.name).is_some_and(|found| {
                found.instance == marker.instance && found.deployment == marker.deployment
            })
        };
        let is_left = |instance: &Instance| instance.status != ProviderStatus::Removed;
        Some(
            listed
                .into_iter()
                .filter(|i| is_ours(i) && is_left(i))
                .collect(),
        )
    }

    /// An incomplete list proves nothing: look again.
    fn list_setback(&self, draft: &mut Draft<'_>) -> Next {
        draft.setback(failure(
            "INCOMPLETE_LIST",
            "the provider's list was not complete",
        ));
        Next::In(self.config.poll_fast * 2)
    }
}

/// The provider's id of the current attempt.
pub(super) fn provider_id(draft: &Draft<'_>) -> Option<ProviderId> {
    ProviderId::new(draft.status.provider_id()?)
}

/// Something of ours that no attempt knows under its id: it becomes one, to be removed.
fn adopt_leftover(draft: &mut Draft<'_>, left: &Instance) {
    let reason = failure(
        "LEFTOVER",
        "found under this instance's marker after its removal",
    );
    let known = draft
        .status
        .attempts
        .iter()
        .position(|a| a.marker == left.name);
    let mut attempt = match known {
        Some(position) => draft.status.attempts.remove(position),
        None => Attempt {
            number: Marker::parse(&left.name).map_or(0, |marker| marker.attempt),
            marker: left.name.clone(),
            offer: Offer {
                product_id: left.product_id.clone(),
                product_name: left.product_name.clone(),
                cluster_id: left.cluster_id.clone(),
                region: left.cluster_name.clone(),
                billing_mode: draft.spec.billing_mode,
                unit_price: 0,
            },
            state: AttemptState::Discarding,
            intent_at: draft.now,
            provider_id: None,
            acked_at: None,
            absences: 0,
            reason: None,
        },
    };
    attempt.state = AttemptState::Discarding;
    attempt.provider_id = Some(left.id.clone());
    attempt.reason = Some(reason.clone());
    draft.status.attempts.push(attempt);
    draft.status.provider = Some(facts::of(left, draft.now));
    draft.event(
        EventKind::AttemptDiscarded,
        reason.message,
        json!({"novitaInstanceId": left.id}),
    );
}
