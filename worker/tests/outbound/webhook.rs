//! One delivery attempt, whatever the receiver does.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use worker::outbound::{CallContext, FailureReason, Guard};
use worker::webhook::{
    Attempt, Deliverer, DelivererOptions, Delivery, Failure, Outcome, Secret, legacy_signature,
    standard_signature,
};

use crate::receiver::{LAX, Receiver, closed_port, outbound};

const NOW: u64 = 1_792_566_000; // Wed, 21 Oct 2026 07:00:00 GMT
/// Longer than any machine needs.
const PATIENT: Duration = Duration::from_secs(20);
/// For receivers that are given up on.
const HASTY: Duration = Duration::from_millis(300);

fn deliverer(guard: Guard, secrets: &[&str], timeout: Duration) -> Deliverer {
    let options = DelivererOptions {
        timeout,
        secrets: secrets
            .iter()
            .map(|text| Secret::parse(text).unwrap())
            .collect(),
        user_agent: HeaderValue::from_static("novita-webhooks/1"),
    };
    Deliverer::new(outbound(guard), options)
}

fn delivery(url: impl Into<String>) -> Delivery {
    Delivery {
        id: "msg_01".into(),
        url: url.into(),
        body: Bytes::from_static(br#"{"instanceId":"i"}"#),
        headers: std::collections::BTreeMap::new(),
        context: CallContext {
            traceparent: Some("00-a-b-01".into()),
            correlation_id: None,
        },
    }
}

async fn attempt(url: impl Into<String>) -> Attempt {
    deliverer(LAX, &[], PATIENT)
        .deliver(&delivery(url), NOW)
        .await
}

async fn hasty_attempt(url: String) -> Attempt {
    let attempt = deliverer(LAX, &[], HASTY)
        .deliver(&delivery(url), NOW)
        .await;
    assert!(attempt.duration >= HASTY && attempt.duration < HASTY + Duration::from_secs(1));
    attempt
}

fn failure(attempt: &Attempt) -> Failure {
    let Outcome::Failed(failure) = attempt.outcome else {
        panic!("{attempt:?}")
    };
    failure
}

async fn reason(url: impl Into<String>) -> String {
    failure(&attempt(url).await).reason.to_string()
}

#[tokio::test]
async fn f28_the_body_arrives_byte_for_byte_with_both_signatures() {
    let receiver = Receiver::status("204 No Content", "").await;
    let outcome = deliverer(LAX, &["s3cr3t", "old"], PATIENT)
        .deliver(&delivery(receiver.url()), NOW)
        .await;
    assert_eq!(outcome.outcome, Outcome::Delivered { status: 204 });

    let requests = receiver.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert_eq!(body, r#"{"instanceId":"i"}"#);
    let secrets = ["s3cr3t", "old"].map(|text| Secret::parse(text).unwrap());
    let standard = secrets
        .each_ref()
        .map(|s| standard_signature(s, "msg_01", NOW, body.as_bytes()));
    let lines: Vec<_> = head.lines().collect();
    assert_eq!(lines[0], "POST /hook?x=1 HTTP/1.1");
    for line in [
        format!("host: {}", receiver.addr()),
        format!("webhook-signature: {}", standard.join(" ")),
        format!(
            "x-webhook-signature: {}",
            legacy_signature(&secrets[0], body.as_bytes())
        ),
        format!("webhook-timestamp: {NOW}"),
        format!("x-webhook-timestamp: {NOW}"),
        "webhook-id: msg_01".to_owned(),
        "content-type: application/json".to_owned(),
        "user-agent: novita-webhooks/1".to_owned(),
        "accept-encoding: identity".to_owned(),
        "traceparent: 00-a-b-01".to_owned(),
    ] {
        assert!(lines.contains(&line.as_str()), "{line} in {head}");
    }
}

#[tokio::test]
async fn two_hundreds_are_delivered_410_is_gone_and_all_else_fails() {
    for status in [200, 201, 202, 204, 299] {
        let receiver = Receiver::status(&format!("{status} X"), "").await;
        assert_eq!(
            attempt(receiver.url()).await.outcome,
            Outcome::Delivered { status }
        );
    }
    let receiver = Receiver::status("410 Gone", "").await;
    assert_eq!(attempt(receiver.url()).await.outcome, Outcome::Gone);
    for status in [
        300, 304, 400, 401, 403, 404, 405, 413, 422, 429, 500, 502, 503, 504, 600, 999,
    ] {
        let receiver = Receiver::status(&format!("{status} X"), "").await;
        let failure = failure(&attempt(receiver.url()).await);
        assert_eq!(failure.reason.to_string(), format!("http_{status}"));
        assert_eq!(failure.status, Some(status));
    }
    let receiver = Receiver::saying(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(
        attempt(receiver.url()).await.outcome,
        Outcome::Delivered { status: 200 }
    );
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_nobody_calls_its_target() {
    let target = Receiver::status("200 OK", "").await;
    for status in [301, 302, 303, 307, 308] {
        for location in [
            target.url(),
            "/elsewhere".to_owned(),
            "http://169.254.169.254/".to_owned(),
        ] {
            let headers = format!("Location: {location}\r\n");
            let receiver = Receiver::status(&format!("{status} Moved"), &headers).await;
            let failure = failure(&attempt(receiver.url()).await);
            assert_eq!(
                (failure.reason, failure.status),
                (FailureReason::Redirect, Some(status))
            );
            assert_eq!(receiver.connections(), 1);
        }
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn retry_after_is_read_against_the_given_clock() {
    for (value, seconds) in [
        ("7", Some(7)),
        ("Wed, 21 Oct 2026 07:10:00 GMT", Some(600)),
        ("x", None),
    ] {
        let receiver = Receiver::status("429 Slow", &format!("Retry-After: {value}\r\n")).await;
        let failure = failure(&attempt(receiver.url()).await);
        assert_eq!(
            failure.retry_after,
            seconds.map(Duration::from_secs),
            "{value}"
        );
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_left_at_the_deadline() {
    let receiver = Receiver::silent().await;
    let attempt = hasty_attempt(receiver.url()).await;
    assert_eq!(failure(&attempt).reason, FailureReason::TimeoutResponse);
}

#[tokio::test]
async fn a_head_that_drips_is_left_at_the_deadline() {
    let receiver = Receiver::start(|mut stream| async move {
        for byte in "HTTP/1.1 200 OK\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".bytes() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(HASTY / 10).await;
        }
    })
    .await;
    let attempt = hasty_attempt(receiver.url()).await;
    assert_eq!(failure(&attempt).reason, FailureReason::TimeoutResponse);
}

#[tokio::test]
async fn a_body_that_drips_is_cut_at_the_deadline_and_its_status_counts() {
    let receiver = Receiver::start(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
            .await;
        while stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(HASTY / 10).await;
        }
    })
    .await;
    let attempt = hasty_attempt(receiver.url()).await;
    assert_eq!(attempt.outcome, Outcome::Delivered { status: 200 });
}

#[tokio::test]
async fn of_a_huge_body_little_is_read_and_the_receiver_is_hung_up_on() {
    let (sent, total) = tokio::sync::oneshot::channel();
    let sent = std::sync::Mutex::new(Some(sent));
    let receiver = Receiver::start(move |mut stream| {
        let sent = sent.lock().unwrap().take().unwrap();
        async move {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
                .await;
            let mut written = 0_u64;
            while stream.write_all(&vec![b'x'; 65536]).await.is_ok() {
                written += 65536;
            }
            sent.send(written).unwrap();
        }
    })
    .await;
    let attempt = attempt(receiver.url()).await;
    assert_eq!(attempt.outcome, Outcome::Delivered { status: 200 });
    assert!(attempt.duration < PATIENT, "{attempt:?}");
    // What fits into the sockets' buffers, and not ten gigabytes.
    assert!(total.await.unwrap() < 64 << 20);
}

#[tokio::test]
async fn a_receiver_that_hangs_up_sees_one_request_and_no_resend() {
    let receiver = Receiver::start(|_stream| async {}).await;
    assert_eq!(reason(receiver.url()).await, "connection_reset");
    assert_eq!((receiver.connections(), receiver.requests().len()), (1, 1));

    let receiver = Receiver::saying("HTTP/1.1 200 OK\r\nContent-Le").await;
    assert_eq!(reason(receiver.url()).await, "connection_reset");
    assert_eq!((receiver.connections(), receiver.requests().len()), (1, 1));
}

#[tokio::test]
async fn each_attempt_has_a_connection_of_its_own() {
    let receiver = Receiver::start(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        // Stays open for a second request, until the client closes.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    })
    .await;
    let deliverer = deliverer(LAX, &[], PATIENT);
    for expected in 1..=3 {
        deliverer.deliver(&delivery(receiver.url()), NOW).await;
        assert_eq!(receiver.connections(), expected);
    }
}

#[tokio::test]
async fn what_is_not_http_is_named() {
    let huge = format!("HTTP/1.1 200 OK\r\nX-Big: {}\r\n\r\n", "x".repeat(1 << 20));
    for (answer, expected) in [
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(), "protocol_error"),
        ("HTTP/1.1 two hundred\r\n\r\n".to_owned(), "protocol_error"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            "protocol_error",
        ),
        (
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(1000)),
            "response_too_large",
        ),
        (huge, "response_too_large"),
    ] {
        let receiver = Receiver::saying(answer.clone()).await;
        assert_eq!(reason(receiver.url()).await, expected, "{answer:.40}");
    }
}

#[tokio::test]
async fn a_closed_port_is_refused() {
    assert_eq!(
        reason(format!("http://{}/", closed_port().await)).await,
        "connection_refused"
    );
}

#[tokio::test]
async fn with_the_guard_up_no_spelling_of_loopback_gets_a_connection() {
    let receiver = Receiver::status("200 OK", "").await;
    let port = receiver.addr().port();
    let strict = deliverer(
        Guard {
            allow_private: false,
            allow_http: true,
        },
        &[],
        PATIENT,
    );
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "0",
        "[::1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let attempt = strict.deliver(&delivery(&url), NOW).await;
        assert_eq!(
            failure(&attempt).reason,
            FailureReason::AddressBlocked,
            "{url}"
        );
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_url_or_id_that_cannot_be_used_sends_nothing() {
    let receiver = Receiver::status("200 OK", "").await;
    let https_only = deliverer(
        Guard {
            allow_private: true,
            allow_http: false,
        },
        &[],
        PATIENT,
    );
    let attempt = https_only.deliver(&delivery(receiver.url()), NOW).await;
    assert_eq!(failure(&attempt).reason, FailureReason::UrlInvalid);
    let dotted = Delivery {
        id: "msg.1".into(),
        ..delivery(receiver.url())
    };
    let attempt = deliverer(LAX, &[], PATIENT).deliver(&dotted, NOW).await;
    assert_eq!(failure(&attempt).reason, FailureReason::Internal);
    assert_eq!(receiver.connections(), 0);
}
