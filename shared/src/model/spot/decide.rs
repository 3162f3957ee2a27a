//! The one place that decides what is done about a spot machine being taken back.

use super::{Migration, REPLACEMENT_WINDOW, REPLACEMENTS_ALLOWED, SpotPolicy, SpotRules};
use crate::clock::Millis;
use crate::model::policy::wanted;
use crate::model::spec::{BillingMode, Desired, Spec};
use crate::model::status::{AttemptState, Status};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpotStep {
    /// Nothing, and nothing before this time.
    Wait(Option<Millis>),
    /// The provider's notice is told; the reclaim is due then, in Unix seconds, if it says so.
    TellNotice(Option<u64>),
    /// Its loss is told.
    TellLoss,
    /// It runs undisturbed again: what was told counts no longer.
    Forget,
    /// In a dry run, what would be done is counted.
    Withhold(SpotPolicy),
    /// Another one is ordered, to be paid for like this.
    Replace(BillingMode),
    /// The provider is asked to move it.
    Migrate,
    /// The migration came to nothing, or took too long.
    MigrationFailed,
}

/// What is to be done for an instance after a look at `now`; pure, and total over every combination.
#[must_use]
pub fn decide(spec: &Spec, status: &Status, now: Millis, rules: &SpotRules) -> SpotStep {
    let Some(facts) = status.provider.as_ref().filter(|_| is_ours(spec, status)) else {
        return SpotStep::Wait(None);
    };
    let spot = &status.spot;
    let is_lost = facts.is_reclaimed() && status.pending_boot().is_none();
    if facts.is_wanted_back() {
        let at = facts.spot_reclaim_at;
        if spot.noticed != Some(at.unwrap_or(0)) {
            return SpotStep::TellNotice(at);
        }
    }
    if is_lost && spot.lost.is_none() {
        return SpotStep::TellLoss;
    }
    if let Some(migration) = running_migration(status) {
        return after_migration(&facts.status, migration, now, rules);
    }
    let is_well = facts.status == "running" && !facts.is_wanted_back();
    if is_well && (spot.noticed.is_some() || spot.lost.is_some() || spot.withheld) {
        return SpotStep::Forget;
    }
    let is_told = spot.noticed.is_some() && facts.is_wanted_back();
    if status.beside.is_some() || !(is_lost || is_told) {
        return SpotStep::Wait(None);
    }
    if spec.options.protected {
        return SpotStep::Wait(None);
    }
    act(status, is_lost, now, rules)
}

/// Only what its caller wants to run and has used, and what is known to be a spot machine that exists.
/// What never got ready is given up like any other.
fn is_ours(spec: &Spec, status: &Status) -> bool {
    let is_spot = status.current().is_some_and(|attempt| {
        attempt.state == AttemptState::Acked && attempt.offer.billing_mode == BillingMode::Spot
    });
    is_spot
        && wanted(spec, status) == Desired::Running
        && status.was_ready
        && status.ending.is_none()
        && !status.is_closed()
}

/// The migration that was asked for because of this loss, and is not known to have failed.
fn running_migration(status: &Status) -> Option<&Migration> {
    let lost = status.spot.lost?;
    let migration = status.spot.migration.as_ref()?;
    (migration.called_at >= lost && !migration.failed).then_some(migration)
}

fn after_migration(word: &str, migration: &Migration, now: Millis, rules: &SpotRules) -> SpotStep {
    let until = migration
        .called_at
        .plus(rules.migration_timeout.as_millis() as u64);
    match word {
        "running" => SpotStep::Forget,
        "exited" if migration.was_moving => SpotStep::MigrationFailed,
        _ if now >= until => SpotStep::MigrationFailed,
        _ => SpotStep::Wait(Some(until)),
    }
}

fn act(status: &Status, is_lost: bool, now: Millis, rules: &SpotRules) -> SpotStep {
    let (policy, spot) = (rules.policy, &status.spot);
    match policy {
        SpotPolicy::None => return SpotStep::Wait(None),
        // Migration is refused until it is lost.
        SpotPolicy::Migrate if !is_lost => return SpotStep::Wait(None),
        SpotPolicy::Replace | SpotPolicy::OnDemand | SpotPolicy::Migrate => {}
    }
    if rules.dry_run {
        return if spot.withheld {
            SpotStep::Wait(None)
        } else {
            SpotStep::Withhold(policy)
        };
    }
    match policy {
        SpotPolicy::Migrate => migrate(status, now, rules),
        SpotPolicy::OnDemand => replace(status, BillingMode::OnDemand, now),
        SpotPolicy::Replace | SpotPolicy::None => replace(status, BillingMode::Spot, now),
    }
}

fn migrate(status: &Status, now: Millis, rules: &SpotRules) -> SpotStep {
    let Some(last) = &status.spot.migration else {
        return SpotStep::Migrate;
    };
    let is_this_loss = status.spot.lost.is_some_and(|lost| last.called_at >= lost);
    if is_this_loss {
        return if rules.replaces_failed {
            replace(status, BillingMode::Spot, now)
        } else {
            SpotStep::Wait(None)
        };
    }
    let from = last.called_at.plus(rules.migration_gap.as_millis() as u64);
    if now >= from {
        SpotStep::Migrate
    } else {
        SpotStep::Wait(Some(from))
    }
}

fn replace(status: &Status, mode: BillingMode, now: Millis) -> SpotStep {
    let window = REPLACEMENT_WINDOW.as_millis() as u64;
    let mut recent = status.spot.replaced.iter().rev();
    match recent.nth(REPLACEMENTS_ALLOWED - 1) {
        Some(begun) if now < begun.plus(window) => SpotStep::Wait(Some(begun.plus(window))),
        _ => SpotStep::Replace(mode),
    }
}

/// The replacement that was begun is still wanted: nobody has wished anything else since, and what it
/// replaces is lost or will be.
#[must_use]
pub fn is_replacement_wanted(spec: &Spec, status: &Status) -> bool {
    let Some(beside) = &status.beside else {
        return false;
    };
    let is_in_need = status
        .provider
        .as_ref()
        .is_some_and(|facts| facts.status != "running" || facts.is_wanted_back());
    beside.generation == spec.generation && is_ours(spec, status) && is_in_need
}
