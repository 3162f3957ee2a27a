//! Stopping what nobody uses, or what ran for too long, on behalf of its caller.
//!
//! A policy never changes what its caller wants. It adds a stop that counts only as long as the caller
//! wants nothing else, so that every later wish wins. Nothing is ever deleted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::options::CreateOptions;
use super::spec::{Desired, Spec};
use super::status::{AttemptState, Status};
use crate::clock::Millis;

/// Why an instance is stopped that its caller wants to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StopReason {
    /// Nobody used it for too long.
    Idle,
    /// It ran for as long as it may.
    Lifetime,
}

impl StopReason {
    /// The word for events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
        }
    }
}

/// A stop that a policy asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStop {
    /// Why.
    pub reason: StopReason,
    /// The generation of the spec for which it counts.
    pub generation: u64,
    /// When it was decided.
    pub since: Millis,
}

/// A stop that was announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warned {
    /// Why.
    pub reason: StopReason,
    /// When it was to be stopped.
    pub stops_at: Millis,
    /// When that was told.
    pub at: Millis,
    /// Its time came, and it was not stopped because nothing is to be stopped at the moment.
    #[serde(default)]
    pub withheld: bool,
}

/// What a caller asked for at create.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoStop {
    /// Whether it is stopped when it is idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// For how long nobody may use it, in minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_minutes: Option<u32>,
}

/// What holds for every instance that does not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRules {
    /// Idle instances are stopped.
    pub stops_idle: bool,
    /// For how long nobody may use one that was used.
    pub idle: Duration,
    /// The same for one that was not used since it got ready, counted from there.
    pub ready_grace: Duration,
    /// The same, counted from its creation.
    pub created_grace: Duration,
    /// The longest time that one runs after its create or its last start.
    pub lifetime: Option<Duration>,
    /// Between the warning and the stop.
    pub warning: Duration,
    /// Nothing is stopped; it is only told what would be.
    pub dry_run: bool,
}

/// What is to be done for a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyStep {
    /// Nothing, and nothing before this time.
    Wait(Option<Millis>),
    /// It is told that the instance will be stopped then.
    Warn(Warned),
    /// It is stopped.
    Stop(StopReason),
}

/// What is wanted of an instance, with the stop of a policy taken into account.
#[must_use]
pub fn wanted(spec: &Spec, status: &Status) -> Desired {
    match spec.desired {
        Desired::Running if stop_in_effect(spec, status).is_some() => Desired::Stopped,
        desired => desired,
    }
}

/// The stop of a policy, as long as its caller wants nothing else.
#[must_use]
pub fn stop_in_effect<'a>(spec: &Spec, status: &'a Status) -> Option<&'a PolicyStop> {
    let stop = status.policy.as_ref()?;
    (stop.generation == spec.generation && spec.desired == Desired::Running).then_some(stop)
}

/// What the policies ask for now. `last_used` is when the instance was used last, if it ever was.
#[must_use]
pub fn decide(
    spec: &Spec,
    status: &Status,
    last_used: Option<Millis>,
    now: Millis,
    rules: &PolicyRules,
) -> PolicyStep {
    let Some((reason, deadline)) = deadline(spec, status, last_used, rules) else {
        return PolicyStep::Wait(None);
    };
    let warning = rules.warning.as_millis() as u64;
    let warns_at = Millis(deadline.0.saturating_sub(warning));
    let is_of_this = |warned: &&Warned| warned.reason == reason && warned.at >= warns_at;
    match status.warned.as_ref().filter(is_of_this) {
        None if now < warns_at => PolicyStep::Wait(Some(warns_at)),
        None => PolicyStep::Warn(Warned {
            reason,
            stops_at: deadline.max(now.plus(warning)),
            at: now,
            withheld: false,
        }),
        Some(warned) if now < warned.stops_at.max(deadline) => {
            PolicyStep::Wait(Some(warned.stops_at.max(deadline)))
        }
        Some(warned) if warned.withheld => PolicyStep::Wait(None),
        Some(_) => PolicyStep::Stop(reason),
    }
}

/// When it is to be stopped, and why, whatever comes first; `None` for what no policy is about.
fn deadline(
    spec: &Spec,
    status: &Status,
    last_used: Option<Millis>,
    rules: &PolicyRules,
) -> Option<(StopReason, Millis)> {
    let attempt = status.current()?;
    let facts = status.provider.as_ref()?;
    let runs = attempt.state == AttemptState::Acked && facts.status == "running";
    let is_settled = status.pending_boot().is_none() && stop_in_effect(spec, status).is_none();
    if !runs || !is_settled || spec.desired != Desired::Running || spec.options.protected {
        return None;
    }
    let idle = idle_deadline(&spec.options, status, last_used, rules)
        .map(|deadline| (StopReason::Idle, deadline));
    let lifetime =
        lifetime_deadline(spec, status, rules).map(|deadline| (StopReason::Lifetime, deadline));
    idle.into_iter().chain(lifetime).min_by_key(|(_, at)| *at)
}

/// The clock starts when it gets ready in this boot: a restart never makes it look idle.
fn idle_deadline(
    options: &CreateOptions,
    status: &Status,
    last_used: Option<Millis>,
    rules: &PolicyRules,
) -> Option<Millis> {
    let own = options.auto_stop;
    if !own.enabled.unwrap_or(rules.stops_idle) {
        return None;
    }
    let ready = status.timestamps.ready?;
    let ms = |span: Duration| span.as_millis() as u64;
    let idle = own
        .idle_minutes
        .map_or(ms(rules.idle), |minutes| u64::from(minutes) * 60_000);
    if let Some(used) = last_used.filter(|used| *used >= ready) {
        return Some(used.plus(idle));
    }
    let unused = ready.plus(ms(rules.ready_grace));
    let new = status.timestamps.created?.plus(ms(rules.created_grace));
    // Whoever asks for less gets less.
    let asked = own.idle_minutes.map(|_| ready.plus(idle));
    Some(asked.unwrap_or_else(|| unused.max(new)))
}

/// Counts from its create or from the request that booted it last.
fn lifetime_deadline(spec: &Spec, status: &Status, rules: &PolicyRules) -> Option<Millis> {
    let own = spec.options.max_lifetime_hours;
    let own = own.map(|hours| Duration::from_secs(u64::from(hours) * 3600));
    let limit = match (own, rules.lifetime) {
        (Some(own), Some(all)) => own.min(all),
        (own, all) => own.or(all)?,
    };
    let created = status.timestamps.created?;
    let began = if spec.request.kind.boots() {
        created.max(spec.request.at)
    } else {
        created
    };
    Some(began.plus(limit.as_millis() as u64))
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::model::samples::{acked, request, spec};
    use crate::model::{OperationKind, ProviderFacts};

    const MINUTE: u64 = 60_000;

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
        Millis(1_000 + minutes * MINUTE)
    }

    /// Created at minute 0 and ready at minute `ready`.
    fn ready(minutes: u64) -> (Spec, Status) {
        let mut status = acked(30_000);
        status.provider = Some(ProviderFacts {
            status: "running".into(),
            ..ProviderFacts::default()
        });
        status.timestamps.created = Some(at(0));
        status.timestamps.ready = Some(at(minutes));
        (spec(Desired::Running), status)
    }

    fn step(it: &(Spec, Status), used: Option<u64>, now: u64) -> PolicyStep {
        decide(&it.0, &it.1, used.map(at), at(now), &rules())
    }

    fn warned(it: &mut (Spec, Status), used: Option<u64>, now: u64) {
        match step(it, used, now) {
            PolicyStep::Warn(warned) => it.1.warned = Some(warned),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_that_was_never_used_has_its_graces_and_is_warned_before() {
        let mut it = ready(5);
        assert_eq!(step(&it, None, 6), PolicyStep::Wait(Some(at(58))));
        warned(&mut it, None, 58);
        assert_eq!(step(&it, None, 59), PolicyStep::Wait(Some(at(60))));
        assert_eq!(step(&it, None, 60), PolicyStep::Stop(StopReason::Idle));
    }

    #[test]
    fn use_moves_the_deadline_also_after_the_warning() {
        let mut it = ready(5);
        assert_eq!(step(&it, Some(30), 31), PolicyStep::Wait(Some(at(48))));
        warned(&mut it, Some(30), 48);
        assert_eq!(step(&it, Some(49), 50), PolicyStep::Wait(Some(at(67))));
        warned(&mut it, Some(49), 67);
        assert_eq!(step(&it, Some(49), 69), PolicyStep::Stop(StopReason::Idle));
    }

    #[test]
    fn an_instance_that_was_restarted_after_a_day_is_not_idle() {
        let day = 24 * 60;
        let it = ready(day);
        let step = step(&it, Some(10), day + 1);
        assert_eq!(step, PolicyStep::Wait(Some(at(day + 43))));
    }

    #[test]
    fn a_worker_that_was_away_warns_before_it_stops() {
        let mut it = ready(5);
        warned(&mut it, None, 500);
        assert_eq!(step(&it, None, 501), PolicyStep::Wait(Some(at(502))));
        assert_eq!(step(&it, None, 502), PolicyStep::Stop(StopReason::Idle));
    }

    #[test]
    fn what_is_off_protected_stopped_or_on_its_way_is_left_alone() {
        let none = PolicyStep::Wait(None);
        let mut off = ready(5);
        off.0.options.auto_stop.enabled = Some(false);
        let mut protected = ready(5);
        protected.0.options.protected = true;
        let mut unready = ready(5);
        unready.1.timestamps.ready = None;
        let mut exited = ready(5);
        exited.1.provider = Some(ProviderFacts {
            status: "exited".into(),
            ..ProviderFacts::default()
        });
        let mut booting = ready(5);
        booting.0 = booting
            .0
            .wanting(Desired::Running, request(OperationKind::Start));
        booting.1.operation = Some(booting.0.operation());
        for it in [off, protected, unready, exited, booting] {
            assert_eq!(step(&it, None, 10_000), none);
        }
        let (spec, status) = ready(5);
        let silent = PolicyRules {
            stops_idle: false,
            ..rules()
        };
        assert_eq!(decide(&spec, &status, None, at(10_000), &silent), none);
    }

    #[test]
    fn the_lifetime_is_enforced_although_it_is_used_and_a_start_begins_a_new_one() {
        let mut it = ready(5);
        it.0.options.max_lifetime_hours = Some(2);
        assert_eq!(step(&it, Some(115), 116), PolicyStep::Wait(Some(at(118))));
        warned(&mut it, Some(117), 118);
        let stop = PolicyStep::Stop(StopReason::Lifetime);
        assert_eq!(step(&it, Some(119), 120), stop);
        let mut start = request(OperationKind::Start);
        start.at = at(200);
        it.0 = it.0.wanting(Desired::Running, start);
        it.1.timestamps.ready = Some(at(201));
        assert_eq!(step(&it, Some(310), 311), PolicyStep::Wait(Some(at(318))));
    }

    #[test]
    fn a_later_wish_ends_the_stop_of_a_policy() {
        let (spec, mut status) = ready(5);
        status.policy = Some(PolicyStop {
            reason: StopReason::Idle,
            generation: spec.generation,
            since: at(60),
        });
        assert_eq!(wanted(&spec, &status), Desired::Stopped);
        let started = spec.wanting(Desired::Running, request(OperationKind::Start));
        assert_eq!(wanted(&started, &status), Desired::Running);
        let deleted = spec.wanting(Desired::Deleted, request(OperationKind::Delete));
        assert_eq!(wanted(&deleted, &status), Desired::Deleted);
    }

    #[test]
    fn in_ten_thousand_lives_nothing_is_stopped_that_was_used_lately_or_not_warned_of() {
        for seed in 0..10_000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut it = ready(rng.random_range(0..120));
            let (mut now, mut used, mut told) = (it.1.timestamps.ready.unwrap(), None, None);
            for _ in 0..40 {
                now = now.plus(rng.random_range(0..15 * MINUTE));
                match rng.random_range(0..10) {
                    0..3 => used = Some(now),
                    3 => {
                        it.1.timestamps.ready = Some(now);
                        (it.1.policy, it.1.warned) = (None, None);
                    }
                    // A step back of the clock.
                    4 => now = Millis(now.0 - rng.random_range(0..MINUTE)),
                    _ => {}
                }
                match decide(&it.0, &it.1, used, now, &rules()) {
                    PolicyStep::Wait(_) => {}
                    PolicyStep::Warn(warned) => {
                        told = Some(now);
                        it.1.warned = Some(warned);
                    }
                    PolicyStep::Stop(reason) => {
                        let quiet = used.map_or(u64::MAX, |used| now.since(used));
                        assert_eq!(reason, StopReason::Idle);
                        assert!(quiet >= 20 * MINUTE, "seed {seed}: used {quiet} ms ago");
                        let ready = it.1.timestamps.ready.unwrap();
                        assert!(now.since(ready) >= 20 * MINUTE, "seed {seed}: just ready");
                        let warned = told.map_or(0, |told| now.since(told));
                        assert!(warned >= 2 * MINUTE, "seed {seed}: no warning");
                        break;
                    }
                }
            }
        }
    }
}
