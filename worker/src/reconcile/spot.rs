//! What is done about a spot machine that the provider takes back: tell it, replace it, or have it moved.
//! `shared::model::spot` decides; `beside` looks after a replacement.

use serde_json::{Value, json};
use shared::clock::Millis;
use shared::model::spot::{
    Behind, Beside, Boot, Migration, REPLACEMENTS_ALLOWED, Role, SpotStep, decide,
};
use shared::model::{BillingMode, Cost, Ending, EventKind, SpotPolicy};
use shared::queue::Checkpoint;

use super::draft::{Draft, Next};
use super::moves::code_of;
use super::remove::provider_id;
use super::{Lease, Reconciler, failure};
use crate::novita::{Novita, NovitaError};

/// What one look may come to: each of its steps is told at most once.
const ROUNDS: usize = 6;
/// The provider leaves a spot machine alone for this long after it began to run.
const PROTECTED_MS: u64 = 3_600_000;

impl<N: Novita> Reconciler<N> {
    /// Does what the spot policy asks for after the step that came to `next`, and looks after whatever
    /// exists beside the serving instance.
    pub(super) async fn mind_spot(
        &self,
        draft: &mut Draft<'_>,
        lease: &Lease<'_>,
        next: Next,
    ) -> Next {
        if next == Next::Abandoned {
            return next;
        }
        draft.rescue();
        let next = self.spot_step(draft, lease, next).await;
        if next == Next::Abandoned || draft.status.beside.is_none() {
            return next;
        }
        let other = self.mind_beside(draft, lease).await;
        draft.sooner(next, other)
    }

    async fn spot_step(&self, draft: &mut Draft<'_>, lease: &Lease<'_>, next: Next) -> Next {
        if draft.status.setbacks > 0 {
            return next;
        }
        draft.note_moving();
        for _ in 0..ROUNDS {
            let step = decide(draft.spec, &draft.status, draft.now, &self.spot);
            match step {
                SpotStep::Wait(None) => return next,
                SpotStep::Wait(Some(at)) => {
                    let is_moving = draft.status.spot.lost.is_some();
                    let next = if is_moving { self.watch() } else { next };
                    return next.within(at.since(draft.now));
                }
                SpotStep::TellNotice(at) => draft.tell_notice(at, self.spot.policy),
                SpotStep::TellLoss => draft.tell_loss(self.spot.policy),
                SpotStep::Forget => draft.forget_reclaim(),
                SpotStep::Withhold(policy) => draft.withhold_spot(policy),
                SpotStep::Replace(mode) => draft.begin_replacement(mode),
                SpotStep::Migrate => return self.migrate(draft, lease).await,
                SpotStep::MigrationFailed => {
                    draft.migration_failed("MIGRATION_FAILED", "the provider did not move it");
                }
            }
        }
        next
    }

    /// Asks for the move once. A second call may be a second move, so the intent is written down first,
    /// and a call whose fate is unknown is only watched.
    async fn migrate(&self, draft: &mut Draft<'_>, lease: &Lease<'_>) -> Next {
        if draft.has_news() {
            return Next::NOW;
        }
        let Some(id) = provider_id(draft) else {
            return Next::NOW;
        };
        let before = draft.status.spot.migration.replace(Migration {
            called_at: draft.moment(),
            was_moving: false,
            failed: false,
        });
        match lease.checkpoint(&draft.stored()).await {
            Ok(Checkpoint::Written) => {}
            Ok(Checkpoint::Lost | Checkpoint::Outdated) | Err(_) => return Next::Abandoned,
        }
        match self.provider.migrate(&id).await {
            Ok(()) => {
                let reason = "the provider was asked to move it; its disks begin empty";
                draft.event(EventKind::MigrationInitiated, reason, json!({}));
                self.watch()
            }
            // It may be on its way already.
            Err(NovitaError::Unclear(_) | NovitaError::InvalidStateChange(_)) => self.watch(),
            Err(
                error @ (NovitaError::Held(_)
                | NovitaError::NotSent(_)
                | NovitaError::RateLimited { .. }),
            ) => {
                draft.status.spot.migration = before;
                draft.provider_setback(&error)
            }
            Err(error) => {
                draft.migration_failed(code_of(&error), &error.to_string());
                Next::NOW
            }
        }
    }
}

impl Draft<'_> {
    /// The one that serves is gone, after notice was given: what was to take over does so as it is.
    fn rescue(&mut self) {
        let spot = &self.status.spot;
        let was_told = spot.noticed.is_some() || spot.lost.is_some();
        let generation = self.spec.generation;
        let can_take_over = self.status.beside.as_ref().is_some_and(|beside| {
            beside.role == Role::Replacement
                && beside.generation == generation
                && beside.attempt.is_some()
        });
        if self.status.ending != Some(Ending::Vanished) || !was_told || !can_take_over {
            return;
        }
        self.status.ending = None;
        if let Some(behind) = self.status.view_beside() {
            self.take_over(behind);
        }
    }

    /// What is in view serves from now on.
    pub(super) fn take_over(&mut self, behind: Behind) {
        let before = behind.serving_id(&self.status);
        let reason = failure("REPLACED", "another instance has taken over");
        self.status.promote(behind, reason, self.now);
        self.forget_reclaim();
        let facts = self.status.provider.as_ref();
        let data = json!({
            "novitaInstanceId": self.status.provider_id(),
            "replacedNovitaInstanceId": before,
            "portMappings": facts.map(|facts| &facts.port_mappings),
        });
        let reason = "another instance has taken over; its endpoints are new";
        self.event(EventKind::Replaced, reason, data);
    }

    fn tell_notice(&mut self, at: Option<u64>, policy: SpotPolicy) {
        metrics::counter!("spot_notices_total").increment(1);
        self.status.spot.noticed = Some(at.unwrap_or(0));
        self.status.spot.withheld = false;
        let data = json!({
            "reclaimAt": at.map(|seconds| Millis(seconds.saturating_mul(1000)).iso()),
            "policy": policy.as_str(),
        });
        let reason = "the provider will take its spot machine back";
        self.event(EventKind::ReclaimNotice, reason, data);
    }

    fn tell_loss(&mut self, policy: SpotPolicy) {
        let ran = self.status.timestamps.running;
        let is_early = ran.is_some_and(|ran| self.now.since(ran) < PROTECTED_MS);
        let early = if is_early { "true" } else { "false" };
        metrics::counter!("spot_reclaims_total", "early" => early).increment(1);
        if is_early {
            tracing::warn!(instance = %self.spec.id, "taken back within its first hour");
        }
        self.status.spot.lost = Some(self.now);
        self.status.spot.withheld = false;
        self.status.timestamps.running = None;
        self.status.timestamps.ready = None;
        self.status.health = None;
        let data = json!({ "policy": policy.as_str(), "withinFirstHour": is_early });
        let reason = "the provider took its spot machine back";
        self.event(EventKind::Reclaimed, reason, data);
    }

    /// What was told of the machine before counts no longer.
    fn forget_reclaim(&mut self) {
        let spot = &mut self.status.spot;
        (spot.noticed, spot.lost, spot.withheld) = (None, None, false);
    }

    fn withhold_spot(&mut self, policy: SpotPolicy) {
        metrics::counter!("spot_withheld_total", "policy" => policy.as_str()).increment(1);
        self.status.spot.withheld = true;
        let data = json!({ "policy": policy.as_str() });
        let reason = "nothing is done about it: this is a dry run";
        self.event(EventKind::SpotWithheld, reason, data);
    }

    fn begin_replacement(&mut self, mode: BillingMode) {
        metrics::counter!("spot_replacements_total").increment(1);
        let cluster = self.status.current().map(|a| a.offer.cluster_id.clone());
        let begun = &mut self.status.spot.replaced;
        begun.push(self.now);
        let excess = begun.len().saturating_sub(REPLACEMENTS_ALLOWED);
        begun.drain(..excess);
        self.status.beside = Some(Beside {
            role: Role::Replacement,
            generation: self.spec.generation,
            began: self.now,
            billing_mode: mode,
            avoided_cluster: cluster.unwrap_or_default(),
            spent: 0,
            attempt: None,
            boot: Boot::default(),
            cost: Cost::default(),
        });
        let data = json!({ "billingMode": mode });
        let reason = "another instance is ordered to take over";
        self.event(EventKind::ReplacementBegun, reason, data);
    }

    /// Takes note of a migration that is seen on its way.
    fn note_moving(&mut self) {
        let facts = self.status.provider.as_ref();
        let is_moving = facts.is_some_and(|facts| facts.status == "migrating");
        let migration = self.status.spot.migration.as_mut();
        if let Some(migration) = migration.filter(|_| is_moving) {
            migration.was_moving = true;
        }
    }

    fn migration_failed(&mut self, code: &str, message: &str) {
        metrics::counter!("spot_migrations_failed_total").increment(1);
        if let Some(migration) = self.status.spot.migration.as_mut() {
            migration.failed = true;
        }
        let data: Value = json!({ "code": code });
        self.event(EventKind::MigrationFailed, message, data);
    }

    /// The earlier of two times at which there is more to do, for the serving instance and the other.
    fn sooner(&mut self, serving: Next, other: Next) -> Next {
        let wait = |next: Next| match next {
            Next::In(wait) | Next::Watch(wait) | Next::Settled(wait) => Some(wait),
            Next::Never | Next::Abandoned => None,
        };
        match (serving, other) {
            (Next::Abandoned, _) | (_, Next::Abandoned) => Next::Abandoned,
            (next, Next::Never) | (Next::Never, next) => {
                self.watches_beside = serving == Next::Never;
                next
            }
            (serving, other) => {
                let least = wait(serving).into_iter().chain(wait(other)).min();
                let least = least.unwrap_or_default();
                self.watches_beside = !matches!(serving, Next::Watch(_));
                if matches!(serving, Next::Watch(_)) || matches!(other, Next::Watch(_)) {
                    Next::Watch(least)
                } else {
                    Next::In(least)
                }
            }
        }
    }
}
