//! One deployment, its records and the provider's list, passed over again and again.

use std::collections::BTreeMap;

use shared::clock::Millis;
use shared::config::Secret;
use shared::model::{AttemptState, Finding, InstanceId, OrphanPolicy, Recovery, Suspect};
use ulid::Ulid;
use worker::fleet::sweep::{
    Action, Completeness, Held, Holdings, Known, Listed, Outcome, Pass, Rules, sweep,
};
use worker::marker::{DeploymentId, Marker};
use worker::novita::{Env, Instance, ProviderId};

/// When the record store began.
pub(crate) const BIRTH: Millis = Millis(1_795_000_000_000);
/// When the first pass is made.
pub(crate) const START: Millis = Millis(BIRTH.0 + 86_400_000);
pub(crate) const SECRET: &str = "a secret of the deployment";
pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const DAY: u64 = 24 * 60 * MINUTE;

pub(crate) struct Scene {
    pub(crate) list: Vec<Instance>,
    pub(crate) records: BTreeMap<InstanceId, Known>,
    pub(crate) holding: u64,
    pub(crate) completeness: Completeness,
    pub(crate) policy: OrphanPolicy,
    pub(crate) dry_run: bool,
    pub(crate) secret: Option<Secret>,
    pub(crate) recovery: Recovery,
    pub(crate) suspects: BTreeMap<ProviderId, Suspect>,
    pub(crate) now: Millis,
    pub(crate) number: u64,
}

pub(crate) fn deployment() -> DeploymentId {
    "a1b2c3".parse().unwrap()
}

/// The marker of attempt `attempt` of the `n`th instance, ordered after the record store began.
pub(crate) fn marker(n: u128, attempt: u32) -> Marker {
    Marker {
        deployment: deployment(),
        instance: Ulid::from_parts(BIRTH.0 + 1000, n),
        attempt,
    }
}

/// The same, ordered before that.
pub(crate) fn old_marker(n: u128, attempt: u32) -> Marker {
    Marker {
        instance: Ulid::from_parts(BIRTH.0 - 1, n),
        ..marker(n, attempt)
    }
}

/// A running instance with this marker, signed.
pub(crate) fn instance(id: &str, marker: &Marker) -> Instance {
    let signature = marker.signature(&Secret::new(SECRET)).unwrap();
    but(Instance::default(), |instance| {
        instance.id = id.into();
        instance.name = marker.name("train");
        instance.status = "running".to_owned().into();
        instance.envs = vec![Env {
            key: "NGA_SIG".to_owned(),
            value: signature,
        }];
    })
}

/// The same instance in another state.
pub(crate) fn in_state(word: &str, instance: Instance) -> Instance {
    but(instance, |instance| {
        instance.status = word.to_owned().into();
    })
}

/// The same instance, changed.
pub(crate) fn but(mut instance: Instance, change: impl FnOnce(&mut Instance)) -> Instance {
    change(&mut instance);
    instance
}

pub(crate) fn provider_id(id: &str) -> ProviderId {
    ProviderId::new(id).unwrap()
}

pub(crate) fn held(number: u32, state: AttemptState, id: Option<&str>) -> Held {
    Held {
        number,
        state,
        provider_id: id.map(provider_id),
    }
}

pub(crate) fn holdings(attempts: &[Held]) -> Holdings {
    Holdings {
        attempts: attempts.to_vec(),
        is_protected: false,
    }
}

impl Scene {
    pub(crate) fn new(list: Vec<Instance>) -> Self {
        Self {
            list,
            records: BTreeMap::new(),
            holding: 0,
            completeness: Completeness::Complete,
            policy: OrphanPolicy::Report,
            dry_run: false,
            secret: Some(Secret::new(SECRET)),
            recovery: Recovery::Off,
            suspects: BTreeMap::new(),
            now: START,
            number: 0,
        }
    }

    pub(crate) fn with(mut self, marker: &Marker, known: Known) -> Self {
        self.records.insert(marker.instance_id(), known);
        self
    }

    pub(crate) fn policy(mut self, policy: OrphanPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// A pass `wait` ms after the one before. What it says is to be remembered is remembered.
    pub(crate) fn pass(&mut self, wait: u64) -> Outcome {
        self.number += 1;
        self.now = self.now.plus(wait);
        self.again()
    }

    /// The same pass once more.
    pub(crate) fn again(&mut self) -> Outcome {
        let listed: Vec<Listed> = self.list.iter().filter_map(Listed::of).collect();
        let pass = Pass {
            number: self.number,
            now: self.now,
            completeness: &self.completeness,
            listed: &listed,
            records: &self.records,
            holding: self.holding,
            store_birth: BIRTH,
            suspects: &self.suspects,
            recovery: self.recovery,
        };
        let rules = Rules {
            deployment: &deployment(),
            secret: self.secret.as_ref(),
            policy: self.policy,
            dry_run: self.dry_run,
        };
        let outcome = sweep(&pass, &rules);
        self.suspects.extend(outcome.store.clone());
        for id in &outcome.forget {
            self.suspects.remove(id);
        }
        self.recovery = outcome.recovery;
        outcome
    }

    /// Two passes far enough apart; what the second one comes to.
    pub(crate) fn ripe(&mut self) -> Outcome {
        self.pass(0);
        self.pass(2 * MINUTE)
    }

    /// Why nobody accounts for an instance, as it is remembered.
    pub(crate) fn finding(&self, id: &str) -> Option<Finding> {
        let suspect = self.suspects.get(&provider_id(id))?;
        Some(suspect.finding)
    }
}

/// What is done beside announcing.
pub(crate) fn deeds(outcome: &Outcome) -> Vec<Action> {
    let is_deed = |action: &&Action| !matches!(action, Action::Announce { .. });
    outcome.actions.iter().filter(is_deed).cloned().collect()
}

/// The provider ids that are announced.
pub(crate) fn announced<'a>(outcome: &'a Outcome) -> Vec<&'a str> {
    let announced = |action: &'a Action| match action {
        Action::Announce { provider_id, .. } => Some(provider_id.as_str()),
        _ => None,
    };
    outcome.actions.iter().filter_map(announced).collect()
}

pub(crate) fn adopt(id: &str, marker: &Marker) -> Action {
    Action::Adopt {
        instance: marker.instance_id(),
        provider_id: provider_id(id),
        attempt: marker.attempt,
    }
}

pub(crate) fn rebuild(id: &str, marker: &Marker) -> Action {
    Action::Rebuild {
        instance: marker.instance_id(),
        provider_id: provider_id(id),
    }
}

pub(crate) fn stop(id: &str, marker: &Marker) -> Action {
    Action::StopOrphan {
        instance: marker.instance_id(),
        provider_id: provider_id(id),
    }
}

pub(crate) fn delete(id: &str, marker: &Marker) -> Action {
    Action::DeleteOrphan {
        instance: marker.instance_id(),
        provider_id: provider_id(id),
    }
}

pub(crate) fn reopen(id: &str, marker: &Marker) -> Action {
    Action::Reopen {
        instance: marker.instance_id(),
        provider_id: provider_id(id),
    }
}
