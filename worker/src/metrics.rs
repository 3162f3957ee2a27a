//! The worker's metrics: what they mean, and how they are recorded.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use shared::clock::Millis;
use shared::model::{Operation, OperationKind, OperationState};
use shared::pace::Lane;
use shared::queue::{BreakerState, JobId, JobKind, Reservation, Settlement};
use shared::webhooks::Fate;

/// An operation that takes longer has outlived every deadline of its steps; somebody should look.
const OVERDUE_MS: u64 = 30 * 60 * 1000;

/// Gives every metric of this process its help text and unit.
pub(crate) fn describe() {
    shared::queue::describe();
    crate::fleet::metrics::describe();
    describe_gauge!("worker_jobs_running", "Jobs being worked on");
    describe_counter!(
        "instance_drifts_total",
        "Provider words that nobody here asked for"
    );
    describe_counter!(
        "operation_overdue_looks_total",
        "Looks at operations that were pending for more than half an hour, by kind"
    );
    describe_histogram!(
        "operation_duration_seconds",
        Unit::Seconds,
        "From the acceptance of an operation to its end, by kind and by how it ended"
    );
    describe_counter!(
        "policy_stops_total",
        "Instances stopped by a rule of ours and not by their callers, by reason"
    );
    describe_counter!(
        "policy_stops_withheld_total",
        "Instances that a dry run did not stop, by reason"
    );
    describe_counter!(
        "webhook_held_total",
        "Deliveries that waited for their turn without an attempt, by reason"
    );
    describe_counter!(
        "webhook_breaker_state_total",
        "Changes of the breakers of webhook receivers, by the state that they changed to"
    );
    describe_counter!(
        "spot_notices_total",
        "Notices that the provider will take a spot machine back"
    );
    describe_counter!(
        "spot_reclaims_total",
        "Spot machines that the provider took back, and whether within their first hour"
    );
    describe_counter!(
        "spot_replacements_total",
        "Instances ordered to take over from a spot machine"
    );
    describe_counter!(
        "spot_migrations_failed_total",
        "Instances that the provider was asked to move, and did not"
    );
    describe_counter!(
        "spot_withheld_total",
        "Spot machines taken back about which a dry run did nothing, by policy"
    );
    describe_counter!(
        "novita_requests_total",
        "Calls to the provider, by lane, operation and outcome"
    );
    describe_histogram!(
        "novita_request_duration_seconds",
        Unit::Seconds,
        "Calls to the provider, by lane and operation"
    );
    describe_histogram!(
        "novita_wait_seconds",
        Unit::Seconds,
        "How long calls to the provider waited for their turn, by lane"
    );
    describe_counter!(
        "novita_held_total",
        "Calls to the provider that were put off, by lane and by what held them back"
    );
    describe_gauge!(
        "novita_tokens",
        "Calls to the provider that might be made at once by all replicas, when last heard of"
    );
    describe_gauge!(
        "novita_rate_limit_per_minute",
        "Calls to the provider that all replicas may make a minute: the limit, or less after a 429"
    );
    describe_gauge!(
        "novita_hold_active",
        "1 while calls are held back after a 429, else 0"
    );
    describe_gauge!(
        "novita_breaker_state",
        "Breaker of a lane to the provider: 0 closed, 1 half open, 2 open"
    );
    describe_counter!(
        "webhook_attempts_total",
        "Attempts to deliver a webhook, by reason"
    );
    describe_counter!(
        "webhook_deliveries_total",
        "Attempts to deliver a webhook, and deliveries that were given up, by what became of the delivery"
    );
    describe_histogram!(
        "webhook_attempt_duration_seconds",
        Unit::Seconds,
        "Attempts to deliver a webhook"
    );
    begin();
}

/// The counters that may stay at zero for long: one that begins with its first event cannot be seen
/// to rise, so no alert would tell of that event.
fn begin() {
    for name in [
        "instance_drifts_total",
        "queue_stale_tokens_total",
        "spot_migrations_failed_total",
        "spot_notices_total",
        "spot_replacements_total",
    ] {
        counter!(name).increment(0);
    }
    let labelled: [(_, _, &[&'static str]); 8] = [
        ("policy_stops_total", "reason", &["idle", "lifetime"]),
        (
            "policy_stops_withheld_total",
            "reason",
            &["idle", "lifetime"],
        ),
        ("spot_reclaims_total", "early", &["true", "false"]),
        (
            "spot_withheld_total",
            "policy",
            &["replace", "on_demand", "migrate"],
        ),
        (
            "webhook_held_total",
            "reason",
            &["slow", "failing", "proxy"],
        ),
        (
            "webhook_breaker_state_total",
            "to",
            &["open", "half_open", "closed"],
        ),
        (
            "queue_lease_expiries_total",
            "kind",
            &["instance", "webhook", "cron"],
        ),
        ("operation_overdue_looks_total", "kind", &OPERATIONS),
    ];
    for (name, label, values) in labelled {
        for value in values {
            counter!(name, label => *value).increment(0);
        }
    }
    for fate in Fate::ALL {
        counter!("webhook_deliveries_total", "outcome" => fate.as_str()).increment(0);
    }
    for lane in Lane::ALL {
        counter!("novita_held_total", "lane" => lane.as_str(), "by" => "breaker").increment(0);
    }
    gauge!("novita_hold_active").set(0.0);
    gauge!("worker_jobs_running").set(0.0);
}

const OPERATIONS: [&str; 5] = ["create", "start", "stop", "restart", "delete"];

fn operation_kind(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Create => "create",
        OperationKind::Start => "start",
        OperationKind::Stop => "stop",
        OperationKind::Restart => "restart",
        OperationKind::Delete => "delete",
    }
}

/// An operation came to its end.
pub(crate) fn operation_ended(operation: &Operation) {
    let state = match operation.state {
        OperationState::Pending => "pending",
        OperationState::Succeeded => "succeeded",
        OperationState::Failed => "failed",
        OperationState::Superseded => "superseded",
    };
    let ended = operation.finished_at.unwrap_or(operation.created_at);
    let took = Duration::from_millis(ended.since(operation.created_at));
    let kind = operation_kind(operation.kind);
    histogram!("operation_duration_seconds", "kind" => kind, "state" => state).record(took);
}

/// An operation was looked at; `now` is Redis's clock.
pub(crate) fn operation_seen(operation: &Operation, now: Millis) {
    let is_pending = operation.state == OperationState::Pending;
    if is_pending && now.since(operation.created_at) > OVERDUE_MS {
        let kind = operation_kind(operation.kind);
        counter!("operation_overdue_looks_total", "kind" => kind).increment(1);
    }
}

fn kind(id: &JobId) -> &'static str {
    id.kind().map_or("unknown", JobKind::as_str)
}

/// A job was handed to this worker; `now` is Redis's clock.
pub(crate) fn reserved(job: &Reservation, now: Millis) {
    let kind = kind(&job.id);
    counter!("queue_attempts_total", "kind" => kind).increment(1);
    let waited = Duration::from_millis(now.since(job.since));
    histogram!("queue_job_wait_seconds", "kind" => kind).record(waited);
    if job.is_recovered {
        counter!("queue_lease_expiries_total", "kind" => kind).increment(1);
    }
}

/// A job came to a result.
pub(crate) fn finished(settlement: &Settlement, took: Duration) {
    let (kind, verdict) = (kind(settlement.id()), settlement.verdict().as_str());
    counter!("queue_results_total", "kind" => kind, "verdict" => verdict).increment(1);
    histogram!("queue_job_duration_seconds", "kind" => kind).record(took);
}

/// A call to the queue was answered.
pub(crate) fn exchanged(has_settled: bool, took: Duration) {
    let call = if has_settled { "settle" } else { "reserve" };
    histogram!("queue_exchange_duration_seconds", "call" => call).record(took);
}

/// Other workers had taken over by the time these were told.
pub(crate) fn stale_tokens(count: usize) {
    counter!("queue_stale_tokens_total").increment(count as u64);
}

/// The queue was looked at, and why.
pub(crate) fn looked(reason: &'static str) {
    counter!("queue_wakeups_total", "source" => reason).increment(1);
}

/// A call to the provider came to an end.
pub(crate) fn provider_called(
    lane: Lane,
    operation: &'static str,
    outcome: &'static str,
    took: Duration,
) {
    let lane = lane.as_str();
    counter!(
        "novita_requests_total",
        "lane" => lane, "operation" => operation, "outcome" => outcome
    )
    .increment(1);
    histogram!("novita_request_duration_seconds", "lane" => lane, "operation" => operation)
        .record(took);
}

/// A call to the provider had its turn, or was put off, after so long.
pub(crate) fn provider_waited(lane: Lane, time: Duration) {
    histogram!("novita_wait_seconds", "lane" => lane.as_str()).record(time);
}

/// A call to the provider was put off.
pub(crate) fn provider_held(lane: Lane, by: &'static str) {
    counter!("novita_held_total", "lane" => lane.as_str(), "by" => by).increment(1);
}

/// What Redis told of the shared pace, in thousandths.
pub(crate) fn provider_pace(left_milli: u64, rate_milli: u64) {
    gauge!("novita_tokens").set(left_milli as f64 / 1000.0);
    gauge!("novita_rate_limit_per_minute").set(rate_milli as f64 / 1000.0);
}

/// Whether calls are held back after a 429.
pub(crate) fn provider_hold(is_active: bool) {
    gauge!("novita_hold_active").set(if is_active { 1.0 } else { 0.0 });
}

/// What a lane's breaker is like.
pub(crate) fn provider_breaker(lane: Lane, state: BreakerState) {
    let number = match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    };
    gauge!("novita_breaker_state", "lane" => lane.as_str()).set(number);
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use shared::model::{InstanceId, OperationId};

    use super::*;

    #[test]
    fn only_a_pending_operation_can_be_overdue_and_not_before_half_an_hour() {
        let (id, instance) = (OperationId::generate(), InstanceId::generate());
        let kind = OperationKind::Stop;
        let pending = Operation::accepted(id, instance, kind, 1, Millis(1000));
        let at = |ms| Millis(1000 + ms);
        let ended = pending
            .clone()
            .ended(OperationState::Failed, None, at(60_000));

        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            operation_seen(&pending, at(OVERDUE_MS));
            operation_seen(&pending, at(OVERDUE_MS + 1));
            operation_seen(&ended, at(OVERDUE_MS + 1));
            operation_ended(&ended);
        });

        let text = recorder.handle().render();
        let has = |line: &str| assert!(text.lines().any(|it| it == line), "{line} in {text}");
        has(r#"operation_overdue_looks_total{kind="stop"} 1"#);
        has(r#"operation_duration_seconds_sum{kind="stop",state="failed"} 60"#);
    }
}
