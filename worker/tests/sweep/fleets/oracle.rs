//! What ought to come of a pass, worked out from everything that all passes before have seen.

use std::collections::BTreeMap;

use shared::clock::Millis;
use shared::model::{Finding, OrphanPolicy, Recovery};
use worker::fleet::sweep::{Action, Alarm, Completeness, Counts, Hold};
use worker::novita::ProviderId;

use super::reasons::{Row, is_held, rows};
use super::world::{Delivery, Truth, World};
use crate::scene::{DAY, MINUTE, provider_id};

/// What ought to come of a pass.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) actions: Vec<Action>,
    pub(super) withheld: Vec<(Action, Hold)>,
    pub(super) alarms: Vec<Alarm>,
    pub(super) is_recovering: bool,
    pub(super) counts: Option<Counts>,
}

/// An unbroken run of passes that saw the same of an instance.
struct Run {
    name: String,
    finding: Finding,
    /// The number and the time of each.
    sightings: Vec<(u64, Millis)>,
    announced: Vec<Millis>,
    /// When its quarantine began to be carried out.
    quarantined: Option<Millis>,
}

pub(super) struct Oracle {
    runs: BTreeMap<String, Run>,
    is_recovering: bool,
    may_recover: bool,
    /// The first of the passes in a row that had nothing to rebuild.
    clean_since: Option<Millis>,
}

/// What is wanted for an instance in this pass.
struct Want {
    id: String,
    action: Option<Action>,
    takes_away: bool,
    quarantines: bool,
}

impl Run {
    /// Sightings that are at least half a minute apart, and no repetitions.
    fn counted(&self) -> Vec<(u64, Millis)> {
        let mut counted: Vec<(u64, Millis)> = Vec::new();
        for &(number, at) in &self.sightings {
            let last = counted.last();
            if last.is_none_or(|last| number > last.0 && at.since(last.1) >= 30_000) {
                counted.push((number, at));
            }
        }
        counted
    }

    fn age(&self) -> u64 {
        let (first, last) = (self.sightings.first(), self.sightings.last());
        last.unwrap().1.since(first.unwrap().1)
    }

    fn is_ripe(&self) -> bool {
        self.age() >= 2 * MINUTE && self.counted().len() >= 2
    }

    /// Something may be done in the pass that made the last sighting.
    fn may_act(&self) -> bool {
        let before = Run {
            sightings: self.sightings[..self.sightings.len() - 1].to_vec(),
            name: String::new(),
            announced: Vec::new(),
            ..*self
        };
        self.is_ripe() && self.counted().len() > before.counted().len()
    }

    fn is_to_be_announced(&self, now: Millis) -> bool {
        match self.announced.last() {
            Some(last) => now.since(*last) >= DAY,
            None => self.finding != Finding::Awaited || self.is_ripe(),
        }
    }
}

impl Oracle {
    pub(super) fn new(world: &World) -> Self {
        Self {
            runs: BTreeMap::new(),
            is_recovering: false,
            may_recover: world.recovery == Recovery::Off,
            clean_since: None,
        }
    }

    pub(super) fn pass(&mut self, world: &World, delivery: &Delivery) -> Expected {
        if let Some(alarms) = unbelievable(world, delivery) {
            return Expected {
                alarms,
                is_recovering: self.is_recovering,
                ..Expected::default()
            };
        }
        let rows = rows(world, delivery);
        let was_recovering = self.is_recovering;
        let mut alarms = self.recover(&rows, world.now);
        alarms.extend(look_alikes(world, delivery));
        self.remember(&rows, world);
        let announced = self.announce(&rows, world.now);
        let loose = rows.iter().filter(|row| row.is_loose() && !row.is_unread());
        let wants: Vec<Want> = loose.map(|row| self.want(row, world)).collect();
        let calls = wants
            .iter()
            .filter(|want| want.takes_away && want.action.is_some())
            .count();
        let is_too_much = calls > 3 && calls as f64 > rows.len() as f64 * 0.2;
        if is_too_much {
            alarms.push(Alarm::BreakerTripped { wanted: calls });
        }
        let counts = self.counts(&rows, delivery);
        let mut expected = Expected {
            actions: announced,
            alarms,
            is_recovering: self.is_recovering,
            counts: Some(counts),
            ..Expected::default()
        };
        for want in wants {
            let hold = if world.dry_run {
                Some(Hold::DryRun)
            } else if want.takes_away && (was_recovering || self.is_recovering) {
                Some(Hold::Recovery)
            } else {
                (want.takes_away && is_too_much).then_some(Hold::Breaker)
            };
            match (hold, want.action) {
                (Some(hold), Some(action)) => expected.withheld.push((action, hold)),
                (None, Some(action)) => expected.actions.push(action),
                (_, None) => {}
            }
            if want.quarantines && hold.is_none() {
                let run = self.runs.get_mut(&want.id).unwrap();
                run.quarantined.get_or_insert(world.now);
            }
        }
        expected.actions.sort();
        expected.withheld.sort();
        expected
    }

    /// The store is younger than what it has no record of, until two looks apart find nothing such.
    fn recover(&mut self, rows: &[Row<'_>], now: Millis) -> Vec<Alarm> {
        let old = || {
            let is_old = |row: &&Row<'_>| row.is_loose() && row.is_older_than_store;
            rows.iter().filter(is_old)
        };
        let mut lost: Vec<_> = old().filter(|row| row.has_no_record()).collect();
        lost.dedup_by_key(|row| row.id);
        let mut lost_ids: Vec<_> = lost.iter().map(|row| row.id).collect();
        lost_ids.sort();
        lost_ids.dedup();
        let is_clean = lost.is_empty() && !old().any(Row::is_unread);
        if !self.may_recover {
            return Vec::new();
        }
        if !self.is_recovering {
            self.is_recovering = !lost.is_empty();
            self.clean_since = None;
            let lost = lost_ids.len() as u64;
            return Vec::from_iter(
                self.is_recovering
                    .then_some(Alarm::RecoveryEntered { lost }),
            );
        }
        match self.clean_since {
            _ if !is_clean => self.clean_since = None,
            None => self.clean_since = Some(now),
            Some(since) if now.since(since) >= 30_000 => {
                self.is_recovering = false;
                return vec![Alarm::RecoveryCompleted];
            }
            Some(_) => {}
        }
        Vec::new()
    }

    fn remember(&mut self, rows: &[Row<'_>], world: &World) {
        let mut runs = std::mem::take(&mut self.runs);
        for row in rows.iter().filter(|row| row.is_loose()) {
            let before = runs.remove(row.provider_id());
            if row.is_unread() {
                self.runs
                    .extend(before.map(|run| (row.provider_id().to_owned(), run)));
                continue;
            }
            let (name, finding) = (
                &row.thing.instance.name,
                row.finding(rows, self.is_recovering),
            );
            let mut run = before
                .filter(|run| run.name == *name && run.finding == finding)
                .unwrap_or_else(|| Run {
                    name: name.clone(),
                    finding,
                    sightings: Vec::new(),
                    announced: Vec::new(),
                    quarantined: None,
                });
            run.sightings.push((world.number, world.now));
            self.runs.insert(row.provider_id().to_owned(), run);
        }
    }

    fn announce(&mut self, rows: &[Row<'_>], now: Millis) -> Vec<Action> {
        let mut actions = Vec::new();
        for row in rows.iter().filter(|row| row.is_loose() && !row.is_unread()) {
            let run = self.runs.get_mut(row.provider_id()).unwrap();
            if run.is_to_be_announced(now) {
                run.announced.push(now);
                actions.push(Action::Announce {
                    provider_id: provider_id(row.provider_id()),
                    name: run.name.clone(),
                    instance: row.id.clone(),
                    finding: run.finding,
                    first_seen: run.sightings[0].1,
                });
            }
        }
        actions
    }

    fn want(&self, row: &Row<'_>, world: &World) -> Want {
        let run = &self.runs[row.provider_id()];
        let (id, instance) = (provider_id(row.provider_id()), row.id.clone());
        let adopts = world.policy == OrphanPolicy::Adopt;
        let quarantines = world.policy == OrphanPolicy::Quarantine;
        let is_old_enough = run.age() >= 15 * MINUTE;
        let kept = run.quarantined.map(|since| world.now.since(since));
        let is_over = run.age() >= DAY && kept.is_some_and(|kept| kept >= DAY - 15 * MINUTE);
        let in_quarantine =
            run.may_act() && run.finding == Finding::Unrecorded && quarantines && is_old_enough;
        let deletable = ["running", "exited", "pulling"].contains(&row.word());
        let action = if run.finding == Finding::Lost {
            Some(rebuild(instance, id))
        } else if !run.may_act() {
            None
        } else if matches!(run.finding, Finding::Awaited | Finding::Unheld) {
            Some(Action::Adopt {
                instance,
                provider_id: id,
                attempt: row.attempt,
            })
        } else if run.finding == Finding::Unrecorded && adopts {
            Some(rebuild(instance, id))
        } else if run.finding == Finding::Closed && deletable {
            Some(Action::Reopen {
                instance,
                provider_id: id,
            })
        } else if (run.finding == Finding::Superseded || (in_quarantine && is_over)) && deletable {
            Some(Action::DeleteOrphan {
                instance,
                provider_id: id,
            })
        } else if in_quarantine && row.word() == "running" {
            Some(Action::StopOrphan {
                instance,
                provider_id: id,
            })
        } else {
            None
        };
        Want {
            id: row.provider_id().to_owned(),
            takes_away: !matches!(action, Some(Action::Adopt { .. } | Action::Rebuild { .. })),
            quarantines: in_quarantine,
            action,
        }
    }

    fn counts(&self, rows: &[Row<'_>], delivery: &Delivery) -> Counts {
        let seen: Vec<&Run> = rows
            .iter()
            .filter(|row| row.is_loose() && !row.is_unread())
            .map(|row| &self.runs[row.provider_id()])
            .collect();
        let is_foreign = |truth: &Truth| matches!(truth, Truth::Foreign { .. });
        Counts {
            ours: rows.len() as u64,
            foreign: delivery
                .things
                .iter()
                .filter(|thing| is_foreign(&thing.truth))
                .count() as u64,
            suspects: seen.len() as u64,
            orphans: seen.iter().filter(|run| run.is_ripe()).count() as u64,
        }
    }
}

fn rebuild(instance: shared::model::InstanceId, provider_id: ProviderId) -> Action {
    Action::Rebuild {
        instance,
        provider_id,
    }
}

/// The list says nothing; `Some` with what is to be told about that.
fn unbelievable(world: &World, delivery: &Delivery) -> Option<Vec<Alarm>> {
    if delivery.completeness != Completeness::Complete {
        return Some(Vec::new());
    }
    let records = world.holding();
    if delivery.things.is_empty() && records > 0 {
        return Some(vec![Alarm::EmptyList { records }]);
    }
    let mut ids: Vec<_> = delivery.things.iter().map(|t| &t.instance.id).collect();
    ids.sort();
    let all = ids.len();
    ids.dedup();
    (ids.len() < all).then(|| vec![Alarm::RepeatedId])
}

fn look_alikes(world: &World, delivery: &Delivery) -> Option<Alarm> {
    let is_one = |thing: &&super::world::Thing| {
        thing.truth
            == Truth::Foreign {
                is_look_alike: true,
            }
            && !is_held(world, &thing.instance.id)
    };
    let count = delivery.things.iter().filter(is_one).count() as u64;
    (count > 0).then_some(Alarm::LookAlikes { count })
}
