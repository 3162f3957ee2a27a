//! Carrying out what the sweep decided. What it remembers and announces is stored before any of this is
//! done, and each action looks by id first, so that one that was cut off is simply done again.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, stream};
use shared::clock::Millis;
use shared::model::InstanceId;
use shared::store::StoreError;

use super::sweep::{Action, Listed, fallback_name, rebuilt};
use super::{Fleet, metrics};
use crate::marker::Marker;
use crate::novita::{Instance, Novita, NovitaError, ProviderId, ProviderStatus};

/// Actions of one pass; the next pass goes on.
const AT_ONCE: usize = 256;
/// Of these so many at a time.
const SIDE_BY_SIDE: usize = 8;

/// Why an action was not carried out this time.
#[derive(Debug, thiserror::Error)]
enum Undone {
    #[error(transparent)]
    Provider(#[from] NovitaError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<N: Novita> Fleet<N> {
    /// Does what can be done at once. What fails is decided anew by the next pass.
    pub(super) async fn act(&self, actions: &[Action], listed: &[Listed], now: Millis) {
        let names: HashMap<&ProviderId, &str> = listed
            .iter()
            .map(|listed| (&listed.id, listed.name.as_str()))
            .collect();
        let mut calls = Vec::new();
        for action in actions {
            calls.extend(Call::of(action, &names));
        }
        calls.truncate(AT_ONCE);
        stream::iter(calls)
            .for_each_concurrent(SIDE_BY_SIDE, |call| self.report(call, now))
            .await;
    }

    async fn report(&self, call: Call, now: Millis) {
        let action = call.kind.as_str();
        let outcome = match self.carry_out(&call, now).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let instance = &call.instance;
                tracing::warn!(%instance, action, %error, "not done; the next pass decides anew");
                "failed"
            }
        };
        metrics::acted(action, outcome);
    }

    async fn carry_out(&self, call: &Call, now: Millis) -> Result<&'static str, Undone> {
        let instance = match self.provider.get(&call.provider_id).await {
            Ok(instance) => instance,
            Err(NovitaError::NotFound(_)) => return Ok("gone"),
            Err(error) => return Err(error.into()),
        };
        // By another name it is not what was decided about.
        if instance.name != call.name || self.owner(&instance).as_ref() != Some(&call.instance) {
            return Ok("changed");
        }
        let is_leaving = matches!(
            instance.status,
            ProviderStatus::ToRemove | ProviderStatus::Removing | ProviderStatus::Removed
        );
        let done = match call.kind {
            _ if is_leaving => return Ok("gone"),
            Kind::Stop if instance.status == ProviderStatus::Exited => return Ok("gone"),
            Kind::Stop => self.provider.stop(&call.provider_id).await,
            Kind::Delete => self.provider.delete(&call.provider_id).await,
            Kind::Rebuild => return self.rebuild(&instance, now).await,
        };
        match done {
            Ok(()) => {
                tracing::warn!(
                    instance = %call.instance, provider_id = %call.provider_id,
                    action = call.kind.as_str(), "an orphan was dealt with"
                );
                Ok("done")
            }
            // It moved on meanwhile; the next pass sees how.
            Err(NovitaError::NotFound(_) | NovitaError::InvalidStateChange(_)) => Ok("changed"),
            Err(error) => Err(error.into()),
        }
    }

    async fn rebuild(&self, instance: &Instance, now: Millis) -> Result<&'static str, Undone> {
        let Some(marker) = Marker::parse(&instance.name) else {
            return Ok("changed");
        };
        let record = rebuilt(instance, &marker, now);
        let other_name = fallback_name(&record.spec.id);
        let is_new = self
            .records
            .restore(&record.spec, &record.status, &record.event, &other_name)
            .await?;
        if is_new {
            tracing::warn!(instance = %record.spec.id, "its record was rebuilt");
        }
        Ok(if is_new { "done" } else { "changed" })
    }
}

/// The provider's ids of what belongs to a record that does not hold it; its own reconcile takes it in.
pub(super) fn claimed(actions: &[Action]) -> HashSet<String> {
    let claims = actions.iter().filter_map(|action| match action {
        Action::Adopt { provider_id, .. } | Action::Reopen { provider_id, .. } => {
            Some(provider_id.as_str().to_owned())
        }
        Action::Announce { .. }
        | Action::Rebuild { .. }
        | Action::StopOrphan { .. }
        | Action::DeleteOrphan { .. } => None,
    });
    claims.collect()
}

/// An action that is carried out here.
struct Call {
    kind: Kind,
    instance: InstanceId,
    provider_id: ProviderId,
    /// Its name in the list.
    name: String,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Rebuild,
    Stop,
    Delete,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild",
            Self::Stop => "stop",
            Self::Delete => "delete",
        }
    }
}

impl Call {
    fn of(action: &Action, names: &HashMap<&ProviderId, &str>) -> Option<Self> {
        let (kind, instance, provider_id) = match action {
            Action::Rebuild {
                instance,
                provider_id,
            } => (Kind::Rebuild, instance, provider_id),
            Action::StopOrphan {
                instance,
                provider_id,
            } => (Kind::Stop, instance, provider_id),
            Action::DeleteOrphan {
                instance,
                provider_id,
            } => (Kind::Delete, instance, provider_id),
            Action::Announce { .. } | Action::Adopt { .. } | Action::Reopen { .. } => return None,
        };
        Some(Self {
            kind,
            instance: instance.clone(),
            provider_id: provider_id.clone(),
            name: (*names.get(provider_id)?).to_owned(),
        })
    }
}
