//! What one attempt sends, and what it refuses to send.

use std::time::Duration;

use bytes::Bytes;
use devstack::receiver::Receiver;
use http::HeaderValue;
use worker::outbound::{CallContext, FailureReason, Guard};
use worker::webhook::{
    Attempt, Deliverer, DelivererOptions, Delivery, Failure, Outcome, Secret, legacy_signature,
    standard_signature,
};

use crate::support::{LAX, outbound};

const NOW: u64 = 1_792_566_000; // Wed, 21 Oct 2026 07:00:00 GMT
/// Longer than any machine needs.
const PATIENT: Duration = Duration::from_secs(20);

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

fn failure(attempt: &Attempt) -> Failure {
    let Outcome::Failed(failure) = attempt.outcome else {
        panic!("{attempt:?}")
    };
    failure
}

#[tokio::test]
async fn f28_the_body_arrives_byte_for_byte_with_both_signatures() {
    let receiver = Receiver::status("204 No Content", "").await.unwrap();
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
async fn with_the_guard_up_no_spelling_of_loopback_gets_a_connection() {
    let receiver = Receiver::status("200 OK", "").await.unwrap();
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
    let receiver = Receiver::status("200 OK", "").await.unwrap();
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
