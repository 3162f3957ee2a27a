//! What is ours: a marker of this deployment, to the letter, with its signature. All else is foreign,
//! and nothing but counted.

use std::collections::HashSet;

use shared::model::InstanceId;

use super::input::{Held, Known, Pass, Rules};
use super::outcome::Counts;
use crate::marker::Marker;
use crate::novita::{Instance, ProviderId, ProviderStatus};

/// What the sweeper has to know of an instance in the list. When the provider says that it was created
/// is not among it: no age is reckoned by the provider's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The provider's id.
    pub id: ProviderId,
    /// The provider's name for it.
    pub name: String,
    /// The value of its variable `NGA_SIG`.
    pub signature: Option<String>,
    /// Its state.
    pub status: ProviderStatus,
    /// It belongs to another product of the provider.
    pub is_api_instance: bool,
}

impl Listed {
    /// The instance as the list has it; `None` for one without an id.
    #[must_use]
    pub fn of(instance: &Instance) -> Option<Self> {
        Some(Self {
            id: ProviderId::new(&instance.id)?,
            name: instance.name.clone(),
            signature: instance.env("NGA_SIG").map(str::to_owned),
            status: instance.status.clone(),
            is_api_instance: instance.is_api_instance,
        })
    }

    /// It is gone, or on its way: nothing needs to be done about it.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(
            self.status,
            ProviderStatus::ToRemove | ProviderStatus::Removing | ProviderStatus::Removed
        )
    }
}

/// An instance of this deployment.
pub(super) struct Ours<'a> {
    pub(super) listed: &'a Listed,
    pub(super) marker: Marker,
    /// The id that its marker names.
    pub(super) instance: InstanceId,
}

/// The list, told apart.
pub(super) struct Fleet<'a> {
    /// What is ours and not gone.
    pub(super) ours: Vec<Ours<'a>>,
    /// The provider ids that an attempt of any record holds.
    pub(super) in_use: HashSet<&'a ProviderId>,
    pub(super) foreign: u64,
    /// Foreign ones with a marker of this deployment, that no record holds.
    pub(super) look_alikes: u64,
}

impl<'a> Fleet<'a> {
    pub(super) fn of(pass: &Pass<'a>, rules: &Rules<'_>) -> Self {
        let holdings = pass.records.values().filter_map(Known::holdings);
        let held = holdings.flat_map(|holdings| holdings.attempts.iter());
        let in_use = held.filter(|attempt| attempt.is_in_use());
        let mut fleet = Self {
            ours: Vec::new(),
            in_use: in_use.filter_map(Held::id).collect(),
            foreign: 0,
            look_alikes: 0,
        };
        for listed in pass.listed {
            fleet.take(listed, rules);
        }
        fleet
    }

    fn take(&mut self, listed: &'a Listed, rules: &Rules<'_>) {
        let marker = Marker::parse(&listed.name)
            .filter(|marker| marker.deployment == *rules.deployment && !listed.is_api_instance);
        let is_signed = marker
            .as_ref()
            .is_some_and(|marker| is_signed(marker, listed, rules));
        match marker {
            Some(_) if is_signed && listed.status == ProviderStatus::Removed => {}
            Some(marker) if is_signed => self.ours.push(Ours {
                instance: marker.instance_id(),
                listed,
                marker,
            }),
            marker => {
                self.foreign += 1;
                let is_look_alike = marker.is_some() && !self.in_use.contains(&listed.id);
                self.look_alikes += u64::from(is_look_alike);
            }
        }
    }

    /// Those of ours that no record holds and that are not leaving.
    pub(super) fn loose(&self) -> impl Iterator<Item = &Ours<'a>> {
        self.ours
            .iter()
            .filter(|ours| !ours.listed.is_leaving() && !self.in_use.contains(&ours.listed.id))
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            ours: self.ours.len() as u64,
            foreign: self.foreign,
            ..Counts::default()
        }
    }
}

fn is_signed(marker: &Marker, listed: &Listed, rules: &Rules<'_>) -> bool {
    let Some(secret) = rules.secret else {
        return true;
    };
    let expected = marker.signature(secret);
    expected.is_some() && expected == listed.signature
}
