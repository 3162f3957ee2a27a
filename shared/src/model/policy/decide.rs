//! When a policy announces a stop, and when it stops: pure functions of what is known.

use std::time::Duration;

use super::{PolicyRules, PolicyStep, StopReason, Warned, stop_in_effect};
use crate::clock::Millis;
use crate::model::spec::{Desired, Spec};
use crate::model::status::{AttemptState, Status};

/// From the warning to the stop of an instance that ran for as long as it may.
const LIFETIME_WARNING: Duration = Duration::from_secs(300);

/// What the policies ask for now. `last_used` is when the instance was used last, if it ever was.
///
/// Every stop is announced, and comes a whole warning after that at the earliest: a worker that was
/// away does not stop at once what it finds overdue. A warning that was overtaken is recalled.
#[must_use]
pub fn decide(
    spec: &Spec,
    status: &Status,
    last_used: Option<Millis>,
    now: Millis,
    rules: &PolicyRules,
) -> PolicyStep {
    if !may_be_stopped(spec, status) {
        return PolicyStep::Wait(None);
    }
    let idle = idle(spec, status, last_used, rules);
    let steps = [
        step(StopReason::Idle, idle, status, now),
        step(
            StopReason::Lifetime,
            lifetime(spec, status, rules),
            status,
            now,
        ),
    ];
    steps
        .into_iter()
        .min_by_key(|step| match step {
            PolicyStep::Stop(_) => (0, Millis(0)),
            PolicyStep::Withhold(_) => (1, Millis(0)),
            PolicyStep::Recall(_) => (2, Millis(0)),
            PolicyStep::Warn(..) => (3, Millis(0)),
            PolicyStep::Wait(Some(at)) => (4, *at),
            PolicyStep::Wait(None) => (5, Millis(0)),
        })
        .unwrap_or(PolicyStep::Wait(None))
}

/// What is on its way, or does not run, is left alone, and so is what nobody may touch. What never got
/// ready has deadlines of its own.
fn may_be_stopped(spec: &Spec, status: &Status) -> bool {
    let exists = status
        .current()
        .is_some_and(|attempt| attempt.state == AttemptState::Acked);
    let facts = status.provider.as_ref();
    exists
        && facts.is_some_and(|facts| facts.status == "running")
        && status.observed_generation == spec.generation
        && status.was_ready
        && status.pending_boot().is_none()
        && stop_in_effect(spec, status).is_none()
        && spec.desired == Desired::Running
        && !spec.options.protected
}

/// When something is due, and how it is announced.
struct Limit {
    deadline: Millis,
    /// From the warning to the stop, in ms.
    warning: u64,
    dry_run: bool,
}

impl Limit {
    /// `span` is the time that led to the deadline: the warning comes within it.
    fn new(deadline: Millis, warning: Duration, span: u64) -> Self {
        Self {
            deadline,
            warning: ms(warning).min(span),
            dry_run: false,
        }
    }
}

fn step(reason: StopReason, limit: Option<Limit>, status: &Status, now: Millis) -> PolicyStep {
    let known = status.warnings.of(reason);
    let Some(limit) = limit else {
        return if known.is_some() {
            PolicyStep::Recall(reason)
        } else {
            PolicyStep::Wait(None)
        };
    };
    let warns_at = Millis(limit.deadline.0.saturating_sub(limit.warning));
    // One that was told before it was due now is about a deadline that has moved since.
    let is_of_this = |warned: &&Warned| warned.at >= warns_at && warned.dry_run == limit.dry_run;
    let Some(warned) = known.filter(is_of_this) else {
        return if now >= warns_at {
            PolicyStep::Warn(reason, limit.warned(now))
        } else if known.is_some() {
            PolicyStep::Recall(reason)
        } else {
            PolicyStep::Wait(Some(warns_at))
        };
    };
    let stops_at = warned.stops_at.max(limit.deadline);
    if now < stops_at {
        PolicyStep::Wait(Some(stops_at))
    } else if warned.withheld {
        PolicyStep::Wait(None)
    } else if limit.dry_run {
        PolicyStep::Withhold(reason)
    } else {
        PolicyStep::Stop(reason)
    }
}

impl Limit {
    fn warned(&self, now: Millis) -> Warned {
        Warned {
            at: now,
            stops_at: self.deadline.max(now.plus(self.warning)),
            dry_run: self.dry_run,
            withheld: false,
        }
    }
}

/// The clock starts when the instance gets usable in this boot: neither a restart nor a boot by
/// somebody else makes it look idle.
fn idle(
    spec: &Spec,
    status: &Status,
    last_used: Option<Millis>,
    rules: &PolicyRules,
) -> Option<Limit> {
    let own = spec.options.auto_stop;
    // Whoever names a time wants it to count.
    let is_meant = rules.stops_idle || own.idle_minutes.is_some();
    if !own.enabled.unwrap_or(is_meant) {
        return None;
    }
    let usable = status.uptime.usable_since?;
    let idle = own
        .idle_minutes
        .map_or(ms(rules.idle), |minutes| u64::from(minutes) * 60_000);
    let deadline = match last_used.filter(|used| *used >= usable) {
        Some(used) => used.plus(idle),
        None => unused(usable, idle, spec, status, rules),
    };
    Some(Limit {
        dry_run: rules.dry_run,
        ..Limit::new(deadline, rules.warning, idle)
    })
}

/// When one counts as idle that was not used in this boot: never sooner than if it had been used when
/// it got usable. Whoever asks for a time of its own gets it.
fn unused(usable: Millis, idle: u64, spec: &Spec, status: &Status, rules: &PolicyRules) -> Millis {
    if spec.options.auto_stop.idle_minutes.is_some() {
        return usable.plus(idle);
    }
    let created = status.timestamps.created.unwrap_or(usable);
    let graces = usable
        .plus(ms(rules.ready_grace))
        .max(created.plus(ms(rules.created_grace)));
    graces.max(usable.plus(idle))
}

/// Counts from the first time it ran after its create or last start.
fn lifetime(spec: &Spec, status: &Status, rules: &PolicyRules) -> Option<Limit> {
    let own = spec.options.max_lifetime_hours;
    let own = own.map(|hours| Duration::from_secs(u64::from(hours) * 3600));
    let limit = match (own, rules.lifetime) {
        (Some(own), Some(all)) => own.min(all),
        (own, all) => own.or(all)?,
    };
    let deadline = status.uptime.began?.plus(ms(limit));
    Some(Limit::new(deadline, LIFETIME_WARNING, ms(limit)))
}

fn ms(span: Duration) -> u64 {
    span.as_millis() as u64
}
