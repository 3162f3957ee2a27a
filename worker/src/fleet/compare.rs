//! What a list shows, against what the list before showed.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use sha2::{Digest, Sha256};
use shared::clock::Millis;
use shared::fleet::{Entry, Remembered, foreign_field};
use shared::model::{InstanceId, ProviderFacts, Sighting};

use crate::novita::Instance;
use crate::reconcile::facts;

/// What the list shows, by the field of the fleet that it belongs to.
#[derive(Debug, Default)]
pub(super) struct Picture {
    fields: BTreeMap<String, Vec<Sighting>>,
    /// Instances that have something at the provider, as far as records tell.
    bound: BTreeSet<InstanceId>,
}

/// An instance of the list as far as it is kept, and the instance of ours that its name speaks of.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) sighting: Sighting,
    pub(super) owner: Option<InstanceId>,
}

/// What is kept of an instance in the list.
pub(super) fn sighting(instance: &Instance, now: Millis) -> Sighting {
    let positive = |number: i64| u64::try_from(number).ok();
    Sighting {
        provider_id: instance.id.clone(),
        name: instance.name.clone(),
        facts: facts::of(instance, now),
        product_id: instance.product_id.clone(),
        product_name: instance.product_name.clone(),
        cluster_id: instance.cluster_id.clone(),
        cluster_name: instance.cluster_name.clone(),
        billing_mode: instance.billing_mode.as_str().to_owned(),
        gpu_num: instance.gpu_num,
        rootfs_size: instance.rootfs_size,
        cpu_num: instance.cpu_num,
        memory: instance.memory,
        image_url: instance.image_url.clone(),
        unit_price: instance.instance_price.map(|price| price.0),
        created_at: instance.created_at.and_then(positive),
        is_claimed: false,
    }
}

impl Picture {
    /// Sorts what is shown: to whoever holds it, else to whom its name speaks of, else to nobody.
    pub(super) fn of(
        shown: Vec<Shown>,
        remembered: &Remembered,
        claimed: &HashSet<String>,
    ) -> Self {
        let mut picture = Self {
            fields: BTreeMap::new(),
            bound: remembered.bound.values().cloned().collect(),
        };
        for Shown {
            mut sighting,
            owner,
        } in shown
        {
            sighting.is_claimed = claimed.contains(&sighting.provider_id);
            let holder = remembered.bound.get(&sighting.provider_id).cloned();
            let field = match holder.or(owner) {
                Some(instance) => instance.to_string(),
                None => foreign_field(&sighting.provider_id),
            };
            picture.fields.entry(field).or_default().push(sighting);
        }
        for sightings in picture.fields.values_mut() {
            sightings.sort_by(|a, b| a.provider_id.cmp(&b.provider_id));
        }
        picture
    }

    /// The fields that show something else than before. From a list that is not whole, nothing follows
    /// for what is not in it.
    pub(super) fn changes(self, remembered: &Remembered, is_whole: bool) -> Vec<Entry> {
        let Self { fields, bound } = self;
        let due = |field: &str, sightings: &[Sighting]| {
            let instance: InstanceId = field.parse().ok()?;
            let is_claimed = sightings.iter().any(|sighting| sighting.is_claimed);
            (is_claimed || bound.contains(&instance)).then_some(instance)
        };
        let mut entries = Vec::new();
        if is_whole {
            let gone = remembered
                .marks
                .keys()
                .filter(|field| !fields.contains_key(*field));
            entries.extend(gone.map(|field| Entry {
                due: due(field, &[]),
                field: field.clone(),
                shown: None,
            }));
        }
        for (field, sightings) in fields {
            let mark = mark(&sightings);
            if remembered.marks.get(&field) != Some(&mark) {
                entries.push(Entry {
                    due: due(&field, &sightings),
                    field,
                    shown: Some((sightings, mark)),
                });
            }
        }
        entries
    }
}

/// A digest of all that is shown but the time at which it was.
fn mark(sightings: &[Sighting]) -> String {
    let mut digest = Sha256::new();
    for sighting in sightings {
        let timeless = Sighting {
            facts: ProviderFacts {
                seen_at: Millis(0),
                ..sighting.facts.clone()
            },
            ..sighting.clone()
        };
        digest.update(serde_json::to_vec(&timeless).unwrap_or_default());
    }
    let digest = digest.finalize();
    let number = digest.iter().take(8);
    let number = number.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(provider_id: &str, word: &str, owner: Option<&InstanceId>) -> Shown {
        Shown {
            sighting: Sighting {
                provider_id: provider_id.into(),
                facts: ProviderFacts {
                    status: word.into(),
                    ..ProviderFacts::default()
                },
                ..Sighting::default()
            },
            owner: owner.cloned(),
        }
    }

    /// Remembers what was changed, as the store does.
    fn remember(remembered: &mut Remembered, entries: &[Entry]) {
        for entry in entries {
            match &entry.shown {
                Some((_, mark)) => drop(remembered.marks.insert(entry.field.clone(), mark.clone())),
                None => drop(remembered.marks.remove(&entry.field)),
            }
        }
    }

    fn due(entries: &[Entry]) -> Vec<&InstanceId> {
        entries
            .iter()
            .filter_map(|entry| entry.due.as_ref())
            .collect()
    }

    #[test]
    fn only_what_shows_something_new_is_made_due() {
        let (one, two) = (InstanceId::generate(), InstanceId::generate());
        let mut remembered = Remembered::default();
        remembered.bound.insert("a".into(), one.clone());
        remembered.bound.insert("b".into(), two.clone());
        let list = |word: &str| {
            vec![
                shown("a", "running", None),
                shown("b", word, Some(&two)),
                shown("z", "running", None),
            ]
        };
        let first =
            Picture::of(list("running"), &remembered, &HashSet::new()).changes(&remembered, true);
        assert_eq!(first.len(), 3);
        assert_eq!(due(&first).len(), 2);
        remember(&mut remembered, &first);
        let same =
            Picture::of(list("running"), &remembered, &HashSet::new()).changes(&remembered, true);
        assert!(same.is_empty());
        let other =
            Picture::of(list("exited"), &remembered, &HashSet::new()).changes(&remembered, true);
        assert_eq!(due(&other), [&two]);
    }

    #[test]
    fn what_is_missing_counts_only_in_a_whole_list_and_once() {
        let one = InstanceId::generate();
        let mut remembered = Remembered::default();
        remembered.bound.insert("a".into(), one.clone());
        let first = Picture::of(
            vec![shown("a", "running", None)],
            &remembered,
            &HashSet::new(),
        )
        .changes(&remembered, true);
        remember(&mut remembered, &first);
        let partial =
            Picture::of(Vec::new(), &remembered, &HashSet::new()).changes(&remembered, false);
        assert!(partial.is_empty());
        let whole =
            Picture::of(Vec::new(), &remembered, &HashSet::new()).changes(&remembered, true);
        assert_eq!(due(&whole), [&one]);
        remember(&mut remembered, &whole);
        let again =
            Picture::of(Vec::new(), &remembered, &HashSet::new()).changes(&remembered, true);
        assert!(again.is_empty());
    }

    #[test]
    fn a_holder_comes_before_the_name_and_nobody_is_woken_for_what_nobody_holds() {
        let (holder, named) = (InstanceId::generate(), InstanceId::generate());
        let mut remembered = Remembered::default();
        remembered.bound.insert("a".into(), holder.clone());
        let list = vec![
            shown("a", "running", Some(&named)),
            shown("o", "running", Some(&named)),
        ];
        let entries = Picture::of(list, &remembered, &HashSet::new()).changes(&remembered, true);
        assert_eq!(due(&entries), [&holder]);
        assert!(entries.iter().any(|entry| entry.field == named.to_string()));
    }
}
