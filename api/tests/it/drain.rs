//! The end of the process: nothing that was asked is lost, and nothing holds it up for ever.

use std::time::Duration;

use crate::harness::{Api, PATIENCE, Raw, wish};

#[tokio::test]
async fn while_draining_requests_are_served_but_no_more_are_invited() {
    let mut api = Api::start_with(|config| {
        config.common.shutdown_delay = Duration::from_secs(2);
    })
    .await;
    assert_eq!(api.get("/readyz").await.status, 200);
    api.stop.cancel();
    api.get("/readyz").await.is(503, "SERVICE_UNAVAILABLE");
    let served = api.post("/api/instances", &wish("late")).await;
    assert_eq!(served.status, 201);
    assert_eq!(served.header("connection"), "close");
    let ended = tokio::time::timeout(PATIENCE, &mut api.task).await;
    ended.unwrap().unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(api.addr).await.is_err());
}

#[tokio::test]
async fn a_request_that_has_begun_is_finished() {
    let mut api = Api::start().await;
    let mut idle = Raw::open(api.addr).await;
    idle.send(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
    idle.answer().await;
    let mut busy = Raw::open(api.addr).await;
    let body = wish("in-flight").to_string();
    let (first, rest) = body.split_at(10);
    busy.begin_create(body.len()).await;
    busy.send(first.as_bytes()).await;
    api.stop.cancel();
    idle.closed().await;
    assert!(!api.task.is_finished());
    busy.send(rest.as_bytes()).await;
    let answer = busy.answer().await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("connection"), "close");
    let ended = tokio::time::timeout(PATIENCE, &mut api.task).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_at_the_hard_stop() {
    let mut api = Api::start_with(|config| {
        config.common.shutdown_timeout = Duration::from_secs(1);
    })
    .await;
    let mut stuck = Raw::open(api.addr).await;
    stuck.begin_create(1000).await;
    api.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), &mut api.task).await;
    ended.expect("held up").unwrap().unwrap();
    stuck.closed().await;
}
