//! What records say about the instances in a list, without reading more of them than can matter.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use shared::fleet::Remembered;
use shared::model::{AttemptState, InstanceId};
use shared::store::{Store, StoreError};

use super::sweep::{Held, Holdings, Known, Listed};
use crate::marker::{DeploymentId, Marker};

/// What is known of every instance that a name in the list speaks of.
///
/// Most are simply held by the record that their name speaks of, and by nothing else: of those the
/// table of held ids tells all there is to know. Only the others are read.
pub(super) async fn of(
    store: &Store,
    deployment: &DeploymentId,
    listed: &[Listed],
    remembered: &Remembered,
) -> Result<BTreeMap<InstanceId, Known>, StoreError> {
    let (mut known, unclear) = sort(deployment, listed, remembered);
    for (id, record) in store.each(&unclear).await? {
        match record {
            // Nothing is decided about what cannot be read.
            Err(error) => tracing::error!(instance = %id, %error, "the record cannot be read"),
            Ok(None) => drop(known.insert(id, Known::Missing)),
            Ok(Some(record)) => {
                let is_protected = record.spec.options.protected;
                let what = Known::of(&record.spec, record.status.as_ref(), is_protected);
                known.insert(id, what);
            }
        }
    }
    Ok(known)
}

/// What needs no look, and the ids that need one.
fn sort(
    deployment: &DeploymentId,
    listed: &[Listed],
    remembered: &Remembered,
) -> (BTreeMap<InstanceId, Known>, Vec<InstanceId>) {
    let mut named: HashMap<InstanceId, Vec<(&Listed, u32)>> = HashMap::new();
    let mut unclear = BTreeSet::new();
    for listed in listed {
        let Some(marker) = Marker::parse(&listed.name).filter(|m| m.deployment == *deployment)
        else {
            continue;
        };
        let id = marker.instance_id();
        if let Some(holder) = remembered.bound.get(listed.id.as_str())
            && *holder != id
        {
            unclear.insert(holder.clone());
        }
        named.entry(id).or_default().push((listed, marker.attempt));
    }
    let mut known = BTreeMap::new();
    for (id, instances) in named {
        match instances.as_slice() {
            [(listed, attempt)] if remembered.bound.get(listed.id.as_str()) == Some(&id) => {
                let held = Held {
                    number: *attempt,
                    state: AttemptState::Acked,
                    provider_id: Some(listed.id.clone()),
                };
                let holdings = Holdings {
                    attempts: vec![held],
                    is_protected: false,
                };
                known.insert(id, Known::Live(holdings));
            }
            _ => drop(unclear.insert(id)),
        }
    }
    known.retain(|id, _| !unclear.contains(id));
    (known, unclear.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;
    use crate::novita::{ProviderId, ProviderStatus};

    fn deployment() -> DeploymentId {
        "a1b2c3".parse().unwrap()
    }

    fn listed(id: &str, instance: Ulid, attempt: u32) -> Listed {
        let marker = Marker {
            deployment: deployment(),
            instance,
            attempt,
        };
        Listed {
            id: ProviderId::new(id).unwrap(),
            name: marker.name("train"),
            signature: None,
            status: ProviderStatus::Running,
            is_api_instance: false,
        }
    }

    #[test]
    fn only_what_is_not_simply_held_is_read() {
        let [held, twin, loose, stolen, holder] = [1_u128, 2, 3, 4, 5].map(Ulid::from);
        let id = |ulid: Ulid| InstanceId::from(ulid);
        let mut foreign = listed("f", held, 1);
        foreign.name = "somebody's".into();
        let list = [
            listed("a", held, 1),
            listed("b", twin, 1),
            listed("c", twin, 2),
            listed("d", loose, 1),
            listed("e", stolen, 1),
            foreign,
        ];
        let mut remembered = Remembered::default();
        for (provider_id, instance) in [("a", held), ("b", twin), ("e", holder)] {
            remembered.bound.insert(provider_id.into(), id(instance));
        }
        let (known, unclear) = sort(&deployment(), &list, &remembered);
        assert_eq!(known.keys().collect::<Vec<_>>(), [&id(held)]);
        let expected = [twin, loose, stolen, holder].map(id);
        assert_eq!(unclear, expected);
    }
}
