//! The API on a free port over a real Redis. Every answer is checked for what all answers share.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use api::{ApiConfig, Cli, Listeners, StartError};
use clap::Parser;
use devstack::redis::{RedisOptions, RedisServer};
use http::{HeaderMap, Method, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use shared::redis::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running API. Dropping it stops serving.
pub(crate) struct Api {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) config: ApiConfig,
    pub(crate) redis: Redis,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), StartError>>,
    client: reqwest::Client,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Api {
    /// Over the Redis that all tests share, under a prefix of its own.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same, with a changed configuration.
    pub(crate) async fn start_with(change: impl FnOnce(&mut ApiConfig)) -> Self {
        Self::start_on(&shared_redis().await.url(), change).await
    }

    /// Over a Redis of the test's own.
    pub(crate) async fn start_on(redis_url: &str, change: impl FnOnce(&mut ApiConfig)) -> Self {
        Self::start_over(&[&format!("--redis-url={redis_url}")], change).await
    }

    /// Over the Redis that these flags name.
    pub(crate) async fn start_over(redis: &[&str], change: impl FnOnce(&mut ApiConfig)) -> Self {
        let metrics = process_wide();
        let mut config = config(redis);
        // Tests that are not about caches want to see what they wrote a moment ago, by another way.
        config.caches.max_entries = 0;
        change(&mut config);
        let redis = Redis::new(&config.redis.options).unwrap();
        let listeners = Listeners::bind(&config).await.unwrap();
        let addr = listeners.public.local_addr().unwrap();
        let admin = listeners.admin.local_addr().unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (config, redis, stop) = (config.clone(), redis.clone(), stop.clone());
            async move { api::run(&config, listeners, redis, metrics, stop).await }
        });
        Self {
            addr,
            admin,
            config,
            redis,
            stop,
            task,
            client: devstack::http::client(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(self.request(Method::GET, path)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(self.request(Method::POST, path).json(body)).await
    }

    /// Creates an instance of this name and gives its id.
    pub(crate) async fn create(&self, name: &str) -> String {
        let answer = self.post("/api/instances", &wish(name)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("/instanceId")
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.addr))
            .timeout(PATIENCE)
    }

    /// Sends a request and checks what every answer must have.
    pub(crate) async fn ask(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).expect("every body is JSON")
        };
        let answer = Answer {
            status,
            headers,
            body,
        };
        answer.check();
        answer
    }

    /// Sends bytes on a new connection and reads one answer.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut connection = Raw::open(self.addr).await;
        connection.send(bytes).await;
        connection.answer().await
    }
}

impl Answer {
    fn check(&self) {
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        let is_bare = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&self.status);
        let has_body = !is_bare;
        let media_type = if has_body {
            "application/json; charset=utf-8"
        } else {
            ""
        };
        assert_eq!(self.header("content-type"), media_type, "{self:?}");
        assert!(has_body || self.body.is_null(), "{self:?}");
        assert!(!self.header("x-correlation-id").is_empty(), "{self:?}");
        let request_id = self.header("x-request-id");
        assert!(!request_id.is_empty(), "{self:?}");
        if self.status.as_u16() < 400 || self.body.is_null() {
            return;
        }
        // An unhealthy report is a report, not an error.
        if self.body["services"].is_object() {
            return;
        }
        assert_eq!(self.text("/error/requestId"), request_id);
        assert_eq!(
            self.text("/error/correlationId"),
            self.header("x-correlation-id")
        );
        for member in ["code", "message", "timestamp"] {
            assert!(self.body["error"][member].is_string(), "{member}: {self:?}");
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The text at a JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> String {
        let value = self.body.pointer(pointer).and_then(Value::as_str);
        value
            .unwrap_or_else(|| panic!("no text at {pointer} in {}", self.body))
            .to_owned()
    }

    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }

    /// Status and error code, to compare in one go.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.code()),
            (status, code),
            "{self:?}"
        );
    }
}

/// A connection that is spoken to in bytes.
pub(crate) struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Raw {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(addr).await.unwrap(),
            received: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends the head of a create whose body has `length` bytes and waits until the API reads it.
    pub(crate) async fn begin_create(&mut self, length: usize) {
        let head = format!(
            "POST /api/instances HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        );
        self.send(head.as_bytes()).await;
        assert_eq!(self.answer().await.status, 100);
    }

    /// Reads one answer: its head, and as many bytes as its head promises.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head_end = loop {
            let end = self.received.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(at) = end {
                break at + 4;
            }
            self.read_some().await;
        };
        let head: Vec<u8> = self.received.drain(..head_end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let length: usize = headers
            .get("content-length")
            .map_or(0, |value| value.to_str().unwrap().parse().unwrap());
        while self.received.len() < length {
            self.read_some().await;
        }
        let body: Vec<u8> = self.received.drain(..length).collect();
        let answer = Answer {
            status: status.parse().unwrap(),
            headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        };
        // What hyper refuses by itself has no body and no ids.
        if length > 0 {
            answer.check();
        }
        answer
    }

    async fn read_some(&mut self) {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await;
        let count = read.expect("no answer in time").unwrap();
        let before = String::from_utf8_lossy(&self.received);
        assert_ne!(count, 0, "closed after {before:?}");
    }

    /// Waits until the other side closes; gives what came before and was not read yet.
    pub(crate) async fn closed(&mut self) -> &[u8] {
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut self.received)).await;
        // A reset is an end as well.
        let _ = read.expect("still open");
        &self.received
    }
}

/// A valid body for a new instance.
pub(crate) fn wish(name: &str) -> Value {
    json!({"name": name, "productName": "RTX 4090 24GB", "templateId": "107672"})
}

fn config(redis: &[&str]) -> ApiConfig {
    let prefix = format!("--redis-key-prefix=test-{}", Ulid::generate());
    let flags = [
        "novita-api",
        "--host=127.0.0.1",
        "--port=0",
        "--metrics-port=0",
        "--redis-retry-attempts=1",
        "--redis-retry-delay-ms=100",
        &prefix,
    ];
    let cli = Cli::parse_from(flags.iter().chain(redis));
    ApiConfig::read(&cli.args).unwrap().0
}

/// One server for all tests of the process; it ends with the process.
pub(crate) async fn shared_redis() -> &'static RedisServer {
    static SERVER: OnceCell<RedisServer> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async { RedisServer::start(RedisOptions::default()).await.unwrap() })
        .await
}

/// What can be installed only once in a process.
fn process_wide() -> PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS
        .get_or_init(|| shared::telemetry::start_metrics().unwrap())
        .clone()
}
