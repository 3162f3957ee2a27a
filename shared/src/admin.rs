//! The admin listener: `/metrics`, `/livez`, `/readyz`, away from the public port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::queue::Gauges;
use crate::redis::{Command, Redis, Repeat};

/// Scrapers and probes are few; more connections than this wait.
const MAX_CONNECTIONS: usize = 32;
const PROBE_BUDGET: Duration = Duration::from_millis(250);
const PROBE_CACHED: Duration = Duration::from_secs(1);

/// May this process be sent work? Started, not draining, and Redis answers.
#[derive(Debug, Clone)]
pub struct Readiness {
    redis: Redis,
    draining: CancellationToken,
    started: Arc<AtomicBool>,
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Readiness {
    /// Not ready until [`Readiness::started`]; never again once `draining` is cancelled.
    #[must_use]
    pub fn new(redis: Redis, draining: CancellationToken) -> Self {
        Self {
            redis,
            draining,
            started: Arc::default(),
            last: Arc::default(),
        }
    }

    /// Start-up is over.
    pub fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// The name of the check that fails, if any does. Redis is asked at most once a second.
    pub async fn failing(&self) -> Option<&'static str> {
        if self.draining.is_cancelled() {
            return Some("draining");
        }
        if !self.started.load(Ordering::Acquire) {
            return Some("starting");
        }
        let mut last = self.last.lock().await;
        let fresh = last.filter(|(at, _)| at.elapsed() < PROBE_CACHED);
        let answers = if let Some((_, answers)) = fresh {
            answers
        } else {
            let ping = self.redis.run(Command::new("PING"), Repeat::Harmless);
            let answers = matches!(tokio::time::timeout(PROBE_BUDGET, ping).await, Ok(Ok(_)));
            *last = Some((Instant::now(), answers));
            answers
        };
        (!answers).then_some("redis")
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}: {cause}")]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// What the system said.
    pub cause: std::io::Error,
}

/// Binds a listener and says where in the log; `name` tells which one it is.
pub async fn bind(name: &str, addr: SocketAddr) -> Result<TcpListener, BindError> {
    let listener = TcpListener::bind(addr)
        .await
        .map_err(|cause| BindError { addr, cause })?;
    let addr = listener.local_addr().unwrap_or(addr);
    tracing::info!(listener = name, %addr, "listening");
    Ok(listener)
}

/// Serves until `stop` is cancelled.
pub async fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    readiness: Readiness,
    gauges: Gauges,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, permit)) = accepted else {
            continue;
        };
        let pages = Pages {
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            gauges: gauges.clone(),
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(move |request| {
                let pages = pages.clone();
                async move { Ok::<_, Infallible>(pages.answer(&request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // A broken connection is the prober's concern.
                _ = connection => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

type Accepted = (tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(%error, "admin listener cannot accept");
            // Out of descriptors, most likely: trying again at once would only spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// What the listener shows.
#[derive(Clone)]
struct Pages {
    metrics: PrometheusHandle,
    readiness: Readiness,
    gauges: Gauges,
}

impl Pages {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let refusal = "only GET and HEAD\n".to_owned();
            return text(StatusCode::METHOD_NOT_ALLOWED, refusal);
        }
        match request.uri().path() {
            "/metrics" => {
                self.gauges.refresh().await;
                self.metrics.run_upkeep();
                text(StatusCode::OK, self.metrics.render())
            }
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => match self.readiness.failing().await {
                None => text(StatusCode::OK, "ok\n".to_owned()),
                Some(check) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{check}\n")),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "/metrics, /livez or /readyz\n".to_owned(),
            ),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        header::HeaderValue::from_static("no-store"),
    );
    response
}
