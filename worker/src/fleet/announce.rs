//! Telling that nobody accounts for an instance.

use serde_json::json;
use sha2::{Digest, Sha256};
use shared::clock::Millis;
use shared::model::EventId;
use shared::queue::Job;
use ulid::Ulid;

use super::sweep::Action;
use crate::reconcile::Notifier;

/// The webhooks that these actions ask for. Made twice, they bear the same ids.
pub(super) fn webhooks(actions: &[Action], notifier: &Notifier, now: Millis) -> Vec<Job> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Announce {
            provider_id,
            name,
            instance,
            finding,
            first_seen,
        } => {
            tracing::warn!(
                %provider_id, name, %instance, ?finding, first_seen = first_seen.iso(),
                "nobody accounts for this instance"
            );
            let data = json!({
                "novitaInstanceId": provider_id.as_str(),
                "name": name,
                "finding": finding,
                "firstSeen": first_seen.iso(),
            });
            notifier.orphan(&id(provider_id.as_str(), now), instance, now, &data)
        }
        Action::Adopt { .. }
        | Action::Rebuild { .. }
        | Action::StopOrphan { .. }
        | Action::DeleteOrphan { .. }
        | Action::Reopen { .. } => None,
    });
    told.collect()
}

/// The same for one instance and one hour.
fn id(provider_id: &str, now: Millis) -> EventId {
    const HOUR: u64 = 3_600_000;
    let hour = now.0 / HOUR;
    let digest = Sha256::digest(format!("{provider_id}|{hour}"));
    let random = digest
        .iter()
        .take(10)
        .fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    EventId::from(Ulid::from_parts(hour * HOUR, random))
}
