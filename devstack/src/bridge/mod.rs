//! An Upstash-compatible REST bridge in front of a real Redis.
//!
//! It answers as the Upstash REST reference describes, so that the client used in production can be
//! tested without an account. What the reference leaves open is decided in the module that has to.
//!
//! A request passes through `service` (authentication to answer), `request` (HTTP to commands),
//! `policy` and `limits` (what is refused), `lua` (scripts stock Redis would not take), `exec` and
//! `pool` (the backend), `encode` or `sse` (the answer). `faults`, `billing` and `control` serve
//! tests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};

pub use self::billing::BilledCommands;
pub use self::faults::{Fault, FaultKind};
pub use self::limits::Limits;
use crate::http::Server;

mod auth;
mod billing;
mod control;
mod encode;
mod exec;
mod faults;
mod limits;
mod lua;
mod policy;
mod pool;
mod request;
mod resp;
mod service;
mod sse;
mod table;

/// Above this the answer is 413; [`Limits::max_request_bytes`] applies to each command below it.
const MAX_BODY: usize = 64 * 1024 * 1024;
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How to start a [`Bridge`]. Not `Debug`, so that no log can show the tokens.
#[derive(Clone)]
pub struct BridgeOptions {
    /// TCP port on `127.0.0.1`; 0 picks a free one.
    pub port: u16,
    /// The Redis behind it, spoken to in RESP2 without a password.
    pub backend: SocketAddr,
    /// Bearer token for all commands.
    pub token: String,
    /// Bearer token for reading commands only.
    pub readonly_token: Option<String>,
    /// The plan to imitate.
    pub limits: Limits,
    /// How often an idle event stream carries a comment.
    pub heartbeat: Duration,
    /// Scripts with the `allow-key-locking` flag fail on a key that is not in `KEYS`, as they do on
    /// Upstash. Costs a second, unbilled, backend call for each `redis.call`.
    pub check_declared_keys: bool,
}

impl BridgeOptions {
    /// A free port, the default plan, no read-only token, declared keys checked.
    #[must_use]
    pub fn new(backend: SocketAddr, token: impl Into<String>) -> Self {
        Self {
            port: 0,
            backend,
            token: token.into(),
            readonly_token: None,
            limits: Limits::default(),
            heartbeat: HEARTBEAT,
            check_declared_keys: true,
        }
    }
}

/// A running bridge; dropping it closes the listener and every connection.
///
/// Beside the Upstash routes it serves, without a token: `POST /_bridge/faults` (a [`Fault`]),
/// `DELETE /_bridge/faults`, `POST /_bridge/limits` ([`Limits`]) and `GET /_bridge/commands`
/// ([`BilledCommands`]).
pub struct Bridge {
    server: Server,
    service: Arc<service::Service>,
}

impl Bridge {
    /// Starts to listen. The backend need not be up: until it is, commands are answered with 503.
    ///
    /// # Errors
    /// The port is taken, or a token is empty or has blanks in it.
    pub async fn start(options: BridgeOptions) -> anyhow::Result<Self> {
        let tokens = auth::Tokens {
            full: options.token,
            read_only: options.readonly_token,
        };
        let mut all = std::iter::once(&tokens.full).chain(&tokens.read_only);
        let valid = all.all(|token| !token.is_empty() && !token.contains(char::is_whitespace));
        ensure!(valid, "a token must not be empty or contain blanks");

        let pool = pool::Pool::new(options.backend);
        let meter = billing::Meter::start(&pool).await;
        let scripts = lua::Scripts::new(options.check_declared_keys);
        let service = Arc::new(service::Service {
            tokens,
            executor: exec::Executor::new(pool, meter, options.limits, scripts),
            faults: Mutex::default(),
            heartbeat: options.heartbeat,
        });
        let handler = Arc::clone(&service);
        let server = Server::start(options.port, MAX_BODY, move |request| {
            let service = Arc::clone(&handler);
            async move { service.answer(request).await }
        });
        let server = server.await.context("the bridge cannot listen")?;
        Ok(Self { server, service })
    }

    /// `http://127.0.0.1:<port>`, for `UPSTASH_REDIS_REST_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The token for all commands, for `UPSTASH_REDIS_REST_TOKEN`.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.service.tokens.full
    }

    /// Arms a fault; faults happen in the order they were armed.
    pub fn inject(&self, fault: Fault) {
        lock(&self.service.faults).add(fault);
    }

    /// Disarms all faults and forgets remembered answers.
    pub fn clear_faults(&self) {
        lock(&self.service.faults).clear();
    }

    /// Changes the plan to imitate.
    pub fn set_limits(&self, limits: Limits) {
        *lock(&self.service.executor.limits) = limits;
    }

    /// What has been billed since the bridge started.
    ///
    /// # Errors
    /// The backend is not available.
    pub async fn billed(&self) -> anyhow::Result<BilledCommands> {
        self.service
            .billed()
            .await
            .context("the backend is not available")
    }
}

/// No lock here is held across code that can leave a value half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
