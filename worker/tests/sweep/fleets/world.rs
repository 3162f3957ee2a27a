//! A provider with instances and a store with records, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use shared::clock::Millis;
use shared::config::Secret;
use shared::model::{AttemptState, InstanceId, OrphanPolicy, Recovery};
use ulid::Ulid;
use worker::fleet::sweep::{Action, Completeness, Held, Known, Listed};
use worker::marker::Marker;
use worker::novita::{Instance, ProviderId};

use super::foreign::disguise;
use crate::scene::{BIRTH, SECRET, START, deployment, holdings, instance, provider_id};

const WORDS: [&str; 12] = [
    "running",
    "running",
    "running",
    "running",
    "exited",
    "exited",
    "pulling",
    "stopping",
    "migrating",
    "removing",
    "removed",
    "newWord",
];
const STATES: [AttemptState; 6] = [
    AttemptState::Intent,
    AttemptState::Acked,
    AttemptState::Refused,
    AttemptState::Absent,
    AttemptState::Discarding,
    AttemptState::Gone,
];
const WAITS: [u64; 15] = [
    0, 1_000, 10_000, 29_999, 30_000, 45_000, 60_000, 119_999, 120_000, 121_000, 300_000, 900_000,
    3_600_000, 43_200_000, 86_400_000,
];

/// What an instance really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Truth {
    /// Ordered by us.
    Ours {
        id: InstanceId,
        attempt: u32,
        is_older_than_store: bool,
    },
    /// By somebody else.
    Foreign {
        /// All but its signature is as ours.
        is_look_alike: bool,
    },
}

/// An instance at the provider.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub(super) truth: Truth,
    pub(super) instance: Rc<Instance>,
}

/// A list as it came.
pub(super) struct Delivery {
    pub(super) completeness: Completeness,
    pub(super) things: Vec<Thing>,
}

pub(super) struct World {
    pub(super) secret: Option<Secret>,
    pub(super) policy: OrphanPolicy,
    pub(super) dry_run: bool,
    pub(super) recovery: Recovery,
    pub(super) now: Millis,
    pub(super) number: u64,
    /// `None`: it cannot be read.
    pub(super) records: BTreeMap<InstanceId, Option<Known>>,
    /// With whether it is listed.
    things: Vec<(Thing, bool)>,
    last: Vec<Thing>,
}

impl Delivery {
    pub(super) fn listed(&self) -> impl Iterator<Item = Listed> {
        self.things
            .iter()
            .map(|thing| Listed::of(&thing.instance).unwrap())
    }
}

impl World {
    pub(super) fn generate(rng: &mut SmallRng) -> Self {
        let policies = [
            OrphanPolicy::Report,
            OrphanPolicy::Adopt,
            OrphanPolicy::Quarantine,
            OrphanPolicy::Quarantine,
        ];
        let ended = Recovery::Ended { at: Millis(1) };
        let mut world = Self {
            secret: rng.random_bool(0.15).then(|| Secret::new(SECRET)),
            policy: *policies.choose(rng).unwrap(),
            dry_run: rng.random_bool(0.08),
            recovery: if rng.random_bool(0.1) {
                ended
            } else {
                Recovery::Off
            },
            now: START,
            number: 1,
            records: BTreeMap::new(),
            things: Vec::new(),
            last: Vec::new(),
        };
        // Some deployments are whole and some lost their store, so that not all are recovering.
        let old = *[0.0, 0.0, 0.1, 0.8].choose(rng).unwrap();
        let ids = if rng.random_bool(0.15) { 7..=12 } else { 1..=4 };
        for n in 0..rng.random_range(ids) {
            world.add(n, old, rng);
        }
        let ids: Vec<InstanceId> = world.records.keys().cloned().collect();
        // Mishaps of many kinds at once would hide what each comes to: many records are alike.
        let alike = rng.random_bool(0.2).then(|| world.record(&ids[0], rng));
        for id in ids {
            let record = alike.clone().unwrap_or_else(|| world.record(&id, rng));
            world.records.insert(id, record);
        }
        world
    }

    /// One instance id with what the provider has under it, and what only looks like it.
    fn add(&mut self, n: u128, old: f64, rng: &mut SmallRng) {
        let is_older_than_store = rng.random_bool(old);
        let made = if is_older_than_store {
            [BIRTH.0 - 1, BIRTH.0 - 3_600_000][rng.random_range(0..2)]
        } else {
            [BIRTH.0, BIRTH.0 + 1, START.0][rng.random_range(0..3)]
        };
        let ulid = Ulid::from_parts(made, n);
        self.records.insert(InstanceId::from(ulid), None);
        for _ in 0..rng.random_range(1..=2) {
            let attempt = rng.random_range(1..=3);
            let truth = Truth::Ours {
                id: InstanceId::from(ulid),
                attempt,
                is_older_than_store,
            };
            self.place(ulid, attempt, Some(truth), rng);
        }
        for _ in 0..rng.random_range(0..=1) {
            self.place(ulid, rng.random_range(1..=3), None, rng);
        }
    }

    fn place(&mut self, ulid: Ulid, attempt: u32, truth: Option<Truth>, rng: &mut SmallRng) {
        let marker = Marker {
            deployment: deployment(),
            instance: ulid,
            attempt,
        };
        let id = format!("p{:02}-{}", rng.random_range(0..100), self.things.len());
        let mut made = if self.secret.is_some() {
            instance(&id, &marker)
        } else {
            let mut unsigned = Instance::default();
            unsigned.id = id;
            unsigned.name = marker.name(["train", "", "a-nga-b"][rng.random_range(0..3)]);
            unsigned
        };
        let truth = truth.unwrap_or_else(|| Truth::Foreign {
            is_look_alike: disguise(&mut made, &marker, self.secret.is_some(), rng),
        });
        made.status = a_word(rng);
        // The provider's clock, an hour off either way.
        let offset = rng.random_range(-3_600..=3_600);
        made.created_at = Some(self.now.seconds() as i64 + offset);
        let thing = Thing {
            truth,
            instance: Rc::new(made),
        };
        self.things.push((thing, rng.random_bool(0.85)));
    }

    /// A record in any state, which may or may not hold what the provider has.
    fn record(&self, id: &InstanceId, rng: &mut SmallRng) -> Option<Known> {
        let mut attempts = Vec::new();
        for number in 1..=3 {
            if rng.random_bool(0.5) {
                attempts.push(Held {
                    number,
                    state: *STATES.choose(rng).unwrap(),
                    provider_id: self.some_id(id, number, rng),
                });
            }
        }
        attempts.shuffle(rng);
        let mut holdings = holdings(&attempts);
        holdings.is_protected = rng.random_bool(0.1);
        match rng.random_range(0..20) {
            0 => None,
            1..=6 => Some(Known::Missing),
            7..=13 => Some(Known::Live(holdings)),
            14 => Some(Known::Vanished(holdings)),
            _ => Some(Known::Closed(holdings)),
        }
    }

    /// The id of what the provider has under this attempt, mostly; or none, or one of something else.
    fn some_id(&self, id: &InstanceId, number: u32, rng: &mut SmallRng) -> Option<ProviderId> {
        let is_own = |thing: &&(Thing, bool)| {
            matches!(&thing.0.truth, Truth::Ours { id: of, attempt, .. }
                if of == id && *attempt == number)
        };
        let own: Vec<_> = self.things.iter().filter(is_own).collect();
        let id = |(thing, _): &(Thing, bool)| provider_id(&thing.instance.id);
        match rng.random_range(0..10) {
            0..=3 => own.choose(rng).map(|thing| id(thing)),
            4..=7 => None,
            8 => Some(provider_id("elsewhere")),
            _ => self.things.choose(rng).map(id),
        }
    }

    /// Time passes, and anything may change.
    pub(super) fn change(&mut self, rng: &mut SmallRng) {
        self.now = self.now.plus(*WAITS.choose(rng).unwrap());
        self.number += u64::from(rng.random_bool(0.95));
        let ids: Vec<InstanceId> = self.records.keys().cloned().collect();
        for id in ids {
            if rng.random_bool(0.06) {
                let record = self.record(&id, rng);
                self.records.insert(id, record);
            }
        }
        for (thing, is_listed) in &mut self.things {
            if rng.random_bool(0.06) {
                *is_listed = !*is_listed;
            }
            if rng.random_bool(0.03) {
                let renamed = format!("x{}", thing.instance.name);
                Rc::make_mut(&mut thing.instance).name = renamed;
            }
            if rng.random_bool(0.1) {
                Rc::make_mut(&mut thing.instance).status = a_word(rng);
            }
        }
    }

    /// The provider's list: mostly the truth.
    pub(super) fn deliver(&mut self, rng: &mut SmallRng) -> Delivery {
        let current = self.things.iter().filter(|(_, is_listed)| *is_listed);
        let mut things: Vec<Thing> = current.map(|(thing, _)| thing.clone()).collect();
        things.shuffle(rng);
        let mut completeness = Completeness::Complete;
        match rng.random_range(0..20) {
            0 => {
                things.truncate(rng.random_range(0..=things.len()));
                completeness = Completeness::Incomplete("a page failed".into());
            }
            // A lie: nobody can tell.
            1 => things.truncate(rng.random_range(0..=things.len())),
            2 => things.clear(),
            3 if !things.is_empty() => things.push(things[0].clone()),
            4 => things.clone_from(&self.last),
            _ => {}
        }
        self.last.clone_from(&things);
        let mut ids = BTreeSet::new();
        self.last
            .retain(|thing| ids.insert(thing.instance.id.clone()));
        Delivery {
            completeness,
            things,
        }
    }

    /// What the store answers; what cannot be read is left out.
    pub(super) fn known(&self) -> BTreeMap<InstanceId, Known> {
        let read = |(id, known): (&InstanceId, &Option<Known>)| Some((id.clone(), known.clone()?));
        self.records.iter().filter_map(read).collect()
    }

    /// Live records that hold an instance.
    pub(super) fn holding(&self) -> u64 {
        let holds = |known: &&Option<Known>| match known {
            Some(Known::Live(live)) => live
                .attempts
                .iter()
                .any(|held| held.is_in_use() && held.provider_id.is_some()),
            _ => false,
        };
        self.records.values().filter(holds).count() as u64
    }

    /// What an action comes to when it is carried out.
    pub(super) fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Announce { .. } => {}
            Action::StopOrphan { provider_id, .. } => self.put(provider_id, "exited"),
            Action::DeleteOrphan { provider_id, .. } => self.put(provider_id, "removing"),
            Action::Adopt {
                instance,
                provider_id,
                attempt,
            } => self.bind(instance, provider_id, *attempt, AttemptState::Acked),
            Action::Rebuild {
                instance,
                provider_id,
            } => {
                self.records.insert(instance.clone(), None);
                self.bind(instance, provider_id, 1, AttemptState::Acked);
            }
            Action::Reopen {
                instance,
                provider_id,
            } => self.bind(instance, provider_id, 1, AttemptState::Discarding),
        }
    }

    fn put(&mut self, id: &ProviderId, word: &str) {
        for (thing, _) in &mut self.things {
            if thing.instance.id == id.as_str() {
                Rc::make_mut(&mut thing.instance).status = word.to_owned().into();
            }
        }
    }

    /// The record of `instance` is live and has `id` under this attempt.
    fn bind(&mut self, instance: &InstanceId, id: &ProviderId, number: u32, state: AttemptState) {
        let before = self.records.get(instance).cloned().flatten();
        let mut holdings = before
            .and_then(|known| known.holdings().cloned())
            .unwrap_or_default();
        holdings.attempts.retain(|held| held.number != number);
        holdings.attempts.push(Held {
            number,
            state,
            provider_id: Some(id.clone()),
        });
        self.records
            .insert(instance.clone(), Some(Known::Live(holdings)));
    }
}

fn a_word(rng: &mut SmallRng) -> worker::novita::ProviderStatus {
    (*WORDS.choose(rng).unwrap()).to_owned().into()
}
