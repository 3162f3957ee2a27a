//! How the instance is: from the provider's list when that shows nothing new, else by its id.

use shared::model::{OperationState, ProviderFacts, Status};

use super::draft::{Draft, Next};
use super::{Reconciler, facts};
use crate::novita::{Novita, NovitaError, ProviderId};

impl<N: Novita> Reconciler<N> {
    /// How the current attempt is. A list may lag behind what was just done, so it is only asked while
    /// nothing is on its way, and what it shows differently is confirmed by id.
    pub(super) async fn look(
        &self,
        draft: &Draft<'_>,
        id: &ProviderId,
    ) -> Result<ProviderFacts, NovitaError> {
        match listed(draft, id) {
            Some(facts) => Ok(facts),
            None => self.ask(draft, id).await,
        }
    }

    /// How an instance is by its id.
    pub(super) async fn ask(
        &self,
        draft: &Draft<'_>,
        id: &ProviderId,
    ) -> Result<ProviderFacts, NovitaError> {
        let instance = self.provider.get(id).await?;
        Ok(facts::of(&instance, draft.now))
    }

    /// Until the provider shows another word, and for one slow look at the longest.
    pub(super) fn watch(&self) -> Next {
        Next::Watch(self.config.poll_slow)
    }
}

/// What is known, brought up to date by what the list has shown since.
fn listed(draft: &Draft<'_>, id: &ProviderId) -> Option<ProviderFacts> {
    if !is_quiet(&draft.status) {
        return None;
    }
    let known = draft.status.provider.as_ref()?;
    let (sighting, at) = draft.seen.of(id.as_str())?;
    let shown = &sighting.facts;
    let is_same = shown.status == known.status
        && (shown.port_mappings.is_empty() || shown.port_mappings == known.port_mappings);
    if !is_same || at <= known.seen_at {
        return None;
    }
    Some(ProviderFacts {
        status_error: shown.status_error.clone(),
        spot_status: shown.spot_status.clone(),
        spot_reclaim_at: shown.spot_reclaim_at,
        last_started: shown.last_started.or(known.last_started),
        last_stopped: shown.last_stopped.or(known.last_stopped),
        release_data_at: shown.release_data_at.or(known.release_data_at),
        seen_at: at,
        ..known.clone()
    })
}

/// Nothing was asked for whose effect is still to be seen.
fn is_quiet(status: &Status) -> bool {
    let operation = status.operation.as_ref();
    let is_pending = operation.is_some_and(|op| op.state == OperationState::Pending);
    !is_pending && status.watched.is_none()
}
