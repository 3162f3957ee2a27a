//! A receiver of webhooks that remembers everything and misbehaves on request.
//!
//! `POST` to any path outside `/_sink/` is received, kept and answered `200 {"received":true}`.
//!
//! | Request | Effect and answer |
//! |---|---|
//! | `GET /_sink/webhooks` | `[{"receivedAt","path","headers","body","status"}]`, oldest first: every delivery attempt, the latest 100 000. `receivedAt` is RFC 3339, `path` includes the query, `headers` maps lower-case names to values, `body` is the raw text, `status` what it was answered (`null`: hung up) |
//! | `DELETE /_sink/webhooks` | forgets them; answers `[]` |
//! | `POST /_sink/behaviour` | `{"status":500,"count":2,"delayMs":100,"retryAfter":"3","hangUp":true,"path":"/x"}`, all optional: how to answer the next `count` deliveries (default: all) to `path` (default: any). Rules are tried in the order they were set. Answers as GET |
//! | `GET /_sink/behaviour` | `{"rules":[…]}` that are still in force |
//! | `DELETE /_sink/behaviour` | behaves again; answers as GET |
//!
//! A mistake in a body is answered 400 `{"error":"<field>: <problem>"}`.

mod behaviour;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use self::behaviour::{Behaviour, Behaviours};
use crate::http::{self as server, Answer, Body, HangUp, Server};

const MAX_BODY: usize = 4 << 20;
const MAX_WEBHOOKS: usize = 100_000;

/// All kept bodies together, bytes.
const MAX_BODIES: usize = 128 << 20;

/// One delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// When, RFC 3339.
    pub received_at: String,
    /// The path, with the query if there was one.
    pub path: String,
    /// Lower-case names; the values of a repeated header are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// The raw body; bytes that are not UTF-8 are replaced.
    pub body: String,
    /// What it was answered; `None`: hung up.
    pub status: Option<u16>,
}

/// A running receiver; dropping it closes its port.
#[derive(Debug)]
pub struct Sink {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    webhooks: VecDeque<Webhook>,
    body_bytes: usize,
    behaviours: Behaviours,
}

impl Sink {
    /// Listens on loopback; port 0 picks a free one.
    pub async fn start(port: u16) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            changed: watch::Sender::new(()),
        });
        let handler = Arc::clone(&shared);
        let server = Server::start(port, MAX_BODY, move |request| {
            let shared = Arc::clone(&handler);
            async move { answer(&shared, request).await }
        });
        Ok(Self {
            server: server.await?,
            shared,
        })
    }

    /// `http://127.0.0.1:<port>`; webhooks may be sent to any path under it.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What has been received, oldest first.
    #[must_use]
    pub fn webhooks(&self) -> Vec<Webhook> {
        self.shared.state().webhooks.iter().cloned().collect()
    }

    /// Waits until `satisfied` holds for what has been received, and returns that. Fails after
    /// `patience` with the number received and the last one.
    pub async fn wait_for(
        &self,
        satisfied: impl Fn(&[Webhook]) -> bool,
        patience: Duration,
    ) -> anyhow::Result<Vec<Webhook>> {
        let deadline = Instant::now() + patience;
        let mut changed = self.shared.changed.subscribe();
        loop {
            let webhooks = self.webhooks();
            if satisfied(&webhooks) {
                return Ok(webhooks);
            }
            if timeout_at(deadline, changed.changed()).await.is_err() {
                let (count, last) = (webhooks.len(), webhooks.last());
                bail!("not satisfied after {patience:?}: {count} webhooks, the last one {last:?}");
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps a delivery and decides how to answer it.
    fn receive(&mut self, request: &Request<Bytes>) -> Behaviour {
        let behaviour = self.behaviours.next(request.uri().path());
        let webhook = Webhook {
            received_at: jiff::Timestamp::now().to_string(),
            path: request.uri().to_string(),
            headers: headers(request.headers()),
            body: String::from_utf8_lossy(request.body()).into_owned(),
            status: (!behaviour.hang_up).then(|| behaviour.status.as_u16()),
        };
        self.body_bytes += webhook.body.len();
        self.webhooks.push_back(webhook);
        while self.webhooks.len() > MAX_WEBHOOKS || self.body_bytes > MAX_BODIES {
            let Some(oldest) = self.webhooks.pop_front() else {
                break;
            };
            self.body_bytes -= oldest.body.len();
        }
        behaviour
    }
}

fn headers(headers: &http::HeaderMap) -> BTreeMap<String, String> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        seen.entry(name.to_string())
            .and_modify(|earlier| {
                earlier.push_str(", ");
                earlier.push_str(&value);
            })
            .or_insert_with(|| value.to_string());
    }
    seen
}

async fn answer(shared: &Shared, request: Request<Bytes>) -> Answer {
    if let Some(topic) = request.uri().path().strip_prefix("/_sink/") {
        return Ok(control(shared, topic, &request));
    }
    if request.method() != Method::POST {
        return Ok(server::empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    let behaviour = shared.state().receive(&request);
    shared.changed.send_replace(());
    behave(behaviour).await
}

async fn behave(behaviour: Behaviour) -> Answer {
    sleep(behaviour.delay).await;
    if behaviour.hang_up {
        return Err(HangUp);
    }
    let received = behaviour.status.is_success();
    let mut response = server::json(behaviour.status, &json!({ "received": received }));
    if let Some(value) = behaviour.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    Ok(response)
}

fn control(shared: &Shared, topic: &str, request: &Request<Bytes>) -> Response<Body> {
    let mut state = shared.state();
    match (topic, request.method()) {
        ("webhooks" | "behaviour", &Method::GET) => {}
        ("webhooks", &Method::DELETE) => {
            state.webhooks.clear();
            state.body_bytes = 0;
        }
        ("behaviour", &Method::DELETE) => state.behaviours.clear(),
        ("behaviour", &Method::POST) => {
            if let Err(problem) = state.behaviours.add(request.body()) {
                return server::json(StatusCode::BAD_REQUEST, &json!({ "error": problem.0 }));
            }
        }
        ("webhooks" | "behaviour", _) => return server::empty(StatusCode::METHOD_NOT_ALLOWED),
        _ => return server::empty(StatusCode::NOT_FOUND),
    }
    let shown: Value = match topic {
        "webhooks" => json!(state.webhooks),
        _ => state.behaviours.to_json(),
    };
    server::json(StatusCode::OK, &shown)
}
