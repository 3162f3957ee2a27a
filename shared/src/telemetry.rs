//! Logs and metrics, set up once per process.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::Common;

/// Seconds; fine where Redis and the provider usually answer.
const DURATION_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Seconds; what callers ask for takes a machine's boot, or many.
const OPERATION_BUCKETS: [f64; 10] = [
    1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0,
];

/// Starts logging to standard error, as JSON lines or as text for people.
pub fn start_logging(common: &Common) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        // The libraries' own chatter only matters when something is wrong with them.
        EnvFilter::new(format!(
            "{},hyper=warn,hyper_util=warn,reqwest=warn",
            common.log_level
        ))
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start in one process (tests) keeps the first.
    let _ = if common.log_json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
}

/// Installs the process-wide metrics recorder; the handle renders Prometheus text.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(
            Matcher::Full("operation_duration_seconds".to_owned()),
            &OPERATION_BUCKETS,
        )?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATION_BUCKETS)?
        .install_recorder()?;
    describe_redis();
    Ok(handle)
}

/// The metrics of talking to Redis, which every process has.
fn describe_redis() {
    use metrics::{Unit, describe_counter, describe_histogram};
    describe_counter!(
        "redis_requests_total",
        "Requests to Redis, by transport and outcome"
    );
    describe_counter!(
        "redis_retries_total",
        "Requests that were sent again after a failure"
    );
    describe_counter!(
        "redis_billed_commands_total",
        "Commands that Upstash would bill for, those inside scripts included, by command or script"
    );
    describe_counter!(
        "redis_subscription_losses_total",
        "Subscriptions that ended and were made anew"
    );
    describe_histogram!(
        "redis_request_duration_seconds",
        Unit::Seconds,
        "Round trips to Redis, by transport"
    );
    describe_histogram!(
        "redis_script_duration_seconds",
        Unit::Seconds,
        "Calls of scripts, retries included, by script"
    );
    // A counter that begins with its first event cannot be seen to rise.
    metrics::counter!("redis_retries_total").increment(0);
    metrics::counter!("redis_subscription_losses_total").increment(0);
}
