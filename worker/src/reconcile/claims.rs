//! Taking in what belongs to the instance and what its record does not hold: the sweeper saw it, long and
//! often enough, and says so where the fleet is written down.

use shared::fleet::Seen;
use shared::model::{Desired, Sighting, Status};

use super::Reconciler;
use super::draft::{Draft, Next};
use super::leftovers::take_in;
use super::ties::held;
use crate::novita::{Novita, NovitaError, ProviderId};

/// What the record should hold and does not.
pub(super) fn claim<'a>(status: &Status, seen: &'a Seen) -> Option<&'a Sighting> {
    let held = held(status);
    let is_loose =
        |sighting: &&Sighting| sighting.is_claimed && !held.contains(&sighting.provider_id);
    seen.sightings.iter().find(is_loose)
}

impl<N: Novita> Reconciler<N> {
    /// Takes it in if it is still there: to be used when it is wanted, else to be removed.
    pub(super) async fn take_claim(&self, draft: &mut Draft<'_>, claim: &Sighting) -> Next {
        let Some(id) = ProviderId::new(&claim.provider_id) else {
            return Next::SETTLED;
        };
        let instance = match self.provider.get(&id).await {
            Ok(instance) => instance,
            // The list will show so, too.
            Err(NovitaError::NotFound(_)) => return self.wait_for_list(),
            Err(error) => return draft.provider_setback(&error),
        };
        let marker = self.marker(draft.spec, 1);
        let is_ours = marker.is_some_and(|marker| self.is_ours(&marker, &instance, &draft.status));
        if instance.name != claim.name || !is_ours {
            return self.wait_for_list();
        }
        let times = &mut draft.status.timestamps;
        let is_open = times.terminated.take().is_none() && times.failed.is_none();
        let is_wanted =
            is_open && draft.spec.desired == Desired::Running && draft.status.ending.is_none();
        take_in(draft, &instance, is_wanted)
    }

    fn wait_for_list(&self) -> Next {
        Next::In(self.config.poll_slow)
    }
}
