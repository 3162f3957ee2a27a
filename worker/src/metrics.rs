//! The worker's metrics: what they mean, and how they are recorded.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, histogram};
use shared::clock::Millis;
use shared::queue::{JobId, JobKind, Reservation, Settlement};

/// Gives every metric of this process its help text and unit.
pub(crate) fn describe() {
    shared::queue::describe();
    describe_gauge!("worker_jobs_running", "Jobs being worked on");
    describe_counter!(
        "instance_drifts_total",
        "Provider words that nobody here asked for"
    );
    describe_counter!(
        "novita_requests_total",
        "Calls to the provider, by operation and outcome"
    );
    describe_histogram!(
        "novita_request_duration_seconds",
        Unit::Seconds,
        "Calls to the provider, by operation"
    );
    describe_counter!(
        "webhook_attempts_total",
        "Attempts to deliver a webhook, by reason"
    );
    describe_histogram!(
        "webhook_attempt_duration_seconds",
        Unit::Seconds,
        "Attempts to deliver a webhook"
    );
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
