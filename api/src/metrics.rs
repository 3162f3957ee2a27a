//! Every metric of this process, declared once.

use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Gives every metric of this process its help text and unit.
pub(crate) fn describe() {
    shared::queue::describe();
    describe_gauge!(
        "budget_hourly_usd",
        "The most that all instances together may cost per hour; absent without a limit"
    );
    describe_gauge!(
        "budget_reserved_hourly_usd",
        "What all instances together have reserved of that limit"
    );
    describe_gauge!("http_connections", "Open connections");
    describe_counter!(
        "http_requests_total",
        "Answered requests, by route, method and status"
    );
    describe_counter!(
        "http_auth_failures_total",
        "Requests without the key that they need"
    );
    describe_counter!(
        "http_rate_unknown_total",
        "Times at which a process let requests through by its own count, because Redis did not tell"
    );
    describe_gauge!(
        "redis_breaker_open",
        "1 while Redis does not answer and callers are told so at once"
    );
    describe_counter!(
        "redis_not_asked_total",
        "Requests that were not sent to Redis, because it did not answer (open) or too many waited (full)"
    );
    describe_histogram!(
        "http_request_duration_seconds",
        Unit::Seconds,
        "Requests from the head to the answer, by route"
    );
    // A rate over a counter that is not there yet misses its first increase.
    counter!("http_auth_failures_total").increment(0);
    counter!("http_rate_unknown_total").increment(0);
}

/// Counts an open connection for as long as it lives.
#[derive(Debug)]
pub(crate) struct Connection(());

impl Connection {
    pub(crate) fn open() -> Self {
        gauge!("http_connections").increment(1.0);
        Self(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        gauge!("http_connections").decrement(1.0);
    }
}

/// Records an answered request under its route pattern, never its path.
pub(crate) fn answered(
    route: &'static str,
    method: &Method,
    status: StatusCode,
    duration: Duration,
) {
    counter!("http_requests_total",
        "route" => route, "method" => known(method), "status" => status.as_str().to_owned())
    .increment(1);
    histogram!("http_request_duration_seconds", "route" => route).record(duration);
}

/// Counts a request whose caller is not known.
pub(crate) fn refused() {
    counter!("http_auth_failures_total").increment(1);
}

/// Counts a portion of requests that was not taken from the shared ones.
pub(crate) fn rate_unknown() {
    counter!("http_rate_unknown_total").increment(1);
}

/// Callers invent methods; labels must stay few.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "other",
    }
}
