//! What an instance has cost: segments of time, each at one rate that was snapshotted when it began.
//!
//! This is our own estimate, by Redis's clock: from the first look that saw something billed to the
//! first that saw it end, so every change is late by the time between two looks at most. The
//! provider's clock is never used.

use serde::{Deserialize, Serialize};

use super::money::{Amount, Rate};
use super::spec::Spec;
use super::status::{Attempt, AttemptState, Status};
use crate::clock::Millis;

/// Closed segments that are still shown one by one; older ones live on in the sum alone.
const SEGMENTS_SHOWN: usize = 5;

/// What an instance has cost so far, and costs now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cost {
    /// All closed segments together.
    pub closed: Amount,
    /// The newest closed segments, oldest first, five at most; the sum has them already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Segment>,
    /// The one that runs, while anything is charged or kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Segment>,
}

/// A time at one rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// What was charged.
    #[serde(flatten)]
    pub charge: Charge,
    /// From when.
    pub since: Millis,
    /// Until when; open while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
}

/// What the provider charges for one attempt in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// The attempt that it is for.
    pub attempt: u32,
    /// GPUs are charged; else only what is kept on disk.
    pub compute: bool,
    /// Charged per hour now.
    pub rate: Rate,
    /// Charged per hour when it is stopped.
    pub stopped_rate: Rate,
}

/// What a provider's word means for the bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Billing {
    Nothing,
    Storage,
    Compute,
    /// Whatever was charged before: the word itself does not say.
    AsBefore,
}

impl Segment {
    /// What it has cost by `now`.
    #[must_use]
    pub fn cost(&self, now: Millis) -> Amount {
        let until = self.until.unwrap_or(now);
        self.charge.rate.over(until.since(self.since))
    }
}

impl Cost {
    /// What was charged by `now`.
    #[must_use]
    pub fn so_far(&self, now: Millis) -> Amount {
        let current = self.current.as_ref().map(|segment| segment.cost(now));
        self.closed.plus(current.unwrap_or_default())
    }

    /// What another one has cost is part of this one from now on.
    pub fn absorb(&mut self, other: &Self, now: Millis) {
        self.closed = self.closed.plus(other.so_far(now));
    }

    /// The same cost after a look at `now`; unchanged when nothing that matters has changed.
    #[must_use]
    pub fn after(&self, spec: &Spec, status: &Status, now: Millis) -> Self {
        let before = self.current.as_ref().map(|segment| segment.charge);
        let charge = charge(spec, status, before);
        if charge == before {
            return self.clone();
        }
        let mut next = self.clone();
        next.close(now);
        next.current = charge.map(|charge| Segment {
            charge,
            since: now,
            until: None,
        });
        next
    }

    /// Ends the current segment; a clock that went back makes it empty, never negative.
    fn close(&mut self, now: Millis) {
        let Some(mut segment) = self.current.take() else {
            return;
        };
        segment.until = Some(now.max(segment.since));
        self.closed = self.closed.plus(segment.cost(now));
        self.recent.push(segment);
        let excess = self.recent.len().saturating_sub(SEGMENTS_SHOWN);
        self.recent.drain(..excess);
    }
}

/// What an instance of this spec costs per hour while this attempt runs.
#[must_use]
pub fn running_rate(spec: &Spec, attempt: &Attempt) -> Rate {
    Rate::of_gpus(spec.gpu_num, attempt.offer.unit_price).plus(stopped_rate(spec))
}

/// What it costs per hour while it is stopped.
#[must_use]
pub fn stopped_rate(spec: &Spec) -> Rate {
    Rate::of_disk(spec.rootfs_size)
}

fn charge(spec: &Spec, status: &Status, before: Option<Charge>) -> Option<Charge> {
    let attempt = status.current()?;
    let stopped_rate = stopped_rate(spec);
    let charged = |compute, rate| Charge {
        attempt: attempt.number,
        compute,
        rate,
        stopped_rate,
    };
    match billing(attempt.state, status) {
        Billing::Nothing => None,
        Billing::AsBefore => before.filter(|before| before.attempt == attempt.number),
        Billing::Storage => Some(charged(false, stopped_rate)),
        Billing::Compute => Some(charged(true, running_rate(spec, attempt))),
    }
}

/// Compute is billed from `pulling` until the instance is stopped or gone (Novita API reference,
/// domain rules); a word that nobody knows counts as billed.
fn billing(state: AttemptState, status: &Status) -> Billing {
    match state {
        AttemptState::Refused | AttemptState::Absent | AttemptState::Gone => Billing::Nothing,
        AttemptState::Intent => Billing::AsBefore,
        AttemptState::Acked | AttemptState::Discarding => {
            let word = status.provider.as_ref().map(|facts| facts.status.as_str());
            match word {
                None | Some("freezing" | "toRemove" | "removing") => Billing::AsBefore,
                Some("pending" | "toCreate" | "creating" | "removed") => Billing::Nothing,
                Some("exited") => Billing::Storage,
                Some(_) => Billing::Compute,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::model::samples::{acked, spec};
    use crate::model::{Desired, ProviderFacts};

    const HOUR: u64 = 3_600_000;

    fn saw(status: &mut Status, word: &str) {
        status.provider = Some(ProviderFacts {
            status: word.to_owned(),
            ..ProviderFacts::default()
        });
    }

    fn wish() -> Spec {
        Spec {
            gpu_num: 2,
            rootfs_size: 160,
            ..spec(Desired::Running)
        }
    }

    #[test]
    fn an_instance_is_charged_from_pulling_to_exited_and_for_its_disk_until_it_is_gone() {
        let (spec, mut status, mut cost) = (wish(), acked(36_000), Cost::default());
        let story = [
            ("creating", 0, "0.00"),
            ("pulling", HOUR, "0.00"),
            ("running", 2 * HOUR, "0.740833"),
            ("toStop", 3 * HOUR, "1.481667"),
            ("exited", 4 * HOUR, "2.2225"),
            ("toStart", 28 * HOUR, "2.7225"),
            ("running", 29 * HOUR, "3.463333"),
        ];
        for (word, at, so_far) in story {
            saw(&mut status, word);
            cost = cost.after(&spec, &status, Millis(at));
            assert_eq!(cost.so_far(Millis(at)).dollars(), so_far, "{word}");
        }
        assert_eq!(cost.recent.len(), 2, "a start after a stop begins anew");
        status.attempts[0].state = AttemptState::Gone;
        status.provider = None;
        cost = cost.after(&spec, &status, Millis(30 * HOUR));
        let ended = cost.so_far(Millis(30 * HOUR));
        assert_eq!(cost.current, None);
        assert_eq!(cost.so_far(Millis(99 * HOUR)), ended, "nothing more");
    }

    #[test]
    fn what_is_being_removed_is_charged_as_it_was_before() {
        for (word, compute) in [("running", true), ("exited", false)] {
            let (spec, mut status) = (wish(), acked(36_000));
            saw(&mut status, word);
            let cost = Cost::default().after(&spec, &status, Millis(1));
            saw(&mut status, "removing");
            let later = cost.after(&spec, &status, Millis(2));
            assert_eq!(later, cost);
            assert_eq!(later.current.map(|s| s.charge.compute), Some(compute));
        }
        let mut fresh = acked(36_000);
        saw(&mut fresh, "toRemove");
        let cost = Cost::default().after(&wish(), &fresh, Millis(1));
        assert_eq!(cost, Cost::default(), "it was never billed");
    }

    #[test]
    fn another_attempt_or_price_begins_a_new_segment() {
        let (spec, mut status) = (wish(), acked(36_000));
        saw(&mut status, "running");
        let cost = Cost::default().after(&spec, &status, Millis(1));
        assert_eq!(cost.after(&spec, &status, Millis(2)), cost);
        status.attempts[0].offer.unit_price = 30_000;
        let cheaper = cost.after(&spec, &status, Millis(3));
        assert_eq!(cheaper.recent.len(), 1);
        status.attempts[0].number = 2;
        let replaced = cheaper.after(&spec, &status, Millis(4));
        assert_eq!(replaced.recent.len(), 2);
    }

    #[test]
    fn however_time_is_cut_into_segments_the_sum_is_exact() {
        for seed in 0..500 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (spec, mut status) = (wish(), acked(0));
            let (mut cost, mut at) = (Cost::default(), 1_795_379_156_475_u64);
            let (mut expected, mut rate) = (0_u128, 0_u128);
            for _ in 0..rng.random_range(1..60) {
                let price = rng.random_range(1..900_000_u64);
                let word = ["running", "exited", "creating"][rng.random_range(0..3)];
                status.attempts[0].offer.unit_price = price;
                saw(&mut status, word);
                cost = cost.after(&spec, &status, Millis(at));
                // 100 GB beyond the free ones for $0.005 a day each, two GPUs.
                rate = match word {
                    "running" => u128::from(price) * 2 * 24 + 100 * 500,
                    "exited" => 100 * 500,
                    _ => 0,
                };
                let wait = rng.random_range(0..40 * HOUR);
                at += wait;
                expected += rate * u128::from(wait);
            }
            // Here in 1/2 400 000 dollars per hour, there in 1/600 000.
            let told = cost.so_far(Millis(at));
            let told: u128 = serde_json::to_string(&told).unwrap().parse().unwrap();
            assert_eq!(told * 4, expected, "seed {seed}, last rate {rate}");
            assert!(cost.recent.len() <= SEGMENTS_SHOWN);
        }
    }

    #[test]
    fn a_clock_that_goes_back_takes_nothing_back() {
        let (spec, mut status) = (wish(), acked(36_000));
        saw(&mut status, "running");
        let cost = Cost::default().after(&spec, &status, Millis(HOUR));
        saw(&mut status, "exited");
        let stopped = cost.after(&spec, &status, Millis(0));
        assert_eq!(stopped.so_far(Millis(0)), Amount::default());
    }

    #[test]
    fn a_cost_survives_being_stored() {
        let (spec, mut status) = (wish(), acked(36_000));
        let mut cost = Cost::default();
        for (at, word) in [(1, "running"), (2, "exited"), (3, "running")] {
            saw(&mut status, word);
            cost = cost.after(&spec, &status, Millis(at));
        }
        let stored = serde_json::to_string(&cost).unwrap();
        assert_eq!(serde_json::from_str::<Cost>(&stored).unwrap(), cost);
    }
}
