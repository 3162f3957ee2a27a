//! Rate limits: one budget for a caller at all processes, told in every answer.

use std::time::Duration;

use api::{ApiConfig, KeyRing, NewKey};
use devstack::redis::{RedisOptions, RedisServer};
use devstack::stack::eventually;
use futures_util::StreamExt;
use futures_util::stream;
use http::Method;
use shared::rate::RatePolicy;
use shared::redis::{Command, Repeat};

use crate::harness::{Answer, Api, PATIENCE, Raw, wish};

fn limited(limit: u32, window: Duration) -> impl Fn(&mut ApiConfig) {
    move |config| config.edge.rate_limit = Some(RatePolicy { limit, window })
}

const MINUTE: Duration = Duration::from_secs(60);

/// The numbers behind `r` and `t`.
fn standing(answer: &Answer) -> (u32, u32) {
    let text = answer.header("ratelimit");
    let rest = text
        .strip_prefix("\"default\";r=")
        .unwrap_or_else(|| panic!("{answer:?}"));
    let (left, seconds) = rest.split_once(";t=").unwrap();
    (left.parse().unwrap(), seconds.parse().unwrap())
}

#[tokio::test]
async fn a_caller_that_asks_too_often_is_told_when_to_come_again() {
    let api = Api::start_with(limited(20, MINUTE)).await;
    for asked in 1..=20 {
        let answer = api.get("/api/instances/inst_1").await;
        answer.is(404, "INSTANCE_NOT_FOUND");
        assert_eq!(answer.header("ratelimit-policy"), "\"default\";q=20;w=60");
        let (left, reset) = standing(&answer);
        assert_eq!(left, 20 - asked);
        assert!((1..=60).contains(&reset), "{reset}");
    }
    let refused = api.post("/api/instances", &wish("one-too-many")).await;
    refused.is(429, "RATE_LIMIT_EXCEEDED");
    let (left, reset) = standing(&refused);
    assert_eq!(
        (left, refused.header("retry-after")),
        (0, reset.to_string().as_str())
    );
    assert_eq!(refused.body["error"]["retryable"], true);
    assert_eq!(refused.body["error"]["retryAfter"], u64::from(reset) * 1000);
    // Probes are for machines that must not be kept waiting.
    for path in ["/livez", "/readyz", "/health"] {
        let probe = api.get(path).await;
        assert_eq!(
            (probe.status.as_u16(), probe.header("ratelimit")),
            (200, "")
        );
    }
}

#[tokio::test]
async fn a_refused_body_is_not_read() {
    let api = Api::start_with(limited(1, MINUTE)).await;
    assert_eq!(api.get("/api/instances").await.status, 200);
    let mut raw = Raw::open(api.addr).await;
    let head = "POST /api/instances HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                content-length: 100\r\nexpect: 100-continue\r\n\r\n";
    raw.send(head.as_bytes()).await;
    raw.answer().await.is(429, "RATE_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn a_new_window_begins_when_the_old_one_is_over() {
    let api = Api::start_with(limited(3, Duration::from_secs(1))).await;
    for _ in 0..3 {
        assert_eq!(api.get("/api/instances").await.status, 200);
    }
    api.get("/api/instances")
        .await
        .is(429, "RATE_LIMIT_EXCEEDED");
    let turned = eventually("a new window", PATIENCE, async || {
        let answer = api.get("/api/instances").await;
        if answer.status == 200 {
            Ok(answer)
        } else {
            Err(answer.status.to_string())
        }
    });
    assert_eq!(standing(&turned.await.unwrap()).0, 2);
}

#[tokio::test]
async fn two_processes_share_one_limit_and_ask_redis_seldom() {
    const LIMIT: u32 = 2000;
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let first = Api::start_on(&redis.url(), limited(LIMIT, Duration::from_secs(600))).await;
    let second = Api::start_on(&redis.url(), |config| {
        config.redis.keys = first.config.redis.keys.clone();
        limited(LIMIT, Duration::from_secs(600))(config);
    })
    .await;
    let before = commands(&first).await;
    let ask = async |n: usize| {
        let api = if n.is_multiple_of(3) { &first } else { &second };
        // Nothing in Redis is read for it.
        let answer = api.get("/api/operations/%20").await;
        answer.status.as_u16()
    };
    let statuses = stream::iter(0..LIMIT as usize + 200)
        .map(ask)
        .buffer_unordered(16);
    let statuses: Vec<u16> = statuses.collect().await;
    let served = statuses.iter().filter(|status| **status == 404).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(served + refused, statuses.len());
    assert!(served <= LIMIT as usize, "{served}");
    assert!(served >= LIMIT as usize - 8, "{served}");
    let spent = commands(&first).await - before;
    assert!(spent <= i64::from(LIMIT) / 8, "{spent} commands");
}

/// How many commands the server of this API has carried out, those of scripts included.
async fn commands(api: &Api) -> i64 {
    let info = Command::new("INFO").arg("commandstats");
    let info = api.redis.run(info, Repeat::Harmless).await.unwrap();
    let info = info.text().unwrap();
    let calls = info
        .lines()
        .filter(|line| !line.starts_with("cmdstat_info"));
    let calls = calls.filter_map(|line| line.split_once("calls=")?.1.split(',').next());
    calls.map(|calls| calls.parse::<i64>().unwrap()).sum()
}

#[tokio::test]
async fn keys_are_limited_apart_and_wrong_ones_more() {
    let made = ["one", "two"].map(|name| NewKey::generate(name, "read").unwrap());
    let ring = KeyRing::parse(&made.each_ref().map(|new| new.entry.as_str()).join(" ")).unwrap();
    let api = Api::start_with(|config| {
        config.keys = Some(ring);
        limited(5, MINUTE)(config);
    })
    .await;
    let ask = async |key: &str| {
        let request = api.request(Method::GET, "/api/instances");
        api.ask(request.bearer_auth(key)).await
    };
    for _ in 0..5 {
        assert_eq!(ask(&made[0].key).await.status, 200);
    }
    ask(&made[0].key).await.is(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(ask(&made[1].key).await.status, 200);
    for _ in 0..20 {
        ask("guess").await.is(401, "UNAUTHORIZED");
    }
    let slowed = ask("guess").await;
    slowed.is(429, "RATE_LIMIT_EXCEEDED");
    let wait: u32 = slowed.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // Whoever has a key is not kept out by somebody who guesses from the same place.
    assert_eq!(ask(&made[1].key).await.status, 200);
}

#[tokio::test]
async fn without_redis_requests_are_counted_by_each_process_for_itself() {
    let mut redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let api = Api::start_on(&redis.url(), limited(1000, MINUTE)).await;
    assert_eq!(api.get("/api/operations/%20").await.status, 404);
    redis.kill().await.unwrap();
    let statuses = stream::iter(0..400)
        .map(async |_| api.get("/api/operations/%20").await.status.as_u16())
        .buffer_unordered(16);
    let statuses: Vec<u16> = statuses.collect().await;
    assert!(
        statuses.iter().all(|status| [404, 429].contains(status)),
        "{statuses:?}"
    );
    assert!(
        statuses.contains(&404) && statuses.contains(&429),
        "{statuses:?}"
    );
}

#[tokio::test]
async fn without_a_limit_nothing_is_counted() {
    let api = Api::start().await;
    let answer = api.get("/api/instances").await;
    assert_eq!(
        (
            answer.header("ratelimit"),
            answer.header("ratelimit-policy")
        ),
        ("", "")
    );
}
