//! A fresh Redis with a bridge in front, and a client that shows every byte.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::SocketAddr;
use std::time::Duration;

use devstack::bridge::{Bridge, BridgeOptions};
use devstack::redis::{RedisOptions, RedisServer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const TOKEN: &str = "test-token";
pub(crate) const READ_ONLY_TOKEN: &str = "read-only-token";
/// Far above what anything here takes; reaching it means that it will never happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Stack {
    pub(crate) redis: RedisServer,
    pub(crate) bridge: Bridge,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut BridgeOptions)) -> Self {
        let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
        let mut options = BridgeOptions::new(redis.addr(), TOKEN);
        options.readonly_token = Some(READ_ONLY_TOKEN.to_owned());
        adjust(&mut options);
        let bridge = Bridge::start(options).await.unwrap();
        Self { redis, bridge }
    }

    /// `POST` with the standard token; `None` when the connection closed without an answer.
    pub(crate) async fn try_post(&self, target: &str, json: &Value) -> Option<Answer> {
        self.try_post_as(TOKEN, target, json).await
    }

    pub(crate) async fn try_post_as(
        &self,
        token: &str,
        target: &str,
        json: &Value,
    ) -> Option<Answer> {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str())];
        let body = json.to_string();
        send(
            self.bridge.addr(),
            "POST",
            target,
            &headers,
            body.as_bytes(),
        )
        .await
    }

    pub(crate) async fn post(&self, target: &str, json: Value) -> Answer {
        self.try_post(target, &json).await.expect("no answer")
    }

    pub(crate) async fn post_as(&self, token: &str, target: &str, json: Value) -> Answer {
        self.try_post_as(token, target, &json)
            .await
            .expect("no answer")
    }

    /// The result of one command that succeeds.
    pub(crate) async fn run(&self, command: Value) -> Value {
        let answer = self.post("/", command).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["result"].clone()
    }

    /// Arms a fault or sets limits, as a test in another process would.
    pub(crate) async fn control(&self, method: &str, path: &str, json: Value) -> Answer {
        let body = json.to_string();
        send(self.bridge.addr(), method, path, &[], body.as_bytes())
            .await
            .expect("no answer")
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (given, value) = line.split_once(": ")?;
            given.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let fields = headers.iter().chain(&[("Host", "bridge")]).copied();
    let fields: String = fields
        .chain([("Content-Length", length.as_str())])
        .map(|(name, value)| [name, ": ", value, "\r\n"].concat())
        .collect();
    let head = format!("{method} {target} HTTP/1.1\r\n{fields}\r\n");
    [head.as_bytes(), body].concat()
}

/// One request on a connection of its own; `None` when it closed without an answer.
pub(crate) async fn send(
    addr: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Option<Answer> {
    let mut headers = headers.to_vec();
    headers.push(("Connection", "close"));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(&request(method, target, &headers, body))
        .await
        .unwrap();
    let mut received = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut received))
        .await
        .expect("no answer in time")
        .ok()?;
    let head_length = received
        .windows(4)
        .position(|window| window == b"\r\n\r\n")?;
    let body = received.split_off(head_length + 4);
    let head = String::from_utf8(received).unwrap();
    Some(Answer {
        status: head.get(9..12)?.parse().unwrap(),
        head,
        body,
    })
}

/// Sends a request and hangs up without reading the answer.
pub(crate) async fn abandon(addr: SocketAddr, target: &str, body: &[u8]) {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("Authorization", authorization.as_str())];
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream
        .write_all(&request("POST", target, &headers, body))
        .await
        .unwrap();
}

/// A server-sent event stream, read event by event.
pub(crate) struct Events {
    stream: TcpStream,
    received: Vec<u8>,
    text: String,
}

impl Events {
    pub(crate) async fn open(addr: SocketAddr, target: &str) -> Self {
        let authorization = format!("Bearer {TOKEN}");
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Accept", "text/event-stream"),
        ];
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream
            .write_all(&request("POST", target, &headers, b"[]"))
            .await
            .unwrap();
        let mut events = Self {
            stream,
            received: Vec::new(),
            text: String::new(),
        };
        let head = events.take_until(b"\r\n\r\n").await.expect("no head");
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(head.contains("cache-control: no-cache"), "{head}");
        events
    }

    /// The bytes up to and including the next empty line; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                return Some(std::mem::replace(&mut self.text, rest));
            }
            let size = String::from_utf8(self.take_until(b"\r\n").await?).unwrap();
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
            let chunk = self.take(size + 2).await?;
            self.text += std::str::from_utf8(&chunk[..size]).unwrap();
            if size == 0 {
                return None;
            }
        }
    }

    async fn take_until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self
                .received
                .windows(mark.len())
                .position(|window| window == mark);
            if let Some(start) = found {
                return self.take(start + mark.len()).await;
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.received.len() < length {
            self.fill().await?;
        }
        Some(self.received.drain(..length).collect())
    }

    async fn fill(&mut self) -> Option<()> {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received));
        let read = read.await.expect("no event in time").unwrap_or(0);
        (read > 0).then_some(())
    }
}

/// Waits until the condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let holds = devstack::stack::eventually(what, PATIENCE, async || {
        condition().await.then_some(()).ok_or_else(String::new)
    });
    holds.await.unwrap();
}
