//! One attempt at each receiver that misbehaves: what is recorded, and how often it was called.

use std::time::Duration;

use bytes::Bytes;
use devstack::receiver::{BlackHole, Habit, Receiver, closed_port};
use http::HeaderValue;
use worker::outbound::CallContext;
use worker::webhook::{Attempt, Deliverer, DelivererOptions, Delivery, Failure, Outcome, Secret};

use crate::support::{LAX, outbound};

const NOW: u64 = 1_792_566_000; // Wed, 21 Oct 2026 07:00:00 GMT
/// Longer than any machine needs.
const PATIENT: Duration = Duration::from_secs(20);
/// For receivers that are given up on.
const HASTY: Duration = Duration::from_millis(300);
/// So much over the deadline is a busy machine's.
const LATE: Duration = Duration::from_secs(1);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn deliverer(timeout: Duration) -> Deliverer {
    let options = DelivererOptions {
        timeout,
        secrets: vec![Secret::parse("s3cr3t").unwrap()],
        user_agent: HeaderValue::from_static("test"),
    };
    Deliverer::new(outbound(LAX), options)
}

fn delivery(url: impl Into<String>) -> Delivery {
    Delivery {
        id: "evt_1".into(),
        url: url.into(),
        body: Bytes::from_static(b"{}"),
        headers: std::collections::BTreeMap::new(),
        context: CallContext::default(),
    }
}

async fn attempt(url: impl Into<String>) -> Attempt {
    deliverer(PATIENT).deliver(&delivery(url), NOW).await
}

/// What is recorded of an attempt: the status of a delivery, or the reason of a failure.
fn word(attempt: &Attempt) -> String {
    match attempt.outcome {
        Outcome::Delivered { status } => status.to_string(),
        Outcome::Gone => "gone".to_owned(),
        Outcome::Failed(failure) => failure.reason.to_string(),
    }
}

fn failure(attempt: &Attempt) -> Failure {
    match attempt.outcome {
        Outcome::Failed(failure) => failure,
        Outcome::Delivered { .. } | Outcome::Gone => panic!("{attempt:?}"),
    }
}

fn status(status: impl std::fmt::Display) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")
}

/// D01 to D03, D05, D06, D09: only 200 to 299 count.
#[tokio::test]
async fn every_status_is_recorded_as_what_it_is() {
    for code in [200, 201, 202, 204, 299] {
        let receiver = Receiver::saying(status(code)).await.unwrap();
        let attempt = attempt(receiver.url()).await;
        assert_eq!(word(&attempt), code.to_string(), "D01");
    }
    let interim = format!("HTTP/1.1 100 Continue\r\n\r\n{OK}");
    let receiver = Receiver::saying(interim).await.unwrap();
    assert_eq!(word(&attempt(receiver.url()).await), "200", "D02");
    for code in [
        300, 304, 305, 400, 401, 403, 404, 405, 413, 422, 429, 451, 500, 502, 503, 504, 600, 999,
    ] {
        let receiver = Receiver::saying(status(code)).await.unwrap();
        let attempt = attempt(receiver.url()).await;
        assert_eq!(word(&attempt), format!("http_{code}"), "D03 D05 D06 D09");
        assert_eq!(failure(&attempt).status, Some(code));
    }
    // 199 is an interim answer, after which the final one never comes.
    let receiver = Receiver::saying(status(199)).await.unwrap();
    assert_eq!(word(&attempt(receiver.url()).await), "connection_reset");
    let receiver = Receiver::saying(status(410)).await.unwrap();
    assert_eq!(word(&attempt(receiver.url()).await), "gone", "D07");
}

/// D04.
#[tokio::test]
async fn a_redirect_is_a_failure_and_nobody_calls_its_target() {
    let target = Receiver::saying(OK).await.unwrap();
    for code in [301, 302, 303, 307, 308] {
        for location in [&target.url(), "/elsewhere", "http://169.254.169.254/", "?"] {
            let answer =
                format!("HTTP/1.1 {code} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            let receiver = Receiver::saying(answer).await.unwrap();
            let attempt = attempt(receiver.url()).await;
            assert_eq!(word(&attempt), "redirect");
            assert_eq!(failure(&attempt).status, Some(code));
            assert_eq!(receiver.connections(), 1);
        }
    }
    assert_eq!(target.connections(), 0);
}

/// D08; the vectors of `Retry-After` are beside the schedule.
#[tokio::test]
async fn retry_after_is_read_against_the_given_clock() {
    for (value, seconds) in [
        ("7", Some(7)),
        ("Wed, 21 Oct 2026 07:10:00 GMT", Some(600)),
        ("x", None),
    ] {
        let headers = format!("Retry-After: {value}\r\n");
        let receiver = Receiver::status("429 Slow", &headers).await.unwrap();
        let asked = failure(&attempt(receiver.url()).await).retry_after;
        assert_eq!(asked, seconds.map(Duration::from_secs), "{value}");
    }
}

/// D10 to D12, D14.
#[tokio::test]
async fn whoever_takes_too_long_is_left_at_the_deadline_whatever_is_missing() {
    let pause = HASTY / 10;
    for (habit, expected) in [
        (Habit::Silent, "timeout_response"),
        (Habit::DripsHead(pause), "timeout_response"),
        // The status has counted by then.
        (Habit::DripsBody(pause), "200"),
    ] {
        let receiver = Receiver::with(habit.clone()).await.unwrap();
        let attempt = hasty(receiver.url()).await;
        assert_eq!(word(&attempt), expected, "{habit:?}");
    }
    let deaf = Receiver::with(Habit::Deaf).await.unwrap();
    let url = format!("https://{}/", deaf.addr());
    assert_eq!(word(&hasty(url).await), "timeout_tls", "D11");
    let hole = BlackHole::start().await.unwrap();
    let url = format!("http://{}/", hole.addr());
    assert_eq!(word(&hasty(url).await), "timeout_connect", "D12");
}

async fn hasty(url: String) -> Attempt {
    let attempt = deliverer(HASTY).deliver(&delivery(url), NOW).await;
    let took = attempt.duration;
    assert!((HASTY..HASTY + LATE).contains(&took), "{attempt:?}");
    attempt
}

/// D15, D16: nothing is unpacked, and what is too much is left where it is.
#[tokio::test]
async fn of_a_huge_or_packed_body_little_is_read() {
    for habit in [Habit::Floods, Habit::claims_gzip()] {
        let receiver = Receiver::with(habit).await.unwrap();
        let attempt = attempt(receiver.url()).await;
        assert_eq!(word(&attempt), "200");
        assert!(attempt.duration < PATIENT, "{attempt:?}");
        let request = &receiver.requests()[0];
        assert!(request.contains("\r\naccept-encoding: identity\r\n"));
    }
}

/// D17, D18.
#[tokio::test]
async fn what_is_not_http_is_named() {
    let huge = format!("HTTP/1.1 200 OK\r\nX-Big: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(1000));
    for (answer, expected) in [
        (huge.as_str(), "response_too_large"),
        (&many, "response_too_large"),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "protocol_error"),
        ("HTTP/1.1 two hundred\r\n\r\n", "protocol_error"),
        ("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", "protocol_error"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "protocol_error",
        ),
        ("HTTP/2 200\r\n\r\n", "protocol_error"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "connection_reset"),
    ] {
        let receiver = Receiver::saying(answer).await.unwrap();
        let attempt = attempt(receiver.url()).await;
        assert_eq!(word(&attempt), expected, "{answer:.40}");
        assert_eq!((receiver.connections(), receiver.requests().len()), (1, 1));
    }
    // One of the two lengths is ignored, as the standard has it; the connection is never used again.
    let both =
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let receiver = Receiver::saying(both).await.unwrap();
    assert_eq!(word(&attempt(receiver.url()).await), "200");
}

/// D19.
#[tokio::test]
async fn a_receiver_that_breaks_off_sees_one_request_and_no_resend() {
    for habit in [Habit::HangsUp, Habit::Resets] {
        let receiver = Receiver::with(habit.clone()).await.unwrap();
        let attempt = attempt(receiver.url()).await;
        assert_eq!(word(&attempt), "connection_reset", "{habit:?}");
        assert_eq!((receiver.connections(), receiver.requests().len()), (1, 1));
    }
    let nobody = format!("http://{}/", closed_port().await.unwrap());
    assert_eq!(word(&attempt(nobody).await), "connection_refused");
}

/// D20, D24: there is no idle connection that could be closed under a second request.
#[tokio::test]
async fn each_attempt_has_a_connection_of_its_own() {
    let receiver = Receiver::with(Habit::KeepsOpen).await.unwrap();
    let deliverer = deliverer(PATIENT);
    for expected in 1..=3 {
        let attempt = deliverer.deliver(&delivery(receiver.url()), NOW).await;
        assert_eq!(word(&attempt), "200");
        assert_eq!(receiver.connections(), expected);
    }
    for request in receiver.requests() {
        assert!(request.contains("\r\nconnection: close\r\n"), "{request}");
    }
}

/// D21.
#[tokio::test]
async fn an_answer_that_comes_before_the_request_was_read_counts() {
    let receiver = Receiver::with(Habit::SaysFirst(status(202).into_bytes()))
        .await
        .unwrap();
    let large = Delivery {
        body: vec![b'x'; 1 << 20].into(),
        ..delivery(receiver.url())
    };
    let attempt = deliverer(PATIENT).deliver(&large, NOW).await;
    assert_eq!(word(&attempt), "202");
}

/// D23, D25: receivers behind one host and port learn nothing of each other.
#[tokio::test]
async fn nothing_of_one_delivery_is_in_the_next() {
    let cookie = "Set-Cookie: session=1; Path=/\r\n";
    let receiver = Receiver::status("200 OK", cookie).await.unwrap();
    let deliverer = deliverer(PATIENT);
    for name in ["one", "two"] {
        let url = format!("http://{}/{name}?key={name}", receiver.addr());
        let delivery = Delivery {
            id: format!("evt_{name}"),
            ..delivery(url)
        };
        deliverer.deliver(&delivery, NOW).await;
    }
    let requests = receiver.requests();
    assert!(requests[0].contains("evt_one") && requests[1].contains("evt_two"));
    assert!(!requests[1].contains("one"), "{}", requests[1]);
    assert!(!requests[1].to_lowercase().contains("cookie"));
}

/// D35: the bytes are sent as they are.
#[tokio::test]
async fn a_body_arrives_byte_for_byte_whatever_is_in_it() {
    for body in [
        "{\"a\":\"\u{2028}\\ud800\"}".to_owned(),
        "ñ😀\r\n\r\nGET / HTTP/1.1".to_owned(),
        "x".repeat(65_537),
    ] {
        let receiver = Receiver::saying(OK).await.unwrap();
        let delivery = Delivery {
            body: body.clone().into(),
            ..delivery(receiver.url())
        };
        let attempt = deliverer(PATIENT).deliver(&delivery, NOW).await;
        assert_eq!(word(&attempt), "200");
        let request = &receiver.requests()[0];
        let (_, sent) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(sent, body);
    }
}
