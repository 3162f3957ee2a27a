//! What to do about instances that bear our marker and that nobody accounts for.
//!
//! A pure function: [`sweep`] is handed one pass over the provider's list and what is recorded, and
//! answers with what to remember and what to do. `ownership` says what is ours, `verdict` why nobody
//! accounts for it, `suspects` since when, `deed` what follows, `breaker` and `recovery` what is held
//! back, `rebuild` makes a record from what the provider has.
//!
//! Whoever carries an action out asks the provider for the instance by id first, and acts only if it
//! is still there, under the same name. Suspects and announcements are stored before the other actions
//! are done: an action that a kill swallowed comes again half a minute later, and all may be repeated.

mod breaker;
mod deed;
mod input;
mod outcome;
mod ownership;
mod rebuild;
mod recovery;
mod suspects;
mod verdict;

use std::collections::{BTreeSet, HashSet};

pub use self::input::{Completeness, Held, Holdings, Known, Pass, Rules};
pub use self::outcome::{Action, Alarm, Counts, Hold, Outcome};
pub use self::ownership::Listed;
pub use self::rebuild::{Rebuilt, fallback_name, rebuilt};

use self::deed::Deed;
use self::ownership::{Fleet, Ours};
use self::suspects::Look;
use self::verdict::{Scene, Verdict};
use crate::novita::ProviderId;

/// Decides one pass. Nothing is concluded from a list that is incomplete, that names an instance
/// twice, or that is empty while records hold instances: suspects and recovery stay as they are.
#[must_use]
pub fn sweep(pass: &Pass<'_>, rules: &Rules<'_>) -> Outcome {
    match obstacle(pass) {
        Some(alarms) => Outcome {
            recovery: pass.recovery,
            alarms,
            ..Outcome::default()
        },
        None => conclude(pass, rules),
    }
}

/// Why nothing follows from the list, if that is so.
fn obstacle(pass: &Pass<'_>) -> Option<Vec<Alarm>> {
    if let Completeness::Incomplete(_) = pass.completeness {
        return Some(Vec::new());
    }
    if pass.listed.is_empty() && pass.holding > 0 {
        let records = pass.holding;
        return Some(vec![Alarm::EmptyList { records }]);
    }
    let mut ids = HashSet::new();
    let repeats = pass.listed.iter().any(|listed| !ids.insert(&listed.id));
    repeats.then(|| vec![Alarm::RepeatedId])
}

fn conclude(pass: &Pass<'_>, rules: &Rules<'_>) -> Outcome {
    let fleet = Fleet::of(pass, rules);
    let loss = recovery::Loss::of(&fleet, pass);
    let (recovery, mut alarms) = recovery::next(pass.recovery, &loss, pass.now);
    if fleet.look_alikes > 0 {
        let count = fleet.look_alikes;
        alarms.push(Alarm::LookAlikes { count });
    }
    let scene = Scene::new(&fleet, pass, rules.policy, recovery);
    let mut outcome = Outcome {
        recovery,
        alarms,
        counts: Some(fleet.counts()),
        ..Outcome::default()
    };
    let cases = cases(&fleet, &scene, pass, rules, &mut outcome);
    // Also held in the pass that ends the recovery: the next one sees the same with a second look.
    let is_recovering = pass.recovery.is_on() || recovery.is_on();
    let wanted = cases.iter().filter(|case| case.deed.is_call()).count();
    let is_tripped = breaker::trips(wanted, fleet.ours.len());
    if is_tripped {
        outcome.alarms.push(Alarm::BreakerTripped { wanted });
    }
    for case in cases {
        let hold = match () {
            () if rules.dry_run => Some(Hold::DryRun),
            () if is_recovering && case.deed.is_destructive() => Some(Hold::Recovery),
            () if is_tripped && case.deed.is_destructive() => Some(Hold::Breaker),
            () => None,
        };
        case.close(hold, pass, &mut outcome);
    }
    outcome
}

/// An instance that nobody accounts for, and what would be done about it.
struct Case<'a> {
    ours: &'a Ours<'a>,
    look: Look,
    deed: Deed,
}

/// Every suspect of this pass; those that are none any more are forgotten.
fn cases<'a>(
    fleet: &'a Fleet<'a>,
    scene: &Scene<'a>,
    pass: &Pass<'_>,
    rules: &Rules<'_>,
    outcome: &mut Outcome,
) -> Vec<Case<'a>> {
    let mut cleared: BTreeSet<&ProviderId> = pass.suspects.keys().collect();
    let mut cases = Vec::new();
    for ours in &fleet.ours {
        match scene.judge(ours) {
            Verdict::Accounted => {}
            Verdict::Unread => {
                cleared.remove(&ours.listed.id);
            }
            Verdict::Orphan(finding) => {
                cleared.remove(&ours.listed.id);
                let look = Look::at(ours, finding, pass);
                let deed = Deed::of(&look, &ours.listed.status, rules.policy);
                cases.push(Case { ours, look, deed });
            }
        }
    }
    outcome.forget = cleared.into_iter().cloned().collect();
    cases
}

impl Case<'_> {
    /// Writes down what becomes of it.
    fn close(mut self, hold: Option<Hold>, pass: &Pass<'_>, outcome: &mut Outcome) {
        let id = &self.ours.listed.id;
        if self.look.is_to_be_announced(pass.now) {
            self.look.suspect.announced = Some(pass.now);
            outcome.actions.push(self.announcement());
        }
        let action = self.deed.action(self.ours);
        if let Some(hold) = hold {
            outcome.withheld.extend(action.map(|action| (action, hold)));
        } else {
            self.deed.advance(&mut self.look.suspect, pass.now);
            outcome.actions.extend(action);
        }
        if let Some(counts) = outcome.counts.as_mut() {
            counts.suspects += 1;
            counts.orphans += u64::from(self.look.is_ripe);
        }
        if pass.suspects.get(id) != Some(&self.look.suspect) {
            outcome.store.insert(id.clone(), self.look.suspect);
        }
    }

    fn announcement(&self) -> Action {
        Action::Announce {
            provider_id: self.ours.listed.id.clone(),
            name: self.ours.listed.name.clone(),
            instance: self.ours.instance.clone(),
            finding: self.look.suspect.finding,
            first_seen: self.look.suspect.first_seen,
        }
    }
}
