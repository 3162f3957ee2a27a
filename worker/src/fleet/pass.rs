//! One pass over the provider's whole list: what it shows is written down, and whom it concerns is made
//! due.
//!
//! The list comes first, what is remembered second: nothing that was made meanwhile can look lost.

use std::time::Duration;

use shared::clock::Millis;
use shared::fleet::{Changes, PassReport, Remembered};
use shared::model::{InstanceId, Suspect};
use shared::queue::{Reservation, Settlement, Verdict};
use shared::store::StoreError;
use tokio::time::Instant;

use super::cadence::rest;
use super::compare::{Picture, Shown, sighting};
use super::sweep::{self, Completeness, Listed, Outcome};
use super::{Fleet, act, announce, metrics, records};
use crate::marker::Marker;
use crate::novita::{Gap, Instance, ListQuery, Listing, Novita, ProviderId};

/// Before a pass is made again that Redis did not let finish.
const REDIS_AWAY: Duration = Duration::from_secs(5);
/// Empty lists in a row that are believed although instances are held.
const EMPTY_BELIEVED: u32 = 3;

/// What a list showed.
struct List {
    shown: Vec<Shown>,
    listed: Vec<Listed>,
    /// Why it is not whole, if it is not.
    gap: Option<Gap>,
}

impl<N: Novita> Fleet<N> {
    /// Makes a pass and tells when the next one is due.
    pub(crate) async fn pass(&self, job: Reservation, now: Millis) -> Settlement {
        let began = Instant::now();
        let list = self.list(now).await;
        let held = list.gap.as_ref().and_then(Gap::held).unwrap_or_default();
        let verdict = match self.conclude(&job, list, now).await {
            Ok(Some(report)) => {
                let next = rest(self.cadence.after_pass(&report), began.elapsed());
                Verdict::Again(next.max(held))
            }
            // Another worker makes it by now, and this verdict counts for nothing.
            Ok(None) => Verdict::Again(self.cadence.slow),
            Err(error) => Verdict::Retry {
                after: REDIS_AWAY,
                error: error.to_string(),
            },
        };
        metrics::passed(began.elapsed());
        job.settle(verdict, Vec::new())
    }

    /// The whole list, each page reduced at once to what is kept.
    async fn list(&self, now: Millis) -> List {
        let keep = |instance: Instance| {
            let shown = Shown {
                sighting: sighting(&instance, now),
                owner: self.owner(&instance),
            };
            (shown, Listed::of(&instance))
        };
        let query = ListQuery::default();
        let (seen, gap) = match self.provider.list_each(query, keep).await {
            Listing::Complete(seen) => (seen, None),
            Listing::Incomplete { seen, why } => (seen, Some(why)),
        };
        let (shown, listed): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        List {
            shown,
            listed: listed.into_iter().flatten().collect(),
            gap,
        }
    }

    /// The instance of ours that it was ordered for, by its name and its signature.
    pub(super) fn owner(&self, instance: &Instance) -> Option<InstanceId> {
        let marker = Marker::parse(&instance.name)?;
        let is_signed = match &self.marker_secret {
            Some(secret) => marker.signature(secret).as_deref() == instance.env("NGA_SIG"),
            None => true,
        };
        (marker.deployment == self.deployment && is_signed).then(|| marker.instance_id())
    }

    /// Writes down what the list shows, and how the pass went; `None` when another worker does that.
    async fn conclude(
        &self,
        job: &Reservation,
        list: List,
        now: Millis,
    ) -> Result<Option<PassReport>, StoreError> {
        let remembered = self.store.remembered().await?;
        let mut report = report(&list, &remembered, now);
        let is_whole = report.complete_at == now;
        if !is_whole {
            tracing::warn!(why = report.gap, "an incomplete list proves nothing");
            metrics::incomplete();
        }
        let outcome = self.swept(&list.listed, &remembered, &report).await?;
        report.recovery = outcome.recovery;
        let claimed = act::claimed(&outcome.actions);
        let picture = Picture::of(list.shown, &remembered, &claimed);
        let entries = picture.changes(&remembered, is_whole);
        let due = entries.iter().filter(|entry| entry.due.is_some()).count();
        tracing::debug!(
            number = report.number,
            changed = entries.len(),
            due,
            "a pass"
        );
        let changes = Changes {
            entries,
            suspects: outcome
                .store
                .into_iter()
                .map(|(id, suspect)| (id.as_str().to_owned(), suspect))
                .collect(),
            cleared: outcome
                .forget
                .into_iter()
                .map(|id| id.as_str().to_owned())
                .collect(),
            webhooks: announce::webhooks(&outcome.actions, &self.notifier, now),
            report: Some(report.clone()),
        };
        if !self.store.commit(&job.id, &job.token, changes).await? {
            return Ok(None);
        }
        self.act(&outcome.actions, &list.listed, now).await;
        Ok(Some(report))
    }

    /// What becomes of instances that nobody accounts for.
    async fn swept(
        &self,
        listed: &[Listed],
        remembered: &Remembered,
        report: &PassReport,
    ) -> Result<Outcome, StoreError> {
        let records = records::of(&self.records, &self.deployment, listed, remembered).await?;
        let completeness = if report.gap.is_empty() {
            Completeness::Complete
        } else {
            Completeness::Incomplete(report.gap.clone())
        };
        let by_id =
            |(id, suspect): (&String, &Suspect)| Some((ProviderId::new(id)?, suspect.clone()));
        let suspects = remembered.suspects.iter().filter_map(by_id).collect();
        let outcome = sweep::sweep(
            &sweep::Pass {
                number: report.number,
                now: report.started_at,
                completeness: &completeness,
                listed,
                records: &records,
                holding: remembered.bound.len() as u64,
                store_birth: remembered.birth.unwrap_or(report.started_at),
                suspects: &suspects,
                recovery: remembered.report.recovery,
            },
            &sweep::Rules {
                deployment: &self.deployment,
                secret: self.marker_secret.as_ref(),
                policy: self.sweep.policy,
                dry_run: self.sweep.dry_run,
            },
        );
        tell(&outcome);
        Ok(outcome)
    }
}

/// What people and metrics are told of a sweep.
fn tell(outcome: &Outcome) {
    for alarm in &outcome.alarms {
        tracing::error!(?alarm, "the sweep of the fleet needs a look");
    }
    for (action, hold) in &outcome.withheld {
        tracing::info!(?action, ?hold, "withheld");
    }
    metrics::swept(outcome);
}

/// How a pass went. An empty list although instances are held is a failure first, and a fact only when
/// it stays.
fn report(list: &List, remembered: &Remembered, now: Millis) -> PassReport {
    let before = &remembered.report;
    let is_doubtful = list.shown.is_empty() && !remembered.bound.is_empty();
    let empty = if is_doubtful { before.empty + 1 } else { 0 };
    let gap = match &list.gap {
        Some(gap) => gap.to_string(),
        None if empty > 0 && empty < EMPTY_BELIEVED => {
            format!(
                "the list is empty although {} instances are held",
                remembered.bound.len()
            )
        }
        None => String::new(),
    };
    let has_nothing = gap.is_empty() && list.shown.is_empty() && remembered.bound.is_empty();
    let ours = list.shown.iter().filter(|shown| {
        shown.owner.is_some() || remembered.bound.contains_key(&shown.sighting.provider_id)
    });
    let ours = ours.count() as u64;
    let report = PassReport {
        number: before.number + 1,
        started_at: now,
        empty,
        idle: if has_nothing { before.idle + 1 } else { 0 },
        gap,
        ..before.clone()
    };
    if report.gap.is_empty() {
        PassReport {
            complete_at: now,
            ours,
            foreign: list.shown.len() as u64 - ours,
            ..report
        }
    } else {
        PassReport {
            incomplete: before.incomplete + 1,
            ..report
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(gap: Option<Gap>) -> List {
        List {
            shown: Vec::new(),
            listed: Vec::new(),
            gap,
        }
    }

    #[test]
    fn an_empty_list_is_doubted_while_instances_are_held() {
        let mut remembered = Remembered::default();
        let held = InstanceId::generate();
        remembered.bound.insert("a".into(), held);
        for pass in 1..=EMPTY_BELIEVED {
            let now = Millis(u64::from(pass));
            let report = report(&list(None), &remembered, now);
            assert_eq!(report.empty, pass);
            assert_eq!(report.complete_at == now, pass == EMPTY_BELIEVED);
            remembered.report = report;
        }
    }

    #[test]
    fn passes_that_find_nothing_are_counted_and_gaps_are_not_among_them() {
        let mut remembered = Remembered::default();
        for pass in 1..4 {
            remembered.report = report(&list(None), &remembered, Millis(pass));
            assert_eq!(u64::from(remembered.report.idle), pass);
        }
        let failed = report(&list(Some(Gap::NoTotal)), &remembered, Millis(9));
        assert_eq!((failed.idle, failed.complete_at), (0, Millis(3)));
        assert_eq!(failed.incomplete, 1);
    }
}
