//! Events as they happen.

use std::time::Duration;

use devstack::stack::eventually;
use futures_util::StreamExt;
use http::Method;
use shared::clock::Millis;
use shared::model::{Actor, Cause, Event, EventId, EventKind};
use tokio::time::timeout;

use crate::harness::{Api, PATIENCE};
use crate::worker;

fn event(instance: &str, number: u64) -> Event {
    Event {
        id: EventId::generate(),
        instance_id: instance.parse().unwrap(),
        number,
        kind: EventKind::Running,
        at: Millis(1_795_379_401_500),
        reason: "the provider says it runs".to_owned(),
        cause: Cause::Sweeper,
        actor: Actor::Policy,
        change: None,
        data: serde_json::Value::Null,
    }
}

/// A caller that reads a stream.
struct Listener {
    bytes:
        std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

impl Listener {
    async fn open(api: &Api, path: &str, last: Option<&str>) -> Self {
        let mut request = api
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        let mut listener = Self {
            bytes: Box::pin(answer.bytes_stream()),
            text: String::new(),
        };
        assert_eq!(listener.next().await.unwrap(), "retry: 2000");
        listener
    }

    /// The next block that is more than a comment; `None` at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if !block.starts_with(':') {
                    return Some(block);
                }
                continue;
            }
            let bytes = timeout(PATIENCE, self.bytes.next()).await.unwrap();
            let bytes = bytes?.unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The id of the next event (empty without one), whose it is, and its number.
    async fn event(&mut self) -> (String, String, u64) {
        let block = self.next().await.unwrap();
        let field = |name: &str| {
            let lines = block.lines();
            let mut values = lines.filter_map(|line| line.strip_prefix(name));
            values.next().unwrap_or_default().to_owned()
        };
        assert_eq!(field("event: "), "instance.running", "{block}");
        let data: serde_json::Value = serde_json::from_str(&field("data: ")).unwrap();
        let instance = data["instanceId"].as_str().unwrap().to_owned();
        (field("id: "), instance, data["number"].as_u64().unwrap())
    }
}

#[tokio::test]
async fn one_instance_is_followed_from_its_beginning_and_resumed_where_it_was_cut() {
    let api = Api::start().await;
    let (id, other) = (api.create("followed").await, api.create("other").await);
    let path = format!("/api/instances/{id}/events");
    worker::log(&api, &id, &[event(&id, 1), event(&id, 2)]).await;
    let mut listener = Listener::open(&api, &path, None).await;
    for number in 1..=2 {
        let told = listener.event().await;
        assert_eq!(told, (number.to_string(), id.clone(), number));
    }
    worker::log(&api, &other, &[event(&other, 1)]).await;
    worker::log(&api, &id, &[event(&id, 3)]).await;
    assert_eq!(listener.event().await.2, 3);
    drop(listener);
    worker::log(&api, &id, &[event(&id, 4)]).await;
    let mut again = Listener::open(&api, &path, Some("2")).await;
    for number in 3..=4 {
        assert_eq!(again.event().await.2, number);
    }
    worker::log(&api, &id, &[event(&id, 5)]).await;
    assert_eq!(again.event().await.2, 5);
}

#[tokio::test]
async fn the_fleet_is_followed_from_now_on_or_from_where_it_was_cut() {
    let api = Api::start().await;
    let (one, two) = (api.create("one").await, api.create("two").await);
    worker::log(&api, &one, &[event(&one, 1)]).await;
    let mut listeners = Vec::new();
    for _ in 0..20 {
        listeners.push(Listener::open(&api, "/api/events", None).await);
    }
    worker::log(&api, &two, &[event(&two, 1), event(&two, 2)]).await;
    worker::log(&api, &one, &[event(&one, 2)]).await;
    let mut cut = String::new();
    for listener in &mut listeners {
        let told = [
            listener.event().await,
            listener.event().await,
            listener.event().await,
        ];
        let whose = told
            .each_ref()
            .map(|(_, instance, number)| (instance, *number));
        assert_eq!(whose, [(&two, 1), (&two, 2), (&one, 2)]);
        assert_eq!(told[0].0, "", "cut off here, both are told again");
        cut.clone_from(&told[1].0);
    }
    worker::log(&api, &one, &[event(&one, 3)]).await;
    let mut again = Listener::open(&api, "/api/events", Some(&cut)).await;
    assert_eq!((again.event().await.2, again.event().await.2), (2, 3));
    let mut all = Listener::open(&api, "/api/events", Some("0-0")).await;
    assert_eq!(all.event().await.1, one);

    let page = api.get("/api/events").await;
    assert_eq!(page.body["events"].as_array().unwrap().len(), 5);
    let next = page.text("/next");
    let rest = api.get(&format!("/api/events?after={next}")).await;
    assert_eq!(rest.body["events"].as_array().unwrap().len(), 0);
    assert_eq!(rest.text("/next"), next);
    let wrong = api.get("/api/events?after=yesterday").await;
    wrong.is(400, "VALIDATION_ERROR");
}

#[tokio::test]
async fn streams_end_with_their_process_and_are_not_opened_any_more() {
    let api = Api::start_with(|config| config.common.shutdown_delay = PATIENCE).await;
    let mut listener = Listener::open(&api, "/api/events", None).await;
    api.stop.cancel();
    assert_eq!(listener.next().await, None);
    let late = api.request(Method::GET, "/api/events");
    let late = api.ask(late.header("accept", "text/event-stream")).await;
    late.is(503, "SERVICE_UNAVAILABLE");
}

#[tokio::test]
async fn who_is_unknown_cannot_be_followed() {
    let api = Api::start().await;
    let path = "/api/instances/inst_0/events";
    let unknown = api.request(Method::GET, path);
    let unknown = api.ask(unknown.header("accept", "text/event-stream")).await;
    unknown.is(404, "INSTANCE_NOT_FOUND");
    let wrong = api.request(Method::GET, "/api/events");
    let wrong = wrong.header("accept", "text/event-stream");
    let wrong = api.ask(wrong.header("last-event-id", "x")).await;
    wrong.is(400, "VALIDATION_ERROR");
}

#[tokio::test]
async fn a_stream_outlasts_the_time_after_which_quiet_connections_are_closed() {
    let idle = Duration::from_millis(300);
    let api = Api::start_with(|config| config.limits.idle_timeout = idle).await;
    let id = api.create("lasting").await;
    let path = format!("/api/instances/{id}/events");
    let mut listener = Listener::open(&api, &path, None).await;
    let began = std::time::Instant::now();
    let mut number = 0;
    let told = eventually("long enough", PATIENCE, async || {
        number += 1;
        worker::log(&api, &id, &[event(&id, number)]).await;
        assert_eq!(listener.event().await.2, number);
        if began.elapsed() > 3 * idle {
            Ok(())
        } else {
            Err(format!("{number} events"))
        }
    });
    told.await.unwrap();
}
