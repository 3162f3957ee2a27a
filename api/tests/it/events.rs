//! The event log over HTTP.

use serde_json::{Value, json};
use shared::clock::Millis;
use shared::model::{Cause, Event, EventId, EventKind, Phase, PhaseChange};

use crate::harness::Api;
use crate::worker;

fn event(instance: &str, number: u64, change: Option<PhaseChange>) -> Event {
    let cause = Cause::Provider {
        said: "running".to_owned(),
    };
    Event {
        id: EventId::generate(),
        instance_id: instance.parse().unwrap(),
        number,
        kind: EventKind::Running,
        at: Millis(1_795_379_401_500),
        reason: "the provider says it runs".to_owned(),
        actor: cause.actor(),
        cause,
        change,
        data: json!({"n": number}),
    }
}

/// The numbers of the events in an answer, and where to read on.
fn numbers(body: &Value) -> (Vec<u64>, u64) {
    let events = body["events"].as_array().unwrap().iter();
    let numbers = events.map(|event| event["number"].as_u64().unwrap());
    (numbers.collect(), body["next"].as_u64().unwrap())
}

#[tokio::test]
async fn the_log_tells_what_happened_why_and_by_whom() {
    let api = Api::start().await;
    let id = api.create("logged").await;
    let path = format!("/api/instances/{id}/events");
    let empty = api.get(&path).await;
    assert_eq!(empty.body, json!({"events": [], "next": 0}));
    let change = PhaseChange {
        from: Phase::Creating,
        to: Phase::Running,
    };
    let event = event(&id, 1, Some(change));
    worker::log(&api, &id, std::slice::from_ref(&event)).await;
    let log = api.get(&path).await;
    assert_eq!(log.status, 200);
    assert_eq!(
        log.body,
        json!({"next": 1, "events": [{
            "number": 1, "id": event.id, "type": "instance.running",
            "at": "2026-11-22T20:30:01.500Z", "reason": "the provider says it runs",
            "cause": {"kind": "provider", "said": "running"}, "actor": "provider",
            "change": {"from": "creating", "to": "running"}, "data": {"n": 1},
        }]})
    );
}

#[tokio::test]
async fn a_log_is_read_on_from_where_the_last_answer_ended() {
    let api = Api::start().await;
    let id = api.create("long").await;
    for first in [1, 201, 401] {
        let events: Vec<Event> = (first..first + 200).map(|n| event(&id, n, None)).collect();
        worker::log(&api, &id, &events).await;
    }
    let read = async |query: &str| {
        let answer = api.get(&format!("/api/instances/{id}/events{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        numbers(&answer.body)
    };
    let range = |from: u64, to: u64| ((from..=to).collect::<Vec<_>>(), to);
    assert_eq!(read("").await, range(101, 200), "the oldest that is kept");
    assert_eq!(read("?after=200&limit=3").await, range(201, 203));
    assert_eq!(read("?after=590").await, range(591, 600), "the end");
    assert_eq!(read("?after=597&limit=2").await, range(598, 599));
    assert_eq!(read("?after=600").await, (vec![], 600));
    assert_eq!(read("?after=9000").await, (vec![], 9000));
    assert_eq!(read("?limit=500").await, range(101, 600));
}

#[tokio::test]
async fn a_log_that_is_not_there_or_wrongly_asked_for_is_refused() {
    let api = Api::start().await;
    let id = api.create("refusing").await;
    let unknown = api.get("/api/instances/inst_unknown/events").await;
    unknown.is(404, "INSTANCE_NOT_FOUND");
    for query in [
        "after=x",
        "after=-1",
        "limit=0",
        "limit=501",
        "limit=1&limit=2",
    ] {
        let refused = api
            .get(&format!("/api/instances/{id}/events?{query}"))
            .await;
        refused.is(400, "VALIDATION_ERROR");
    }
    let posted = api
        .post(&format!("/api/instances/{id}/events"), &json!({}))
        .await;
    posted.is(405, "METHOD_NOT_ALLOWED");
}
