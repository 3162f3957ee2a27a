//! The worker: reserves jobs, drives the provider, writes results back, delivers webhooks.
//!
//! To follow a job read `runner` (reserve, run, settle), `handler` (which code does it), then
//! `reconcile` (an instance) or `webhook` (a delivery).

#![forbid(unsafe_code)]

mod breaker;
mod catalog;
pub mod config;
pub mod fleet;
pub mod fleet_cli;
mod handler;
pub mod health;
pub mod marker;
mod metrics;
pub mod novita;
pub mod outbound;
mod periodic;
pub mod provider;
pub mod pulse;
pub mod queue_cli;
mod reconcile;
pub mod runner;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http::HeaderValue;
use metrics_exporter_prometheus::PrometheusHandle;
use shared::admin::{self, Readiness};
use shared::fleet::FleetStore;
use shared::pace::Pace;
use shared::queue::{Gauges, Job, Periodic, Queue};
use shared::redis::Redis;
use shared::store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::config::WorkerConfig;
use crate::fleet::{Cadence, Fleet};
use crate::handler::Work;
use crate::novita::{ApiKey, NovitaClient, NovitaOptions};
use crate::outbound::{Guard, Outbound};
use crate::periodic::Housekeeping;
use crate::provider::Provider;
use crate::pulse::{ProviderHealth, Pulse};
use crate::reconcile::{Notifier, Reconciler};
use crate::runner::RunnerOptions;
use crate::webhook::{Deliverer, DelivererOptions, Endpoints, GoneReceivers, Webhooks};

/// On top of the shutdown time-out, for settling what finished within it.
const SETTLE_GRACE: Duration = Duration::from_secs(3);

/// Works until `stop` is cancelled, then finishes what runs within the shutdown time-out.
///
/// # Errors
/// The settings cannot be turned into clients: no usable root certificates, or an unusable key.
pub async fn run(
    config: WorkerConfig,
    redis: Redis,
    admin_listener: TcpListener,
    metrics_handle: PrometheusHandle,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    metrics::describe();
    let keys = config.redis.keys.clone();
    let provider_health = ProviderHealth::default();
    let queue = Queue::new(redis.clone(), keys.clone(), config.lease);
    let work = work(&config, &redis, &queue, &provider_health)?;
    let pulse = Pulse::new(
        &redis,
        keys.clone(),
        queue.session().to_owned(),
        config.permits,
        provider_health,
    );
    let readiness = Readiness::new(redis.clone(), stop.clone());
    // Metrics stay up until the last job is settled.
    let closed = CancellationToken::new();
    let serving = tokio::spawn(admin::serve(
        admin_listener,
        metrics_handle,
        readiness.clone(),
        Gauges::new(&redis, keys.clone()),
        closed.clone(),
    ));
    readiness.started();
    tracing::info!(
        session = queue.session(),
        permits = config.permits,
        "working"
    );
    let ending = delayed(&stop, config.common.shutdown_delay);
    let grace = config.common.shutdown_timeout;
    let options = RunnerOptions {
        permits: config.permits,
        grace,
        max_attempts: config.max_attempts,
        standing: Periodic::ALL.map(|name| Job::Periodic { name }).to_vec(),
        ..RunnerOptions::default()
    };
    // A task of its own: what the main task awaits is woken across threads every time.
    let working = tokio::spawn(runner::run(
        queue,
        Arc::new(work),
        options,
        pulse,
        ending.clone(),
    ));
    let hard_stop = async {
        ending.cancelled().await;
        tokio::time::sleep(grace + SETTLE_GRACE).await;
    };
    tokio::select! {
        done = working => done.context("the runner")?,
        // Redis is away, most likely: what is not settled comes back when its lease ends.
        () = hard_stop => tracing::warn!("stopped with results that could not be settled"),
    }
    closed.cancel();
    serving.await.context("the admin listener")?;
    tracing::info!("stopped");
    Ok(())
}

/// A token that follows `stop` after `delay`.
fn delayed(stop: &CancellationToken, delay: Duration) -> CancellationToken {
    if delay.is_zero() {
        return stop.clone();
    }
    let (stop, later) = (stop.clone(), CancellationToken::new());
    let cancelled = later.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        tokio::time::sleep(delay).await;
        cancelled.cancel();
    });
    later
}

fn work(
    config: &WorkerConfig,
    redis: &Redis,
    queue: &Queue,
    health: &ProviderHealth,
) -> anyhow::Result<Work<NovitaClient>> {
    let novita = NovitaClient::new(NovitaOptions {
        base_url: config.novita.base_url.to_string(),
        api_key: ApiKey::new(config.novita.api_key.reveal()).context("NOVITA_API_KEY")?,
        read_timeout: config.novita.read_timeout,
        write_timeout: config.novita.write_timeout,
        connect_timeout: Duration::from_secs(3),
    })
    .context("the provider's client")?;
    let guard = Guard {
        allow_private: config.webhook.allow_private,
        allow_http: config.webhook.allow_http,
    };
    let outbound = Outbound::new(guard).context("TLS for webhooks and health checks")?;
    let deliverer = Deliverer::new(
        outbound.clone().through(config.webhook.proxy.clone()),
        DelivererOptions {
            timeout: config.webhook.timeout,
            secrets: config.webhook.secrets.clone(),
            user_agent: HeaderValue::from_static(concat!(
                "Novita-GPU-Instance-API/",
                env!("CARGO_PKG_VERSION")
            )),
        },
    );
    let pace = Pace::new(redis, &config.redis.keys, config.novita.rate_limit);
    let provider = Arc::new(Provider::new(novita, health.clone(), pace));
    let fleet = Fleet {
        store: FleetStore::new(redis.clone(), config.redis.keys.clone()),
        records: Store::new(redis.clone(), config.redis.keys.clone()),
        queue: queue.clone(),
        provider: Arc::clone(&provider),
        cadence: Cadence::new(config.reconcile.poll_slow, config.reconcile.poll_fast),
        deployment: config.reconcile.deployment.clone(),
        marker_secret: config.reconcile.marker_secret.clone(),
        sweep: config.sweep,
        notifier: Notifier::new(&config.webhook),
    };
    let reconciler = Reconciler {
        store: Store::new(redis.clone(), config.redis.keys.clone())
            .with_envs_key(config.envs_key.clone()),
        queue: queue.clone(),
        provider,
        catalog: Catalog::new(config.reconcile.catalog_ttl),
        outbound,
        notifier: Notifier::new(&config.webhook),
        config: config.reconcile.clone(),
        policy: config.policy.clone(),
        spot: config.spot.clone(),
    };
    Ok(Work {
        reconciler,
        fleet,
        webhooks: Webhooks {
            deliverer,
            endpoints: Endpoints::new(config.permits),
            gone: GoneReceivers::new(redis.clone(), config.redis.keys.clone()),
            notifier: Notifier::new(&config.webhook),
        },
        housekeeping: Housekeeping::new(
            redis.clone(),
            config.redis.keys.clone(),
            config.retention,
            config.webhook.log_retention,
        ),
    })
}
