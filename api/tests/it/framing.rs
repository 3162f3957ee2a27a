//! Bytes that no well-meaning client sends, and clients that take their time.

use std::time::Duration;

use crate::harness::{Api, Raw, wish};

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn unclear_requests_are_refused_and_the_connection_closed() {
    let api = Api::start().await;
    for fine in [get("/livez"), b"GET /livez HTTP/1.0\r\n\r\n".to_vec()] {
        assert_eq!(api.raw(&fine).await.status, 200);
    }
    for (request, status, code) in [
        ("GET /livez HTTP/1.1\r\n\r\n", 400, "INVALID_REQUEST"),
        (
            "GET /livez HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
            400,
            "INVALID_REQUEST",
        ),
        (
            "GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
            400,
            "INVALID_REQUEST",
        ),
        (
            "GET /livez HTTP/1.1\r\nhost:\r\n\r\n",
            400,
            "INVALID_REQUEST",
        ),
        (
            "GET /livez HTTP/1.1\r\nhost: u@a\r\n\r\n",
            400,
            "INVALID_REQUEST",
        ),
        (
            "GET http://a/livez HTTP/1.1\r\nhost: a\r\n\r\n",
            400,
            "INVALID_REQUEST",
        ),
        ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400, "INVALID_REQUEST"),
        (
            "CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (
            "TRACE /livez HTTP/1.1\r\nhost: a\r\n\r\n",
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (
            "POST /api/instances HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
            501,
            "NOT_IMPLEMENTED",
        ),
        (
            "POST /api/instances HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             transfer-encoding: chunked\r\n\r\nzz\r\n",
            400,
            "INVALID_REQUEST",
        ),
        (
            "POST /api/instances HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             content-length: 10737418240\r\n\r\n",
            413,
            "PAYLOAD_TOO_LARGE",
        ),
    ] {
        let mut connection = Raw::open(api.addr).await;
        connection.send(request.as_bytes()).await;
        let answer = connection.answer().await;
        answer.is(status, code);
        assert_eq!(answer.header("connection"), "close", "{request}");
        connection.closed().await;
    }
}

#[tokio::test]
async fn a_path_that_could_be_read_in_two_ways_is_refused() {
    let api = Api::start().await;
    for path in [
        "/api/../admin",
        "/api/./instances",
        "/api/%2e%2e/admin",
        "/api/instances/a%2Fb",
        "/api/instances/a%5Cb",
        "/api/instances/a\\b",
        "/api/instances/%00",
        "/api/instances/%zz",
        "/api/instances/ñ",
    ] {
        api.raw(&get(path)).await.is(400, "INVALID_REQUEST");
    }
    let needless = api.raw(&get("/api/instances/%69nst_1")).await;
    needless.is(404, "INSTANCE_NOT_FOUND");
    assert_eq!(
        needless.text("/error/message"),
        "Instance not found: inst_1"
    );
}

#[tokio::test]
async fn a_target_a_header_count_and_a_head_have_their_limits() {
    let api = Api::start().await;
    let long = |length: usize| get(&format!("/{}", "a".repeat(length - 1)));
    api.raw(&long(8192 - 1)).await.is(404, "NOT_FOUND");
    api.raw(&long(8193)).await.is(414, "URI_TOO_LONG");
    let headers = |count: usize| {
        let more = "x: y\r\n".repeat(count - 1);
        format!("GET /livez HTTP/1.1\r\nhost: a\r\n{more}\r\n").into_bytes()
    };
    assert_eq!(api.raw(&headers(64)).await.status, 200);
    assert_eq!(api.raw(&headers(65)).await.status, 431);
    let big = |size: usize| {
        let value = "v".repeat(size);
        format!("GET /livez HTTP/1.1\r\nhost: a\r\nx: {value}\r\n\r\n").into_bytes()
    };
    assert_eq!(api.raw(&big(15_000)).await.status, 200);
    assert_eq!(api.raw(&big(20_000)).await.status, 431);
}

#[tokio::test]
async fn requests_sent_in_one_write_are_answered_in_order() {
    let api = Api::start().await;
    let mut connection = Raw::open(api.addr).await;
    let both = [get("/nope"), get("/livez")].concat();
    connection.send(&both).await;
    assert_eq!(connection.answer().await.status, 404);
    assert_eq!(connection.answer().await.status, 200);
}

#[tokio::test]
async fn nothing_behind_a_refused_body_is_taken_for_a_request() {
    let api = Api::start_with(|config| config.limits.body_limit = 1024).await;
    let hidden = String::from_utf8(get("/livez")).unwrap();
    let body = format!("{}{hidden}", " ".repeat(2000));
    let head = format!(
        "POST /api/instances HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = Raw::open(api.addr).await;
    connection.send(format!("{head}{body}").as_bytes()).await;
    connection.answer().await.is(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(connection.closed().await, b"");
}

#[tokio::test]
async fn a_slow_head_and_a_quiet_connection_are_closed_each_at_its_time() {
    let api = Api::start_with(|config| {
        config.limits.head_timeout = Duration::from_millis(300);
        config.limits.idle_timeout = Duration::from_secs(3);
    })
    .await;
    let started = tokio::time::Instant::now();
    let mut silent = Raw::open(api.addr).await;
    let mut halting = Raw::open(api.addr).await;
    halting.send(b"GET /livez HT").await;
    assert_eq!(silent.closed().await, b"");
    assert_eq!(halting.closed().await, b"");
    assert!(started.elapsed() < Duration::from_millis(2500));

    let mut kept = Raw::open(api.addr).await;
    kept.send(&get("/livez")).await;
    kept.answer().await;
    let quiet_since = tokio::time::Instant::now();
    kept.closed().await;
    assert!(quiet_since.elapsed() > Duration::from_millis(2500));

    let mut second_head = Raw::open(api.addr).await;
    second_head.send(&get("/livez")).await;
    second_head.answer().await;
    second_head.send(b"GET").await;
    let head_since = tokio::time::Instant::now();
    second_head.closed().await;
    assert!(head_since.elapsed() < Duration::from_millis(2500));
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_answered_408() {
    let api = Api::start_with(|config| {
        config.limits.body_timeout = Duration::from_millis(300);
    })
    .await;
    let mut connection = Raw::open(api.addr).await;
    let head = "POST /api/instances HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{\"name\":";
    connection.send(head.as_bytes()).await;
    let answer = connection.answer().await;
    answer.is(408, "REQUEST_TIMEOUT");
    assert_eq!(answer.body["error"]["retryable"], true);
    connection.closed().await;
}

#[tokio::test]
async fn connections_over_the_limit_wait_until_one_ends() {
    let api = Api::start_with(|config| config.limits.max_connections = 1).await;
    let mut first = Raw::open(api.addr).await;
    first.send(&get("/livez")).await;
    first.answer().await;
    let mut second = Raw::open(api.addr).await;
    second.send(&get("/livez")).await;
    let early = tokio::time::timeout(Duration::from_millis(300), second.answer()).await;
    assert!(early.is_err(), "served beyond the limit");
    drop(first);
    let mut third = Raw::open(api.addr).await;
    drop(second);
    third.send(&get("/livez")).await;
    assert_eq!(third.answer().await.status, 200);
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body_unless_it_is_refused() {
    let api = Api::start().await;
    let body = wish("continued").to_string();
    let mut refused = Raw::open(api.addr).await;
    let head = "POST /api/instances HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                expect: 100-continue\r\ncontent-length: 9000000\r\n\r\n";
    refused.send(head.as_bytes()).await;
    refused.answer().await.is(413, "PAYLOAD_TOO_LARGE");

    let mut taken = Raw::open(api.addr).await;
    taken.begin_create(body.len()).await;
    taken.send(body.as_bytes()).await;
    assert_eq!(taken.answer().await.status, 201);
}
