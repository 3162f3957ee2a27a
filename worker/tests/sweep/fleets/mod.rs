//! Ten thousand generated fleets, each passed over several times while everything about it changes,
//! beside an oracle that knows the truth about every instance and remembers every pass.

mod foreign;
mod oracle;
mod reasons;
mod world;

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use shared::model::Suspect;
use worker::fleet::sweep::{Action, Alarm, Hold, Outcome, Pass, Rules, sweep};
use worker::novita::ProviderId;

use self::oracle::{Expected, Oracle};
use self::world::{Delivery, World};
use crate::scene::{BIRTH, deployment};

const FLEETS: u64 = 10_000;
const THREADS: u64 = 2;

/// What happened over all fleets, so that nobody believes in a test in which nothing did.
#[derive(Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn note(&mut self, what: impl std::fmt::Debug) {
        *self.0.entry(format!("{what:?}")).or_default() += 1;
    }

    fn outcome(&mut self, outcome: &Outcome) {
        self.note("pass");
        outcome
            .actions
            .iter()
            .for_each(|action| self.note(word(action)));
        for (action, hold) in &outcome.withheld {
            self.note((word(action), hold));
        }
        for alarm in &outcome.alarms {
            self.note(match alarm {
                Alarm::EmptyList { .. } => "empty list",
                Alarm::RepeatedId => "repeated id",
                Alarm::RecoveryEntered { .. } => "recovery entered",
                Alarm::RecoveryCompleted => "recovery completed",
                Alarm::BreakerTripped { .. } => "breaker tripped",
                Alarm::LookAlikes { .. } => "look-alikes",
            });
        }
    }
}

fn word(action: &Action) -> String {
    match action {
        Action::Announce { finding, .. } => format!("announce {finding:?}"),
        Action::Adopt { .. } => "adopt".into(),
        Action::Rebuild { .. } => "rebuild".into(),
        Action::StopOrphan { .. } => "stop".into(),
        Action::DeleteOrphan { .. } => "delete".into(),
        Action::Reopen { .. } => "reopen".into(),
    }
}

#[test]
fn ten_thousand_fleets_see_no_wrong_action_and_miss_no_right_one() {
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|first| {
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    let seeds = (first..FLEETS).step_by(THREADS as usize);
                    seeds.for_each(|seed| fleet(seed, &mut tally));
                    tally
                })
            })
            .collect();
        for worker in workers {
            for (what, count) in worker.join().unwrap().0 {
                *tally.0.entry(what).or_default() += count;
            }
        }
    });
    println!("{:#?}", tally.0);
    for what in HAPPENED {
        let count = tally.0.get(&format!("{what:?}")).copied().unwrap_or(0);
        assert!(count >= 100, "{what} happened only {count} times");
    }
    for hold in [Hold::DryRun, Hold::Recovery, Hold::Breaker] {
        for what in ["stop", "delete", "reopen"] {
            let what = format!("{:?}", (what, hold));
            assert!(tally.0.contains_key(&what), "{what} never happened");
        }
    }
}

/// What must have happened often for the test to say anything.
const HAPPENED: [&str; 19] = [
    "announce Awaited",
    "announce Unheld",
    "announce Superseded",
    "announce Closed",
    "announce Lost",
    "announce Unrecorded",
    "announce Rival",
    "announce Protected",
    "announce Stray",
    "adopt",
    "rebuild",
    "stop",
    "delete",
    "reopen",
    "empty list",
    "repeated id",
    "recovery entered",
    "recovery completed",
    "breaker tripped",
];

/// One fleet, from its first pass to its last.
fn fleet(seed: u64, tally: &mut Tally) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut world = World::generate(&mut rng);
    let mut oracle = Oracle::new(&world);
    let mut suspects: BTreeMap<ProviderId, Suspect> = BTreeMap::new();
    let mut recovery = world.recovery;
    for pass in 0..rng.random_range(3..=6) {
        world.change(&mut rng);
        let delivery = world.deliver(&mut rng);
        let outcome = engine(&world, &delivery, &suspects, recovery);
        let expected = oracle.pass(&world, &delivery);
        compare(&outcome, &expected, &format!("seed {seed}, pass {pass}"));
        tally.outcome(&outcome);
        suspects.extend(outcome.store.clone());
        suspects.retain(|id, _| !outcome.forget.contains(id));
        recovery = outcome.recovery;
        for action in &outcome.actions {
            if rng.random_bool(0.5) {
                world.carry_out(action);
            }
        }
    }
}

fn engine(
    world: &World,
    delivery: &Delivery,
    suspects: &BTreeMap<ProviderId, Suspect>,
    recovery: shared::model::Recovery,
) -> Outcome {
    let records = world.known();
    let listed: Vec<_> = delivery.listed().collect();
    let pass = Pass {
        number: world.number,
        now: world.now,
        completeness: &delivery.completeness,
        listed: &listed,
        records: &records,
        holding: world.holding(),
        store_birth: BIRTH,
        suspects,
        recovery,
    };
    let rules = Rules {
        deployment: &deployment(),
        secret: world.secret.as_ref(),
        policy: world.policy,
        dry_run: world.dry_run,
    };
    sweep(&pass, &rules)
}

/// The two agree on everything that is done, held back, told and counted.
fn compare(outcome: &Outcome, expected: &Expected, at: &str) {
    let mut actions = outcome.actions.clone();
    actions.sort();
    assert_eq!(actions, expected.actions, "actions: {at}");
    let mut withheld = outcome.withheld.clone();
    withheld.sort();
    assert_eq!(withheld, expected.withheld, "withheld: {at}");
    assert_eq!(outcome.alarms, expected.alarms, "alarms: {at}");
    assert_eq!(outcome.recovery.is_on(), expected.is_recovering, "{at}");
    assert_eq!(outcome.counts, expected.counts, "counts: {at}");
}
