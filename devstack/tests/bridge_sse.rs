//! Server-sent events: the transcripts S1 to S9 of the Upstash REST reference, and how streams end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod bridge_support;

use std::time::Duration;

use bridge_support::{Events, Stack, eventually, send};
use redis::Value;
use serde_json::json;

async fn subscribers(stack: &Stack, channel: &str) -> i64 {
    let answer = stack
        .redis
        .command(&["PUBSUB", "NUMSUB", channel])
        .await
        .unwrap();
    let Value::Array(items) = answer else {
        panic!("{answer:?}")
    };
    let [_, Value::Int(count)] = items.as_slice() else {
        panic!("{items:?}")
    };
    *count
}

#[tokio::test]
async fn s1_to_s3_a_subscription_is_confirmed_and_carries_payloads_verbatim() {
    let stack = Stack::start().await;
    let mut events = Events::open(stack.bridge.addr(), "/subscribe/chat").await;
    assert_eq!(events.next().await.unwrap(), "data: subscribe,chat,1\n\n");

    assert_eq!(stack.run(json!(["PUBLISH", "chat", "hello"])).await, 1);
    assert_eq!(events.next().await.unwrap(), "data: message,chat,hello\n\n");

    stack
        .run(json!(["PUBLISH", "chat", r#"{"a":1,"b":2}"#]))
        .await;
    assert_eq!(
        events.next().await.unwrap(),
        "data: message,chat,{\"a\":1,\"b\":2}\n\n"
    );
}

#[tokio::test]
async fn s4_one_stream_can_hold_several_channels() {
    let stack = Stack::start().await;
    let mut events = Events::open(stack.bridge.addr(), "/subscribe/chat/news").await;
    assert_eq!(events.next().await.unwrap(), "data: subscribe,chat,1\n\n");
    assert_eq!(events.next().await.unwrap(), "data: subscribe,news,2\n\n");
}

#[tokio::test]
async fn s5_and_s6_a_pattern_names_pattern_and_channel() {
    let stack = Stack::start().await;
    let mut events = Events::open(stack.bridge.addr(), "/psubscribe/user:*").await;
    assert_eq!(
        events.next().await.unwrap(),
        "data: psubscribe,user:*,1\n\n"
    );
    stack
        .run(json!(["PUBLISH", "user:123", r#"{"a":1,"b":2}"#]))
        .await;
    assert_eq!(
        events.next().await.unwrap(),
        "data: pmessage,user:*,user:123,{\"a\":1,\"b\":2}\n\n"
    );
}

#[tokio::test]
async fn s7_and_s8_a_monitor_shows_commands() {
    let stack = Stack::start().await;
    let mut events = Events::open(stack.bridge.addr(), "/monitor").await;
    assert_eq!(events.next().await.unwrap(), "data: \"OK\"\n\n");
    stack.run(json!(["SET", "k", "v"])).await;
    let mut event = events.next().await.unwrap();
    while !event.contains("\"SET\"") {
        event = events.next().await.unwrap();
    }
    let line = event.strip_prefix("data: ").unwrap();
    let (time, rest) = line.split_once(" [0 ").unwrap();
    assert!(time.parse::<f64>().is_ok(), "{event:?}");
    assert!(rest.ends_with("] \"SET\" \"k\" \"v\"\n\n"), "{event:?}");
}

#[tokio::test]
async fn s9_a_stream_needs_a_token() {
    let stack = Stack::start().await;
    let answer = send(stack.bridge.addr(), "POST", "/subscribe/chat", &[], b"")
        .await
        .unwrap();
    assert_eq!(answer.status, 401);
    assert!(answer.error().starts_with("WRONGPASS"), "{}", answer.text());
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_subscription_along() {
    let stack = Stack::start().await;
    let mut events = Events::open(stack.bridge.addr(), "/subscribe/chat").await;
    events.next().await.unwrap();
    assert_eq!(subscribers(&stack, "chat").await, 1);
    drop(events);
    eventually("unsubscribed", async || {
        subscribers(&stack, "chat").await == 0
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_with_its_backend() {
    let mut stack = Stack::start().await;
    let mut events = Events::open(stack.bridge.addr(), "/subscribe/chat").await;
    events.next().await.unwrap();
    stack.redis.kill().await.unwrap();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn an_idle_stream_carries_comments_and_a_line_break_becomes_two_data_lines() {
    let stack = Stack::start_with(|options| options.heartbeat = Duration::from_millis(20)).await;
    let mut events = Events::open(stack.bridge.addr(), "/subscribe/chat").await;
    assert_eq!(events.next().await.unwrap(), "data: subscribe,chat,1\n\n");
    assert_eq!(events.next().await.unwrap(), ": keepalive\n\n");

    stack.run(json!(["PUBLISH", "chat", "a\nb"])).await;
    let mut event = events.next().await.unwrap();
    while event.starts_with(':') {
        event = events.next().await.unwrap();
    }
    assert_eq!(event, "data: message,chat,a\ndata: b\n\n");
}
