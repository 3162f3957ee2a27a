//! Where names lead: whatever they resolve to, no connection reaches what is not public.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use devstack::receiver::{Habit, Receiver};
use futures_util::future::BoxFuture;
use http::HeaderValue;
use worker::outbound::{CallContext, FailureReason, Guard, Resolve};
use worker::webhook::{Deliverer, DelivererOptions, Delivery, Outcome};

use crate::support::{LAX, outbound};

/// Public hosts only, but over plain HTTP, so that an accepted connection would be seen.
const STRICT: Guard = Guard {
    allow_private: false,
    allow_http: true,
};

/// Answers one after the other, the last one for ever, and counts the questions.
#[derive(Debug, Default)]
struct Stub {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<String>>,
}

#[derive(Debug, Clone)]
enum Answer {
    These(Vec<IpAddr>),
    Fails,
    Never,
}

fn these(ips: &[&str]) -> Answer {
    Answer::These(ips.iter().map(|ip| ip.parse().unwrap()).collect())
}

impl Stub {
    fn of(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
        })
    }

    fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Resolve for Stub {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            1 => answers.front().cloned(),
            _ => answers.pop_front(),
        };
        Box::pin(async move {
            match answer.unwrap() {
                Answer::These(ips) => Ok(ips),
                Answer::Fails => Err(io::Error::other("no such name")),
                Answer::Never => std::future::pending().await,
            }
        })
    }
}

async fn attempt(guard: Guard, stub: &Arc<Stub>, url: String) -> Outcome {
    let options = DelivererOptions {
        timeout: Duration::from_secs(4),
        secrets: vec![],
        user_agent: HeaderValue::from_static("test"),
    };
    let delivery = Delivery {
        id: "evt_1".into(),
        url,
        body: Bytes::from_static(b"{}"),
        headers: std::collections::BTreeMap::new(),
        context: CallContext::default(),
    };
    let resolver: Arc<dyn Resolve> = Arc::<Stub>::clone(stub);
    let outbound = outbound(guard).resolving_by(resolver);
    let deliverer = Deliverer::new(outbound, options);
    deliverer.deliver(&delivery, 1).await.outcome
}

async fn reason(guard: Guard, stub: &Arc<Stub>, url: String) -> FailureReason {
    match attempt(guard, stub, url).await {
        Outcome::Failed(failure) => failure.reason,
        other => panic!("{other:?}"),
    }
}

async fn listening(at: &str) -> Receiver {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    Receiver::at(at, Habit::Says(answer)).await.unwrap()
}

/// W42 to W45 and W48: whatever the name is, only the answer counts, and one bad address spoils it.
#[tokio::test]
async fn a_name_that_leads_to_any_address_that_is_not_public_gets_no_connection() {
    let listener = listening("0.0.0.0:0").await;
    let url = format!("http://hooks.example.com:{}/", listener.addr().port());
    for answer in [
        &["127.0.0.1"][..],
        &["127.0.0.2"],
        &["0.0.0.0"],
        &["10.0.0.1"],
        &["172.16.0.1"],
        &["192.168.0.1"],
        &["169.254.169.254"],
        &["100.64.0.1"],
        &["192.0.0.192"],
        &["198.18.0.1"],
        &["224.0.0.1"],
        &["255.255.255.255"],
        &["::1"],
        &["::"],
        &["::ffff:127.0.0.1"],
        &["::127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
        &["fe80::1"],
        &["fd00:ec2::254"],
        &["fec0::1"],
        &["ff02::1"],
        &["2001::1"],
        &["1.1.1.1", "127.0.0.1"],
        &["127.0.0.1", "1.1.1.1"],
        &["2606:4700::1", "::1"],
    ] {
        let stub = Stub::of([these(answer)]);
        let reason = reason(STRICT, &stub, url.clone()).await;
        assert_eq!(reason, FailureReason::AddressBlocked, "{answer:?}");
        assert_eq!(stub.questions(), 1, "{answer:?}");
    }
    assert_eq!(listener.connections(), 0);
    // The listener would have been reached: it is, by who may.
    let stub = Stub::of([these(&["127.0.0.1"])]);
    attempt(LAX, &stub, url).await;
    assert_eq!(listener.connections(), 1);
}

/// W47: a second look-up within the attempt could be answered differently, so there is none.
#[tokio::test]
async fn one_attempt_asks_once_and_dials_what_it_was_told() {
    let first = listening("127.0.0.5:0").await;
    let port = first.addr().port();
    let second = listening(&format!("127.0.0.6:{port}")).await;
    let stub = Stub::of([these(&["127.0.0.5"]), these(&["127.0.0.6"])]);
    let outcome = attempt(LAX, &stub, format!("http://a.example:{port}/")).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
    assert_eq!(stub.questions(), 1);
    assert_eq!((first.connections(), second.connections()), (1, 0));
}

/// W46: what was public yesterday is looked up and vetted again today.
#[tokio::test]
async fn a_name_that_is_rebound_between_attempts_is_refused_at_the_next() {
    let listener = listening("0.0.0.0:0").await;
    let url = format!("http://a.example:{}/", listener.addr().port());
    // The metadata service stays out of bounds where private networks are allowed.
    let stub = Stub::of([these(&["127.0.0.1"]), these(&["169.254.169.254"])]);
    let first = attempt(LAX, &stub, url.clone()).await;
    assert_eq!(first, Outcome::Delivered { status: 200 });
    let second = reason(LAX, &stub, url).await;
    assert_eq!(second, FailureReason::AddressBlocked);
    assert_eq!(listener.connections(), 1);
}

/// D13.
#[tokio::test]
async fn a_name_without_an_answer_fails_by_the_kind_of_silence() {
    let url = "https://a.example/".to_owned();
    let fails = Stub::of([Answer::Fails]);
    assert_eq!(
        reason(STRICT, &fails, url.clone()).await,
        FailureReason::DnsError
    );
    let empty = Stub::of([these(&[])]);
    assert_eq!(
        reason(STRICT, &empty, url.clone()).await,
        FailureReason::DnsError
    );
    let (never, started) = (Stub::of([Answer::Never]), Instant::now());
    assert_eq!(reason(STRICT, &never, url).await, FailureReason::TimeoutDns);
    let took = started.elapsed();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    // The name is asked for as it is, without the system's search domains.
    assert_eq!(never.asked.lock().unwrap().as_slice(), ["a.example."]);
}

/// D13: each address may cost a time-out.
#[tokio::test]
async fn of_a_hundred_addresses_sixteen_are_tried() {
    let seventeenth = listening("127.0.0.117:0").await;
    let port = seventeenth.addr().port();
    let url = format!("http://a.example:{port}/");
    let ips: Vec<_> = (101..=200).map(|n| format!("127.0.0.{n}")).collect();
    let ips: Vec<&str> = ips.iter().map(String::as_str).collect();
    let refused = reason(LAX, &Stub::of([these(&ips)]), url.clone()).await;
    assert_eq!(refused, FailureReason::ConnectionRefused);
    assert_eq!(seventeenth.connections(), 0);
    let outcome = attempt(LAX, &Stub::of([these(&ips[1..])]), url).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
}
