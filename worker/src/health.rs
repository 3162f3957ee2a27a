//! Whether the endpoints of a running instance answer.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::outbound::{FailureReason, Outbound};

const MAX_BODY_BYTES: usize = 16 * 1024;

/// Error pages that proxies in front of an instance serve with a successful status.
const ERROR_PHRASES: [&str; 10] = [
    "bad gateway",
    "gateway error",
    "upstream error",
    "proxy error",
    "service unavailable",
    "temporarily unavailable",
    "maintenance mode",
    "internal server error",
    "application error",
    "server error occurred",
];

/// One endpoint to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The port inside the instance that it maps.
    pub port: u16,
    /// How it is checked.
    pub kind: EndpointKind,
    /// A URL for HTTP; `host:port`, with or without `tcp://`, for TCP.
    pub endpoint: String,
}

/// How an endpoint is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointKind {
    /// By a GET that follows no redirect: 200 to 399 and no proxy's error page.
    Http,
    /// By opening a connection.
    Tcp,
}

/// What one check found, in the shape callers of the API see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHealth {
    /// As in [`Endpoint`].
    pub port: u16,
    /// As in [`Endpoint`].
    pub endpoint: String,
    /// As in [`Endpoint`].
    #[serde(rename = "type")]
    pub kind: EndpointKind,
    /// The finding.
    pub status: EndpointStatus,
    /// Why it is unhealthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<CheckError>,
    /// When the check ended.
    #[serde(serialize_with = "milliseconds")]
    pub last_checked: Timestamp,
    /// How long it took, in milliseconds.
    pub response_time: u64,
}

/// The finding for one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the two words say it")]
pub enum EndpointStatus {
    Healthy,
    Unhealthy,
}

/// Why an endpoint is unhealthy, as a stable word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The exchange failed, or its status was not a success.
    #[error("{0}")]
    Failed(#[from] FailureReason),
    /// The status was fine and the body was a proxy's error page.
    #[error("gateway_error_page")]
    ErrorPage,
}

/// The findings for all endpoints of an instance, in the order they were given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthReport {
    /// The sum of the findings.
    pub overall_status: OverallStatus,
    /// The findings.
    pub endpoints: Vec<EndpointHealth>,
    /// When the checks began.
    #[serde(serialize_with = "milliseconds")]
    pub started_at: Timestamp,
    /// When the last one ended.
    #[serde(serialize_with = "milliseconds")]
    pub completed_at: Timestamp,
    /// How long they took together, in milliseconds; they run side by side.
    pub total_response_time: u64,
}

/// The sum of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OverallStatus {
    /// Every endpoint is healthy.
    Healthy,
    /// Some are.
    Partial,
    /// None is.
    Unhealthy,
}

impl Serialize for CheckError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// RFC 3339 with exactly three fractional digits, as JavaScript prints it.
fn milliseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// Checks all endpoints at once, each within `timeout`. `None` when there is none to check.
pub async fn check(
    outbound: &Outbound,
    endpoints: &[Endpoint],
    timeout: Duration,
) -> Option<HealthReport> {
    if endpoints.is_empty() {
        return None;
    }
    let (started_at, clock) = (Timestamp::now(), Instant::now());
    let endpoints = join_all(endpoints.iter().map(|it| check_one(outbound, it, timeout))).await;
    Some(HealthReport {
        overall_status: overall(&endpoints),
        endpoints,
        started_at,
        completed_at: Timestamp::now(),
        total_response_time: clock.elapsed().as_millis() as u64,
    })
}

fn overall(endpoints: &[EndpointHealth]) -> OverallStatus {
    let healthy = endpoints
        .iter()
        .filter(|it| it.status == EndpointStatus::Healthy)
        .count();
    match healthy {
        0 => OverallStatus::Unhealthy,
        n if n == endpoints.len() => OverallStatus::Healthy,
        _ => OverallStatus::Partial,
    }
}

async fn check_one(outbound: &Outbound, endpoint: &Endpoint, timeout: Duration) -> EndpointHealth {
    let started = tokio::time::Instant::now();
    let deadline = started + timeout;
    let found = match endpoint.kind {
        EndpointKind::Http => get(outbound, &endpoint.endpoint, deadline).await,
        EndpointKind::Tcp => outbound
            .probe_tcp(&endpoint.endpoint, deadline)
            .await
            .map_err(CheckError::from),
    };
    EndpointHealth {
        port: endpoint.port,
        endpoint: endpoint.endpoint.clone(),
        kind: endpoint.kind,
        status: if found.is_ok() {
            EndpointStatus::Healthy
        } else {
            EndpointStatus::Unhealthy
        },
        error: found.err(),
        last_checked: Timestamp::now(),
        response_time: started.elapsed().as_millis() as u64,
    }
}

async fn get(
    outbound: &Outbound,
    url: &str,
    deadline: tokio::time::Instant,
) -> Result<(), CheckError> {
    let target = outbound
        .guard()
        .check_url(url)
        .map_err(FailureReason::from)?;
    let headers = HeaderMap::from_iter([
        (
            HeaderName::from_static("x-health-check"),
            HeaderValue::from_static("true"),
        ),
        (
            USER_AGENT,
            HeaderValue::from_static(concat!("novita-worker/", env!("CARGO_PKG_VERSION"))),
        ),
    ]);
    let reply = outbound
        .send(
            &target,
            Method::GET,
            headers,
            Bytes::new(),
            MAX_BODY_BYTES,
            deadline,
        )
        .await?;
    if !(reply.status.is_success() || reply.status.is_redirection()) {
        return Err(FailureReason::Http(reply.status.as_u16()).into());
    }
    let page = String::from_utf8_lossy(&reply.body).to_lowercase();
    if ERROR_PHRASES.iter().any(|phrase| page.contains(phrase)) {
        return Err(CheckError::ErrorPage);
    }
    Ok(())
}
