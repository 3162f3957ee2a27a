//! Health checks of endpoints that answer, half answer and do not answer.

use std::time::{Duration, Instant};

use devstack::receiver::{Habit, Receiver, closed_port};
use serde_json::json;
use tokio::net::TcpListener;
use worker::health::{
    CheckError, Endpoint, EndpointKind, EndpointStatus, HealthReport, OverallStatus, check,
};
use worker::outbound::{FailureReason, Guard};

use crate::support::{LAX, outbound};

const TIMEOUT: Duration = Duration::from_secs(2);

fn http(url: impl Into<String>) -> Endpoint {
    Endpoint {
        port: 8000,
        kind: EndpointKind::Http,
        endpoint: url.into(),
    }
}

fn tcp(endpoint: impl Into<String>) -> Endpoint {
    Endpoint {
        port: 22,
        kind: EndpointKind::Tcp,
        endpoint: endpoint.into(),
    }
}

async fn report(endpoints: &[Endpoint]) -> HealthReport {
    check(&outbound(LAX), endpoints, TIMEOUT).await.unwrap()
}

async fn error(endpoint: Endpoint) -> Option<String> {
    let report = report(&[endpoint]).await;
    let found = &report.endpoints[0];
    assert_eq!(
        found.status == EndpointStatus::Healthy,
        found.error.is_none()
    );
    found.error.map(|error| error.to_string())
}

#[tokio::test]
async fn successes_and_redirects_are_healthy_and_redirects_are_not_followed() {
    for status in ["200 OK", "204 No Content", "302 Found", "308 Permanent"] {
        let receiver = Receiver::status(status, "Location: http://127.0.0.1:1/\r\n")
            .await
            .unwrap();
        assert_eq!(error(http(receiver.url())).await, None, "{status}");
        assert_eq!(receiver.connections(), 1);
        let request = &receiver.requests()[0];
        assert!(
            request.starts_with("GET /hook?x=1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("\r\nx-health-check: true\r\n"),
            "{request}"
        );
    }
    for status in [400, 401, 404, 500, 502] {
        let receiver = Receiver::status(&format!("{status} X"), "").await.unwrap();
        assert_eq!(
            error(http(receiver.url())).await,
            Some(format!("http_{status}"))
        );
    }
}

#[tokio::test]
async fn a_proxys_error_page_with_a_good_status_is_unhealthy() {
    for phrase in [
        "502 Bad Gateway",
        "upstream error",
        "Service Unavailable",
        "Maintenance Mode",
    ] {
        let page = format!("<html><h1>{phrase}</h1></html>");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{page}",
            page.len()
        );
        let receiver = Receiver::saying(answer).await.unwrap();
        assert_eq!(
            error(http(receiver.url())).await.as_deref(),
            Some("gateway_error_page")
        );
    }
    let receiver = Receiver::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await
        .unwrap();
    assert_eq!(error(http(receiver.url())).await, None);
}

#[tokio::test]
async fn a_tcp_endpoint_is_healthy_when_it_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    assert_eq!(error(tcp(addr.to_string())).await, None);
    assert_eq!(
        error(tcp(format!("tcp://localhost:{}", addr.port()))).await,
        None
    );
    drop(listener);
    assert_eq!(
        error(tcp(addr.to_string())).await.as_deref(),
        Some("connection_refused")
    );
    for malformed in [
        "",
        "127.0.0.1",
        "127.0.0.1:99999",
        "127.0.0.1:ssh",
        ":22",
        "a b:22",
    ] {
        assert_eq!(
            error(tcp(malformed)).await.as_deref(),
            Some("url_invalid"),
            "{malformed}"
        );
    }
}

#[tokio::test]
async fn all_are_checked_side_by_side_and_summed_up() {
    let good = Receiver::status("200 OK", "").await.unwrap();
    let hangs = Receiver::with(Habit::Silent).await.unwrap();
    let endpoints = [
        http(good.url()),
        http(hangs.url()),
        http(hangs.url()),
        tcp(good.addr().to_string()),
    ];
    let started = Instant::now();
    let partial = report(&endpoints).await;
    assert!(
        started.elapsed() < TIMEOUT * 2,
        "the two that hang wait together"
    );
    assert_eq!(partial.overall_status, OverallStatus::Partial);
    let errors: Vec<_> = partial.endpoints.iter().map(|it| it.error).collect();
    let timed_out = Some(CheckError::Failed(FailureReason::TimeoutResponse));
    assert_eq!(errors, [None, timed_out, timed_out, None]);

    assert_eq!(
        report(&endpoints[..1]).await.overall_status,
        OverallStatus::Healthy
    );
    assert_eq!(
        report(&endpoints[1..3]).await.overall_status,
        OverallStatus::Unhealthy
    );
    assert_eq!(check(&outbound(LAX), &[], TIMEOUT).await, None);
}

#[tokio::test]
async fn the_report_has_the_shape_that_callers_know() {
    let endpoint = format!("http://{}/", closed_port().await.unwrap());
    let mut report = serde_json::to_value(report(&[http(&endpoint)]).await).unwrap();
    for time in ["/startedAt", "/completedAt", "/endpoints/0/lastChecked"] {
        let time = report.pointer_mut(time).unwrap().take();
        let time = time.as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        time.parse::<jiff::Timestamp>().unwrap();
    }
    for duration in ["/totalResponseTime", "/endpoints/0/responseTime"] {
        assert!(report.pointer_mut(duration).unwrap().take().is_u64());
    }
    assert_eq!(
        report,
        json!({
            "overallStatus": "unhealthy",
            "endpoints": [{
                "port": 8000, "endpoint": endpoint, "type": "http", "status": "unhealthy",
                "error": "connection_refused", "lastChecked": null, "responseTime": null,
            }],
            "startedAt": null, "completedAt": null, "totalResponseTime": null,
        })
    );
}

#[tokio::test]
async fn with_the_guard_up_nothing_local_is_touched() {
    let receiver = Receiver::status("200 OK", "").await.unwrap();
    let strict = outbound(Guard {
        allow_private: false,
        allow_http: true,
    });
    let endpoints = [
        http(receiver.url()),
        tcp(receiver.addr().to_string()),
        tcp("localhost:22"),
    ];
    let report = check(&strict, &endpoints, TIMEOUT).await.unwrap();
    for found in report.endpoints {
        assert_eq!(
            found.error,
            Some(CheckError::Failed(FailureReason::AddressBlocked))
        );
    }
    assert_eq!(receiver.connections(), 0);
}
