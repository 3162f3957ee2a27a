//! The life of the process: connect, bind, serve, drain.

use std::sync::Arc;

use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use shared::admin::{self, BindError, Readiness};
use shared::config::log_ignored_variables;
use shared::queue::Gauges;
use shared::redis::Redis;
use shared::schema::{self, SchemaError};
use shared::store::Store;
use shared::{shutdown, telemetry};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::ApiConfig;
use crate::router::Router;
use crate::server;

/// Why the process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Redis is out of reach, refuses us, or holds another layout.
    #[error(transparent)]
    Redis(#[from] SchemaError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The metrics recorder cannot be installed.
    #[error("cannot start metrics: {0}")]
    Metrics(#[from] BuildError),
    /// Signals cannot be heard.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// Two routes contradict each other.
    #[error("the routes contradict each other: {0}")]
    Routes(#[from] matchit::InsertError),
}

/// The bound sockets of one process.
#[derive(Debug)]
pub struct Listeners {
    /// For callers.
    pub public: TcpListener,
    /// For metrics and probes.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds both addresses of the configuration.
    pub async fn bind(config: &ApiConfig) -> Result<Self, StartError> {
        let host = config.common.host;
        Ok(Self {
            public: admin::bind("public", (host, config.port).into()).await?,
            admin: admin::bind("admin", (host, config.common.metrics_port).into()).await?,
        })
    }
}

/// Serves until a signal ends it. No port is bound before Redis was reached.
pub async fn start(config: &ApiConfig) -> Result<(), StartError> {
    let stop = shutdown::on_signal().map_err(StartError::Signals)?;
    let metrics = telemetry::start_metrics()?;
    let redis = tokio::select! {
        redis = schema::connect(&config.redis) => redis?,
        () = stop.cancelled() => return Ok(()),
    };
    let listeners = Listeners::bind(config).await?;
    log_ignored_variables();
    if config.keys.is_none() {
        tracing::warn!("requests are not authenticated: let only trusted callers reach this port");
    }
    run(config, listeners, redis, metrics, stop).await
}

/// Serves on sockets that are bound already, until `stop` is cancelled and what was asked before is
/// answered, or until the hard stop of the configuration.
pub async fn run(
    config: &ApiConfig,
    listeners: Listeners,
    redis: Redis,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> Result<(), StartError> {
    crate::metrics::describe();
    // Callers can come again; they are not kept waiting for what does not answer.
    let redis = redis.guarded();
    let readiness = Readiness::new(redis.clone(), stop.clone());
    let gauges = Gauges::new(&redis, config.redis.keys.clone()).with_budget(config.budget);
    let app = App::new(
        Store::new(redis, config.redis.keys.clone()).with_envs_key(config.envs_key.clone()),
        readiness.clone(),
        Router::new()?,
        config,
        stop.clone(),
    );
    let close = CancellationToken::new();
    let public = server::serve(listeners.public, Arc::new(app), close.clone());
    let stop_probes = CancellationToken::new();
    let probes = admin::serve(
        listeners.admin,
        metrics,
        readiness.clone(),
        gauges,
        stop_probes.clone(),
    );
    // Probes and scrapers are served until the very end.
    let _stop_probes = stop_probes.drop_guard();
    readiness.started();

    let drain = async {
        stop.cancelled().await;
        sleep(config.common.shutdown_delay).await;
        close.cancel();
    };
    let hard_stop = async {
        stop.cancelled().await;
        sleep(config.common.shutdown_timeout).await;
    };
    tokio::select! {
        _ = async { tokio::join!(public, drain) } => tracing::info!("stopped"),
        () = hard_stop => tracing::warn!("stopped with requests unanswered"),
        () = probes => {}
    }
    Ok(())
}
