//! What the worker's metrics mean. Each is recorded where its fact arises.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Gives every metric of this process its help text and unit.
pub(crate) fn describe() {
    describe_counter!("worker_jobs_total", "Jobs worked on, by kind");
    describe_gauge!("worker_jobs_running", "Jobs being worked on");
    describe_counter!("worker_wakeups_total", "Wake-up messages from Redis");
    describe_counter!("worker_panics_total", "Jobs whose handler panicked");
    describe_counter!(
        "worker_leases_lost_total",
        "Leases that passed to another worker while their job was running"
    );
    describe_counter!(
        "worker_stale_results_total",
        "Results that came after their lease had passed to another worker"
    );
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
