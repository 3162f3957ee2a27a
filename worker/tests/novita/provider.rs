//! A provider that gives canned answers over a real socket and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use devstack::http::{Answer, HangUp, Server, empty, full};
use http::{Request, Response, StatusCode};
use serde_json::Value;
use worker::novita::{ApiKey, NovitaClient, NovitaOptions};

pub(crate) const KEY: &str = "sk_test_4f1c";

type Seen = Arc<Mutex<Vec<Request<Bytes>>>>;

pub(crate) struct Provider {
    server: Server,
    seen: Seen,
}

impl Provider {
    /// Answers the first request with the first answer and so on; the last answer repeats.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Canned>) -> Self {
        let seen = Seen::default();
        let answers = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
        let log = Arc::clone(&seen);
        let handler = move |request| {
            log.lock().unwrap().push(request);
            let mut answers = answers.lock().unwrap();
            let answer = if answers.len() > 1 {
                answers.pop_front()
            } else {
                answers.front().cloned()
            };
            let answer = answer.unwrap();
            async move { answer.play().await }
        };
        Self {
            server: Server::start(0, 1 << 20, handler).await.unwrap(),
            seen,
        }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) fn client(&self) -> NovitaClient {
        client(&self.url())
    }

    /// `METHOD /path?query` of every request so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |request: &Request<Bytes>| format!("{} {}", request.method(), request.uri());
        self.seen.lock().unwrap().iter().map(line).collect()
    }

    pub(crate) fn last(&self) -> Request<Bytes> {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn last_json(&self) -> Value {
        serde_json::from_slice(self.last().body()).unwrap()
    }
}

#[derive(Clone)]
pub(crate) enum Canned {
    Text(u16, String),
    HangUp,
    Silence,
}

impl Canned {
    async fn play(self) -> Answer {
        match self {
            Self::Text(status, body) => {
                let mut response: Response<_> = empty(StatusCode::from_u16(status).unwrap());
                *response.body_mut() = full(body);
                Ok(response)
            }
            Self::HangUp => Err(HangUp),
            Self::Silence => std::future::pending().await,
        }
    }
}

pub(crate) fn ok(body: &Value) -> Canned {
    Canned::Text(200, body.to_string())
}

/// A client that waits longer than any machine needs to answer.
pub(crate) fn client(base_url: &str) -> NovitaClient {
    client_waiting(base_url, Duration::from_secs(20))
}

pub(crate) fn client_waiting(base_url: &str, timeout: Duration) -> NovitaClient {
    NovitaClient::new(NovitaOptions {
        base_url: base_url.to_owned(),
        api_key: ApiKey::new(KEY).unwrap(),
        read_timeout: timeout,
        write_timeout: timeout,
        connect_timeout: Duration::from_secs(3),
    })
    .unwrap()
}
