//! What a pass is handed.

use std::collections::BTreeMap;

use shared::clock::Millis;
use shared::config::Secret;
use shared::model::{
    AttemptState, Desired, Ending, InstanceId, OrphanPolicy, Recovery, Spec, Status, Suspect,
};

use super::Listed;
use crate::marker::DeploymentId;
use crate::novita::ProviderId;

/// What holds for every pass.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// This deployment.
    pub deployment: &'a DeploymentId,
    /// What signs its markers; with one, an unsigned marker is not ours.
    pub secret: Option<&'a Secret>,
    /// What is done about an instance without a record.
    pub policy: OrphanPolicy,
    /// Nothing but announcements.
    pub dry_run: bool,
}

/// One pass: the provider's whole list, read first, and then what is recorded.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// Rises from pass to pass; a pass that is done again has the same.
    pub number: u64,
    /// Redis's clock.
    pub now: Millis,
    /// Whether the list is known to be whole.
    pub completeness: &'a Completeness,
    /// The list, unfiltered.
    pub listed: &'a [Listed],
    /// The record of every instance that a marker of this deployment in the list names, and every
    /// record that holds an instance in the list. About a name that is missing here nothing is
    /// decided: leave out what could not be read.
    pub records: &'a BTreeMap<InstanceId, Known>,
    /// How many live records hold an instance under a known provider id, listed or not.
    pub holding: u64,
    /// When the record store began, by Redis's clock.
    pub store_birth: Millis,
    /// What earlier passes remembered.
    pub suspects: &'a BTreeMap<ProviderId, Suspect>,
    /// What the pass before said about lost records.
    pub recovery: Recovery,
}

/// Whether a list is known to be whole: all pages read without an error, each instance once, as many
/// as the provider stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Completeness {
    /// It is.
    Complete,
    /// It is not, and this is why.
    Incomplete(String),
}

/// What the record store says about an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It was asked, and has no such record.
    Missing,
    /// Something may still happen to it.
    Live(Holdings),
    /// It came to its end by our own doing.
    Closed(Holdings),
    /// It was closed because the provider had it no more, which nobody here asked for.
    Vanished(Holdings),
}

/// What a record holds at the provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Its attempts, in any order.
    pub attempts: Vec<Held>,
    /// Nothing of it may be stopped or deleted by the sweeper.
    pub is_protected: bool,
}

/// One attempt of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its number, as in its marker.
    pub number: u32,
    /// What became of it.
    pub state: AttemptState,
    /// The provider's id, once known.
    pub provider_id: Option<ProviderId>,
}

impl Held {
    /// The provider may have something under it, and a reconcile sees to it.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.state.may_exist()
    }

    pub(super) fn id(&self) -> Option<&ProviderId> {
        self.provider_id.as_ref()
    }
}

impl Known {
    /// What a stored record says.
    #[must_use]
    pub fn of(spec: &Spec, status: Option<&Status>, is_protected: bool) -> Self {
        let attempts = status.into_iter().flat_map(Status::all_attempts);
        let held = attempts.map(|attempt| Held {
            number: attempt.number,
            state: attempt.state,
            provider_id: attempt.provider_id.clone().and_then(ProviderId::new),
        });
        let holdings = Holdings {
            attempts: held.collect(),
            is_protected,
        };
        match status.filter(|status| status.is_closed()) {
            None => Self::Live(holdings),
            Some(status)
                if status.ending == Some(Ending::Vanished) && spec.desired != Desired::Deleted =>
            {
                Self::Vanished(holdings)
            }
            Some(_) => Self::Closed(holdings),
        }
    }

    /// What it holds, if there is a record.
    #[must_use]
    pub fn holdings(&self) -> Option<&Holdings> {
        match self {
            Self::Missing => None,
            Self::Live(holdings) | Self::Closed(holdings) | Self::Vanished(holdings) => {
                Some(holdings)
            }
        }
    }
}
