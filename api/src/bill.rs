//! What an instance costs, as callers read it: US dollars as decimal text.

use serde::Serialize;
use shared::clock::Millis;
use shared::model::cost::{Segment, stopped_rate};
use shared::model::{AttemptState, Cost, ProviderFacts, Rate, Spec, Status};
use utoipa::ToSchema;

/// How long the provider keeps the disk of a stopped instance when it does not say (Novita API
/// reference).
const KEEP_DATA_DAYS: u32 = 7;
const MS_PER_DAY: u64 = 24 * 3_600_000;

/// The members of an instance that are about money, and about what is lost without it. Absent before
/// anything was ordered.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bill {
    /// By our own reckoning, from the first look that saw it billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_so_far: Option<String>,
    /// What it is charged now.
    #[serde(skip_serializing_if = "Option::is_none")]
    price_per_hour: Option<String>,
    /// What it is, or would be, charged while it is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_price_per_hour: Option<String>,
    /// When the provider purges the disk of a stopped one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    data_expires_at: Option<String>,
}

/// A time at one price.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CostSegment)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SegmentDetails {
    /// The try to create it that this was for.
    attempt: u32,
    #[schema(format = DateTime)]
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    until: Option<String>,
    price_per_hour: String,
    stopped_price_per_hour: String,
    cost: String,
}

impl Bill {
    pub(crate) fn of(spec: &Spec, status: Option<&Status>, now: Millis) -> Self {
        let Some((status, attempt)) = status.and_then(|s| Some((s, s.current()?))) else {
            return Self::default();
        };
        let rate_of = |cost: &Cost| {
            let current = cost.current.as_ref();
            current.map_or(Rate::ZERO, |segment| segment.charge.rate)
        };
        let (mut so_far, mut rate) = (status.cost.so_far(now), rate_of(&status.cost));
        if let Some(beside) = &status.beside {
            so_far = so_far.plus(beside.cost.so_far(now));
            rate = rate.plus(rate_of(&beside.cost));
        }
        let stopped = attempt
            .state
            .may_exist()
            .then(|| stopped_rate(spec).dollars());
        Self {
            cost_so_far: Some(so_far.dollars()),
            price_per_hour: Some(rate.dollars()),
            stopped_price_per_hour: stopped,
            data_expires_at: data_expires_at(status),
        }
    }
}

fn data_expires_at(status: &Status) -> Option<String> {
    let exists = status
        .current()
        .is_some_and(|attempt| attempt.state == AttemptState::Acked);
    let facts = status.provider.as_ref().filter(|_| exists)?;
    if facts.status != "exited" {
        return None;
    }
    let expires = match facts.release_data_at {
        Some(seconds) => Millis(seconds.saturating_mul(1000)),
        None => kept_until(status, facts),
    };
    Some(expires.iso())
}

fn kept_until(status: &Status, facts: &ProviderFacts) -> Millis {
    let storage = status.cost.current.as_ref();
    let storage = storage.filter(|segment| !segment.charge.compute);
    let stopped = storage.map_or(facts.seen_at, |segment| segment.since);
    let days = facts.keep_data_days.unwrap_or(KEEP_DATA_DAYS);
    stopped.plus(u64::from(days) * MS_PER_DAY)
}

/// The newest times at one price each, oldest first; the last one may still run.
pub(crate) fn segments(status: Option<&Status>, now: Millis) -> Vec<SegmentDetails> {
    let cost = status.map(|status| &status.cost);
    let all = cost
        .into_iter()
        .flat_map(|c| c.recent.iter().chain(&c.current));
    all.map(|segment| details(segment, now)).collect()
}

fn details(segment: &Segment, now: Millis) -> SegmentDetails {
    SegmentDetails {
        attempt: segment.charge.attempt,
        since: segment.since.iso(),
        until: segment.until.map(Millis::iso),
        price_per_hour: segment.charge.rate.dollars(),
        stopped_price_per_hour: segment.charge.stopped_rate.dollars(),
        cost: segment.cost(now).dollars(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stopped(facts: serde_json::Value) -> Status {
        let mut status = json!({
            "attempts": [{
                "number": 1, "marker": "m", "state": "acked", "intentAt": 1,
                "offer": {"productId": "p", "productName": "n", "clusterId": "c", "region": "r",
                          "billingMode": "spot", "unitPrice": 1},
            }],
            "cost": {"current": {"attempt": 1, "compute": false, "rate": 0, "stoppedRate": 0,
                                 "since": 1_000}},
        });
        status["provider"] = facts;
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn the_disk_of_a_stopped_one_is_kept_as_the_provider_says_or_else_for_seven_days() {
        let told = json!({"status": "exited", "releaseDataAt": 1_795_379_156, "keepDataDays": 3});
        let expires = |facts| data_expires_at(&stopped(facts));
        assert_eq!(expires(told).unwrap(), "2026-11-22T20:25:56.000Z");
        let days = json!({"status": "exited", "keepDataDays": 3});
        assert_eq!(expires(days).unwrap(), "1970-01-04T00:00:01.000Z");
        let silent = json!({"status": "exited"});
        assert_eq!(expires(silent).unwrap(), "1970-01-08T00:00:01.000Z");
        assert_eq!(expires(json!({"status": "running"})), None);
    }
}
