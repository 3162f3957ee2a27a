//! Looking for whatever the provider has under this instance's markers, whatever we remember.

use std::time::Duration;

use shared::model::{Attempt, AttemptState, Offer, Status};

use super::draft::{Draft, Next};
use super::{Reconciler, facts, failure};
use crate::marker::Marker;
use crate::novita::{Gap, Instance, Listing, Novita, ProviderStatus};

/// What a search found.
pub(super) enum Left {
    /// Nothing, and that is proved.
    Nothing,
    /// Only what is known to be gone: the list lags behind.
    Lagging,
    /// An instance that no attempt accounts for, or one whose attempt was thought to be over.
    Found {
        instance: Box<Instance>,
        /// There are others beside it.
        one_of_many: bool,
    },
    /// The list was not complete, so nothing follows.
    Unknown,
    /// It could not be asked for yet; it can be after so long.
    Held(Duration),
}

impl<N: Novita> Reconciler<N> {
    /// Searches a complete list for anything of this instance, while no attempt is known to exist.
    pub(super) async fn leftovers(&self, draft: &Draft<'_>) -> Left {
        let ours = match self.ours(draft).await {
            Ok(ours) => ours,
            Err(why) => return why.held().map_or(Left::Unknown, Left::Held),
        };
        let is_known_gone = |instance: &Instance| {
            draft.status.attempts.iter().any(|attempt| {
                attempt.state == AttemptState::Gone
                    && attempt.provider_id.as_deref() == Some(&instance.id)
            })
        };
        let listed = ours.len();
        let mut found = ours.into_iter().filter(|instance| !is_known_gone(instance));
        match (found.next(), listed) {
            (None, 0) => Left::Nothing,
            (None, _) => Left::Lagging,
            (Some(instance), _) => Left::Found {
                instance: Box::new(instance),
                one_of_many: found.next().is_some(),
            },
        }
    }

    /// What a complete list holds under any of this instance's markers, removed ones left out.
    /// Fails when the list was not complete.
    pub(super) async fn ours(&self, draft: &Draft<'_>) -> Result<Vec<Instance>, Gap> {
        let Some(marker) = self.marker(draft.spec, 1) else {
            return Ok(Vec::new());
        };
        match self.provider.list_all(&marker.instance_part()).await {
            Listing::Incomplete { why, .. } => {
                tracing::warn!(instance = %draft.spec.id, %why, "an incomplete list proves nothing");
                Err(why)
            }
            Listing::Complete(listed) => Ok(listed
                .into_iter()
                .filter(|instance| instance.status != ProviderStatus::Removed)
                .filter(|instance| self.is_ours(&marker, instance, &draft.status))
                .collect()),
        }
    }

    /// Its name is a marker of this instance and this deployment and, where there is a secret, its
    /// signature is ours. What an attempt has under its id stays its own although it was ordered before
    /// there was a secret.
    pub(super) fn is_ours(&self, marker: &Marker, instance: &Instance, status: &Status) -> bool {
        let Some(found) = Marker::parse(&instance.name) else {
            return false;
        };
        let secret = self.config.marker_secret.as_ref();
        let is_held = || {
            let mut attempts = status.attempts.iter();
            attempts.any(|attempt| attempt.provider_id.as_deref() == Some(&instance.id))
        };
        let is_signed = secret.is_none_or(|secret| {
            let signature = found.signature(secret);
            signature.is_some() && signature.as_deref() == instance.env("NGA_SIG")
        });
        found.instance == marker.instance
            && found.deployment == marker.deployment
            && (is_signed || is_held())
    }

    /// An incomplete list, or one that lags: look again.
    pub(super) fn look_again(&self, draft: &mut Draft<'_>) -> Next {
        let message = "the provider's list was not complete, or lagged behind";
        draft.setback(failure("INCOMPLETE_LIST", message));
        Next::In(self.config.poll_fast * 2)
    }
}

/// Makes what was found the current attempt: to be used when it is wanted, else to be removed.
pub(super) fn take_in(draft: &mut Draft<'_>, found: &Instance, wanted: bool) -> Next {
    let position = draft
        .status
        .attempts
        .iter()
        .position(|attempt| attempt.marker == found.name);
    let attempt = match position {
        Some(position) => draft.status.attempts.remove(position),
        None => unknown_attempt(draft, found),
    };
    draft.status.attempts.push(attempt);
    draft.status.provider = Some(facts::of(found, draft.now));
    let is_leaving = matches!(
        found.status,
        ProviderStatus::ToRemove | ProviderStatus::Removing
    );
    if wanted && !is_leaving {
        draft.created(&found.id, "found under its marker");
        return Next::NOW;
    }
    if let Some(attempt) = draft.attempt_mut() {
        attempt.provider_id = Some(found.id.clone());
    }
    let message = "found under this instance's marker beside what is wanted";
    draft.discard(failure("LEFTOVER", message))
}

/// An attempt for an instance of ours that none is remembered for.
fn unknown_attempt(draft: &Draft<'_>, found: &Instance) -> Attempt {
    tracing::warn!(instance = %draft.spec.id, marker = %found.name, "no attempt is remembered for it");
    Attempt {
        number: Marker::parse(&found.name).map_or(0, |marker| marker.attempt),
        marker: found.name.clone(),
        offer: Offer {
            product_id: found.product_id.clone(),
            product_name: found.product_name.clone(),
            cluster_id: found.cluster_id.clone(),
            region: found.cluster_name.clone(),
            billing_mode: draft.spec.billing_mode,
            unit_price: found.instance_price.map_or(0, |price| price.0),
        },
        ports: 0,
        state: AttemptState::Intent,
        intent_at: draft.moment(),
        provider_id: None,
        acked_at: None,
        absences: 0,
        reason: None,
    }
}
