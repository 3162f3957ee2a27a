//! The log of deliveries as callers and administrators read it, and doing deliveries over.

use std::process::Output;

use serde_json::{Value, json};
use shared::clock::Millis;
use shared::queue::{Job, Purpose, Verdict, Write};
use shared::webhooks::{Entry, Fate};
use tokio::process::Command;

use crate::harness::Api;
use crate::worker::{queue, take, webhook};

const LIST: &str = "/api/webhooks/deliveries";

/// Writes these lines as a worker does, a second after each other, the first at 20:00:01.
async fn write(api: &Api, lines: &[(&str, Fate)]) {
    let queue = queue(api);
    queue.enqueue(&[webhook("msg_carrier")]).await.unwrap();
    let job = take(&queue).await.remove(0);
    let began = Millis::parse_iso("2026-11-22T20:00:00Z").unwrap();
    let lines = lines.iter().zip(1..).map(|((event, fate), number)| {
        Write::Delivery(Box::new(Entry {
            event_id: event.parse().unwrap(),
            url: "https://u:s3cret@hooks.example.com/s3cret?k=s3cret".to_owned(),
            body: r#"{"type":"instance.ready","instanceId":"inst_1"}"#.to_owned(),
            headers: std::collections::BTreeMap::new(),
            asked: None,
            at: began.plus(1000 * number),
            attempt: 1,
            fate: *fate,
            reason: (*fate != Fate::Delivered).then(|| "http_500".to_owned()),
            status: Some(500),
            took_ms: 4,
            next_at: None,
            may_repeat: false,
        }))
    });
    let settlement = job.settle(Verdict::Done, lines.collect());
    let mut settle = queue.call(vec![settlement], 0);
    assert_eq!(queue.exchange(&mut settle).await.unwrap().applied, [true]);
}

/// Event, URL and purpose of every delivery that is due.
async fn due(api: &Api) -> Vec<(String, String, Option<Purpose>)> {
    let queue = queue(api);
    let mut due = Vec::new();
    for job in take(&queue).await {
        let Ok(Job::Webhook(delivery)) = Job::parse(&job.id, &job.body) else {
            panic!("not a webhook")
        };
        let purpose = delivery.asked.map(|asked| asked.purpose);
        due.push((delivery.event_id.to_string(), delivery.url, purpose));
        let mut settle = queue.call(vec![job.settle(Verdict::Done, Vec::new())], 0);
        queue.exchange(&mut settle).await.unwrap();
    }
    due.sort();
    due
}

#[tokio::test]
async fn the_log_is_listed_newest_first_and_shows_no_secret() {
    let api = Api::start().await;
    assert_eq!(api.get(LIST).await.body, json!({"deliveries": []}));
    let lines = [
        ("msg_1", Fate::Scheduled),
        ("msg_2", Fate::Delivered),
        ("msg_1", Fate::Exhausted),
    ];
    write(&api, &lines).await;
    let ids = async |query: &str| -> Value {
        let answer = api.get(&format!("{LIST}{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let deliveries = answer.body["deliveries"].as_array().unwrap().iter();
        deliveries.map(|d| d["id"].clone()).collect()
    };
    assert_eq!(ids("").await, json!([3, 2, 1]));
    assert_eq!(ids("?eventId=msg_1").await, json!([3, 1]));
    assert_eq!(ids("?fate=delivered").await, json!([2]));
    assert_eq!(ids("?before=3&limit=1").await, json!([2]));
    let page = api.get(&format!("{LIST}?limit=2")).await;
    assert_eq!(page.body["next"], 2);
    assert!(!page.body.to_string().contains("s3cret"));

    let read = api.get(&format!("{LIST}/3")).await;
    assert_eq!(
        read.body,
        json!({
            "id": 3, "eventId": "msg_1", "type": "instance.ready", "instanceId": "inst_1",
            "receiver": "https://hooks.example.com", "trigger": "auto",
            "at": "2026-11-22T20:00:03.000Z", "attempt": 1, "fate": "exhausted",
            "reason": "http_500", "status": 500, "durationMs": 4, "mayRepeat": false,
            "payload": {"type": "instance.ready", "instanceId": "inst_1"},
        })
    );
    api.get(&format!("{LIST}/4"))
        .await
        .is(404, "DELIVERY_NOT_FOUND");
    for query in [
        "/x",
        "/-1",
        "/1e3",
        "?limit=0",
        "?limit=101",
        "?before=0",
        "?fate=lost",
        "?eventId=a.b",
        "?limit=1&limit=2",
    ] {
        api.get(&format!("{LIST}{query}"))
            .await
            .is(400, "VALIDATION_ERROR");
    }
}

#[tokio::test]
async fn a_delivery_and_a_range_of_them_are_replayed() {
    let api = Api::start().await;
    let lines = [
        ("msg_1", Fate::Exhausted),
        ("msg_2", Fate::Delivered),
        ("msg_3", Fate::Skipped),
        ("msg_4", Fate::Exhausted),
    ];
    write(&api, &lines).await;
    let replayed = |event: &str| {
        let url = "https://u:s3cret@hooks.example.com/s3cret?k=s3cret".to_owned();
        (event.to_owned(), url, Some(Purpose::Replay))
    };
    let answer = api.post(&format!("{LIST}/2/replay"), &json!({})).await;
    assert_eq!(
        (answer.status.as_u16(), answer.text("/eventId")),
        (202, "msg_2".into())
    );
    assert_eq!(due(&api).await, [replayed("msg_2")]);
    let unknown = api.post(&format!("{LIST}/9/replay"), &json!({})).await;
    unknown.is(404, "DELIVERY_NOT_FOUND");

    let range = json!({"from": "2026-11-22T20:00:01Z", "to": "2026-11-22T20:00:04Z"});
    let answer = api.post(&format!("{LIST}/replay"), &range).await;
    assert_eq!(answer.body, json!({"replayed": 2, "remaining": 0}));
    assert_eq!(due(&api).await, [replayed("msg_1"), replayed("msg_3")]);
    let all = json!({"from": "2026-11-22T20:00:01Z", "withDelivered": true, "limit": 3});
    let answer = api.post(&format!("{LIST}/replay"), &all).await;
    assert_eq!(answer.body, json!({"replayed": 3, "remaining": 1}));
    assert_eq!(due(&api).await.len(), 3);

    for body in [
        json!({}),
        json!({"from": "yesterday"}),
        json!({"from": "2999-01-01"}),
        json!({"from": "2026-11-22T20:00:04Z", "to": "2026-11-22T20:00:04Z"}),
        json!({"from": "2026-11-22", "limit": 0}),
        json!({"from": "2026-11-22", "limit": 1001}),
        json!({"from": "2026-11-22", "untill": "2026-11-23"}),
        json!({"from": "2026-11-22", "withDelivered": "maybe"}),
    ] {
        let answer = api.post(&format!("{LIST}/replay"), &body).await;
        answer.is(400, "VALIDATION_ERROR");
    }
    assert!(due(&api).await.is_empty());
}

#[tokio::test]
async fn a_test_goes_where_the_caller_says_or_where_all_webhooks_go() {
    let all = "https://all.example.com/hook".to_owned();
    let api = Api::start_with(|config| config.webhook_url = Some(all.clone())).await;
    let one = "https://one.example.com/hook".to_owned();
    for (body, url) in [(json!({}), all), (json!({"url": one}), one)] {
        let answer = api.post("/api/webhooks/test", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let event = answer.text("/eventId");
        assert_eq!(due(&api).await, [(event, url, Some(Purpose::Test))]);
    }
    for body in [
        json!({"url": "ftp://example.com"}),
        json!({"url": "https://u:p@example.com"}),
        json!({"url": ""}),
        json!({"uri": "https://example.com"}),
    ] {
        api.post("/api/webhooks/test", &body)
            .await
            .is(400, "VALIDATION_ERROR");
    }
    let api = Api::start().await;
    let nowhere = api.post("/api/webhooks/test", &json!({})).await;
    nowhere.is(400, "VALIDATION_ERROR");
}

async fn shell(api: &Api, args: &[&str]) -> Output {
    let redis = crate::harness::shared_redis().await.url();
    Command::new(env!("CARGO_BIN_EXE_novita-api"))
        .args(["--redis-url", &redis])
        .args(["--redis-key-prefix", &api.config.redis.prefix])
        .arg("webhooks")
        .args(args)
        .env_clear()
        .output()
        .await
        .unwrap()
}

#[tokio::test]
async fn the_shell_lists_shows_and_replays() {
    let api = Api::start().await;
    write(
        &api,
        &[("msg_1", Fate::Exhausted), ("msg_2", Fate::Delivered)],
    )
    .await;
    let json = async |args: &[&str]| -> Value {
        let output = shell(&api, args).await;
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let list = json(&["list", "--json"]).await;
    assert_eq!(list, api.get(LIST).await.body);
    let shown = json(&["show", "1", "--json"]).await;
    assert_eq!(shown, api.get(&format!("{LIST}/1")).await.body);
    let text = shell(&api, &["list", "--fate", "exhausted"]).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("msg_1 instance.ready"), "{text}");

    assert_eq!(
        json(&["replay", "2", "--json"]).await,
        json!({"eventId": "msg_2"})
    );
    assert_eq!(due(&api).await.len(), 1);
    let replayed = json(&["replay", "--from", "2026-11-22", "--json"]).await;
    assert_eq!(replayed, json!({"replayed": 1, "remaining": 0}));
    let unknown = shell(&api, &["show", "9"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    let told = String::from_utf8(unknown.stderr).unwrap();
    assert!(told.contains("no such delivery"), "{told}");
    for wrong in [
        &["replay"][..],
        &["replay", "1", "--from", "2026-11-22"],
        &["list", "--fate", "x"],
    ] {
        assert_eq!(shell(&api, wrong).await.status.code(), Some(2), "{wrong:?}");
    }
}
