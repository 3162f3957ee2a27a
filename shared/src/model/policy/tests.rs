use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::model::AttemptState;
use crate::model::samples::{acked, request, spec};
use crate::model::{OperationKind, ProviderFacts};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60;

fn rules() -> PolicyRules {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    PolicyRules {
        stops_idle: true,
        idle: minutes(20),
        ready_grace: minutes(45),
        created_grace: minutes(60),
        lifetime: None,
        warning: minutes(2),
        dry_run: false,
    }
}

fn at(minutes: u64) -> Millis {
    Millis(1_000_000_000 + minutes * MINUTE)
}

/// An instance and the rules it is under.
#[derive(Clone)]
struct It {
    spec: Spec,
    status: Status,
    rules: PolicyRules,
}

/// Created and run at minute 0, and usable since minute `usable`.
fn ready(usable: u64) -> It {
    let mut status = acked(30_000);
    status.provider = Some(ProviderFacts {
        status: "running".into(),
        ..ProviderFacts::default()
    });
    status.observed_generation = 1;
    status.was_ready = true;
    status.timestamps.created = Some(at(0));
    status.timestamps.running = Some(at(0));
    status.timestamps.ready = Some(at(usable));
    status.uptime.began = Some(at(0));
    status.uptime.usable_since = Some(at(usable));
    It {
        spec: spec(Desired::Running),
        status,
        rules: rules(),
    }
}

impl It {
    fn step(&self, used: Option<u64>, now: u64) -> PolicyStep {
        let used = used.map(at);
        decide(&self.spec, &self.status, used, at(now), &self.rules)
    }

    /// Warns, which it has to.
    #[track_caller]
    fn warned(&mut self, used: Option<u64>, now: u64) {
        match self.step(used, now) {
            PolicyStep::Warn(reason, warned) => self.status.warnings.set(reason, Some(warned)),
            other => panic!("{other:?}"),
        }
    }
}

fn wait(minute: u64) -> PolicyStep {
    PolicyStep::Wait(Some(at(minute)))
}

#[test]
fn one_that_was_never_used_has_its_graces_and_is_warned_before() {
    let mut it = ready(5);
    assert_eq!(it.step(None, 6), wait(58));
    it.warned(None, 58);
    assert_eq!(it.step(None, 59), wait(60));
    assert_eq!(it.step(None, 60), PolicyStep::Stop(StopReason::Idle));
    assert_eq!(ready(30).step(None, 31), wait(73), "ready late");
}

#[test]
fn use_moves_the_deadline_also_after_the_warning_which_is_then_recalled() {
    let mut it = ready(5);
    assert_eq!(it.step(Some(30), 31), wait(48));
    it.warned(Some(30), 48);
    assert_eq!(it.step(Some(49), 50), PolicyStep::Recall(StopReason::Idle));
    it.status.warnings = Warnings::default();
    assert_eq!(it.step(Some(49), 50), wait(67));
    it.warned(Some(49), 67);
    assert_eq!(it.step(Some(49), 69), PolicyStep::Stop(StopReason::Idle));
}

#[test]
fn an_instance_that_was_restarted_after_a_day_is_not_idle() {
    let it = ready(DAY);
    assert_eq!(it.step(Some(10), DAY + 1), wait(DAY + 43));
    assert_eq!(it.step(None, DAY + 1), wait(DAY + 43));
}

#[test]
fn a_use_before_a_restart_counts_for_as_long_as_any_other() {
    let mut it = ready(DAY);
    it.rules.idle = Duration::from_secs(120 * 60);
    assert_eq!(it.step(Some(DAY - 1), DAY + 1), wait(DAY + 118));
    it.spec.options.auto_stop.idle_minutes = Some(30);
    assert_eq!(it.step(Some(DAY - 1), DAY + 1), wait(DAY + 28));
}

#[test]
fn a_worker_that_was_away_warns_before_it_stops() {
    let mut it = ready(5);
    it.warned(None, 500);
    assert_eq!(it.step(None, 501), wait(502));
    assert_eq!(it.step(None, 502), PolicyStep::Stop(StopReason::Idle));
}

#[test]
fn a_time_of_its_own_counts_for_it_alone_and_is_never_shorter_than_its_warning() {
    let mut it = ready(100);
    it.rules.stops_idle = false;
    assert_eq!(it.step(None, 10_000), PolicyStep::Wait(None));
    it.spec.options.auto_stop.idle_minutes = Some(1);
    it.warned(None, 100);
    assert_eq!(it.step(None, 100), wait(101), "all of its minute");
    assert_eq!(it.step(None, 101), PolicyStep::Stop(StopReason::Idle));
    it.status.warnings = Warnings::default();
    it.spec.options.auto_stop.idle_minutes = Some(300);
    assert_eq!(it.step(None, 101), wait(398));
    it.spec.options.auto_stop.enabled = Some(false);
    assert_eq!(it.step(None, 10_000), PolicyStep::Wait(None));
}

#[test]
fn what_is_off_protected_stopped_or_on_its_way_is_left_alone() {
    let left_alone = |change: &dyn Fn(&mut It)| {
        let mut it = ready(5);
        it.rules.lifetime = Some(Duration::from_secs(3600));
        it.warned(None, 10_000);
        it.warned(None, 10_000);
        change(&mut it);
        it.step(None, 20_000)
    };
    let stop = PolicyStep::Stop(StopReason::Idle);
    assert_eq!(left_alone(&|_| {}), stop, "the others are");
    let none = PolicyStep::Wait(None);
    assert_eq!(left_alone(&|it| it.spec.options.protected = true), none);
    assert_eq!(left_alone(&|it| it.status.was_ready = false), none);
    for word in ["exited", "toStop", "migrating", "freezing", "somethingNew"] {
        let other = |it: &mut It| {
            let facts = it.status.provider.as_mut().unwrap();
            word.clone_into(&mut facts.status);
        };
        assert_eq!(left_alone(&other), none, "{word}");
    }
    for state in [AttemptState::Intent, AttemptState::Discarding] {
        let other = |it: &mut It| it.status.attempts[0].state = state;
        assert_eq!(left_alone(&other), none, "{state:?}");
    }
    let booting = |it: &mut It| {
        it.spec = it
            .spec
            .wanting(Desired::Running, request(OperationKind::Start));
        it.status.observed_generation = 2;
        it.status.operation = Some(it.spec.operation());
    };
    assert_eq!(left_alone(&booting), none);
    for (desired, kind) in [
        (Desired::Stopped, OperationKind::Stop),
        (Desired::Deleted, OperationKind::Delete),
        (Desired::Running, OperationKind::Start),
    ] {
        let wished = |it: &mut It| it.spec = it.spec.wanting(desired, request(kind));
        assert_eq!(left_alone(&wished), none, "{kind:?}, not taken up yet");
    }
}

#[test]
fn what_is_switched_off_after_a_warning_is_recalled_once() {
    let mut it = ready(5);
    it.warned(None, 58);
    it.rules.stops_idle = false;
    assert_eq!(it.step(None, 59), PolicyStep::Recall(StopReason::Idle));
    it.status.warnings = Warnings::default();
    assert_eq!(it.step(None, 59), PolicyStep::Wait(None));
}

#[test]
fn a_dry_run_tells_nobody_stops_nothing_and_counts_each_stop_once() {
    let mut it = ready(5);
    it.rules.dry_run = true;
    it.warned(Some(30), 48);
    let withheld = PolicyStep::Withhold(StopReason::Idle);
    assert_eq!(it.step(Some(30), 50), withheld);
    it.status.warnings.idle.as_mut().unwrap().withheld = true;
    assert_eq!(it.step(Some(30), 51), PolicyStep::Wait(None));
    assert_eq!(it.step(Some(51), 52), PolicyStep::Recall(StopReason::Idle));
    it.rules.lifetime = Some(Duration::from_secs(3600));
    assert_eq!(it.step(Some(30), 51), wait(55), "a lifetime is enforced");
    // When it is over, whatever would have been stopped is warned first.
    it.rules = rules();
    it.warned(Some(30), 60);
    assert_eq!(it.step(Some(30), 61), wait(62));
    assert_eq!(it.step(Some(30), 62), PolicyStep::Stop(StopReason::Idle));
}

#[test]
fn the_lifetime_is_enforced_although_it_is_used_and_the_shorter_one_counts() {
    let mut it = ready(5);
    it.rules.lifetime = Some(Duration::from_secs(2 * 3600));
    assert_eq!(it.step(Some(110), 111), wait(115));
    it.warned(Some(112), 115);
    let stop = PolicyStep::Stop(StopReason::Lifetime);
    assert_eq!(it.step(Some(119), 119), wait(120));
    assert_eq!(it.step(Some(119), 120), stop);
    it.rules.stops_idle = false;
    for (own, warned) in [(1, 55), (3, 115)] {
        it.status.warnings = Warnings::default();
        it.spec.options.max_lifetime_hours = Some(own);
        assert_eq!(it.step(Some(50), 51), wait(warned), "{own}");
    }
    it.spec.options.protected = true;
    assert_eq!(it.step(Some(119), 10_000), PolicyStep::Wait(None));
}

#[test]
fn a_later_wish_ends_the_stop_of_a_policy() {
    let It {
        spec, mut status, ..
    } = ready(5);
    status.policy = Some(PolicyStop {
        reason: StopReason::Idle,
        generation: spec.generation,
        since: at(60),
    });
    assert_eq!(wanted(&spec, &status), Desired::Stopped);
    for (desired, kind) in [
        (Desired::Running, OperationKind::Start),
        (Desired::Running, OperationKind::Restart),
        (Desired::Stopped, OperationKind::Stop),
        (Desired::Deleted, OperationKind::Delete),
    ] {
        assert_eq!(
            wanted(&spec.wanting(desired, request(kind)), &status),
            desired
        );
    }
    let deleted = Spec {
        desired: Desired::Deleted,
        ..spec
    };
    assert_eq!(wanted(&deleted, &status), Desired::Deleted, "never undone");
}

#[test]
fn a_reason_of_a_later_release_is_read_and_its_stop_counts() {
    let stored = serde_json::json!({"reason": "spot", "generation": 1, "since": 5});
    let stop: PolicyStop = serde_json::from_value(stored).unwrap();
    assert_eq!(stop.reason, StopReason::Other);
}

/// What was done to one instance in the course of its life, and when.
struct Life {
    it: It,
    now: Millis,
    /// When its worker is to look at it.
    due: Millis,
    used: Option<Millis>,
    told: Option<Millis>,
    boots: u64,
}

impl Life {
    fn new(rng: &mut StdRng) -> Self {
        let mut it = ready(rng.random_range(0..120));
        it.rules.idle = Duration::from_secs(60 * rng.random_range(1..200));
        it.rules.ready_grace = Duration::from_secs(60 * rng.random_range(1..90));
        it.rules.warning = Duration::from_secs(rng.random_range(60..300));
        if rng.random_bool(0.3) {
            it.spec.options.auto_stop.idle_minutes = Some(rng.random_range(1..200));
        }
        let now = it.status.uptime.usable_since.unwrap();
        Self {
            it,
            now,
            due: now,
            used: None,
            told: None,
            boots: 0,
        }
    }

    fn idle_ms(&self) -> u64 {
        let own = self.it.spec.options.auto_stop.idle_minutes;
        own.map_or(self.it.rules.idle.as_millis() as u64, |own| {
            u64::from(own) * MINUTE
        })
    }

    /// The worker looks, and does what it is asked to; tells whether it stopped it.
    fn look(&mut self) -> bool {
        let It {
            spec,
            status,
            rules,
        } = &mut self.it;
        status.uptime = status.uptime.after(status, self.now);
        self.due = loop {
            match decide(spec, status, self.used, self.now, rules) {
                PolicyStep::Wait(at) => break at.unwrap_or(self.now.plus(60 * MINUTE)),
                PolicyStep::Warn(reason, warned) => {
                    self.told = Some(self.now);
                    status.warnings.set(reason, Some(warned));
                }
                PolicyStep::Recall(reason) => status.warnings.set(reason, None),
                PolicyStep::Withhold(_) => panic!("no dry run"),
                PolicyStep::Stop(reason) => {
                    assert_eq!(reason, StopReason::Idle);
                    return true;
                }
            }
        };
        assert!(self.due > self.now, "it would look again at once");
        status.uptime.look_due = Some(self.due);
        false
    }

    /// Something happens beside the looks.
    fn event(&mut self, rng: &mut StdRng) {
        match rng.random_range(0..10) {
            0..4 => self.used = self.used.max(Some(self.now)),
            // A boot, by whomever.
            4 => {
                self.boots += 1;
                let facts = self.it.status.provider.as_mut().unwrap();
                facts.last_started = Some(self.boots);
                self.due = self.now;
            }
            // The clock is set, forward or back.
            5 => {
                let step = rng.random_range(0..10 * MINUTE);
                self.now = if rng.random_bool(0.5) {
                    self.now.plus(step)
                } else {
                    Millis(self.now.0 - step)
                };
            }
            // Nobody is there for hours, and no use is noted.
            6 => self.now = self.now.plus(rng.random_range(0..300 * MINUTE)),
            // Made due for another reason.
            7 => self.due = self.now,
            _ => {}
        }
    }
}

#[test]
fn in_ten_thousand_lives_nothing_is_stopped_that_was_used_lately_or_not_warned_of() {
    let mut stops = 0;
    for seed in 0..10_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut life = Life::new(&mut rng);
        for _ in 0..60 {
            let pause = rng.random_range(0..15 * MINUTE);
            // Whoever watches looks in time.
            if life.due <= life.now.plus(pause) {
                life.now = life.now.max(life.due);
                if life.look() {
                    stops += 1;
                    let quiet = life.used.map_or(u64::MAX, |used| life.now.since(used));
                    assert!(quiet >= life.idle_ms(), "seed {seed}: used {quiet} ms ago");
                    let usable = life.it.status.uptime.usable_since.unwrap();
                    let up = life.now.since(usable);
                    assert!(up >= life.idle_ms(), "seed {seed}: usable for {up} ms");
                    let told = life.told.map_or(0, |told| life.now.since(told));
                    assert!(told >= MINUTE, "seed {seed}: told {told} ms before");
                    break;
                }
            } else {
                life.now = life.now.plus(pause);
            }
            life.event(&mut rng);
        }
    }
    assert!(stops > 1000, "only {stops} were stopped at all");
}

#[test]
fn whoever_says_so_in_time_keeps_an_instance_through_outages_and_steps_of_the_clock() {
    for seed in 0..10_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut life = Life::new(&mut rng);
        let every = life.idle_ms() - life.idle_ms() / 4;
        let mut next_use = life.now.plus(every);
        for _ in 0..60 {
            // What comes first: the next use or the next look, which may be a little late.
            let late = rng.random_range(0..life.idle_ms() / 4).min(MINUTE);
            if next_use <= life.due.plus(late) {
                life.now = life.now.max(next_use);
                life.used = life.used.max(Some(life.now));
                next_use = life.now.plus(every);
            } else {
                life.now = life.now.max(life.due.plus(late));
                assert!(!life.look(), "seed {seed}");
            }
            match rng.random_range(0..12) {
                // Everything is away, the one who uses it cannot say so, and says so when it is back.
                0 => {
                    life.now = life.now.plus(rng.random_range(2 * MINUTE..300 * MINUTE));
                    next_use = next_use.max(life.now.plus(rng.random_range(0..every)));
                    life.now = life.now.max(life.due.plus(MINUTE + 1));
                    assert!(!life.look(), "seed {seed}: after an outage");
                }
                1 => {
                    let back = rng.random_range(0..20 * MINUTE);
                    life.now = Millis(life.now.0 - back);
                    next_use = Millis(next_use.0 - back);
                    // The use that is known lies ahead now, and stands.
                }
                _ => {}
            }
        }
    }
}
