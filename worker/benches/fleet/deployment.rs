//! One deployment: its own Redis, its own provider, API and workers as processes.

use std::time::Duration;

use anyhow::Context;
use devstack::machine::Resident;
use devstack::redis::{RedisOptions, RedisServer};
use devstack::service::{Role, Service};
use devstack::stack::{NOVITA_KEY, WEBHOOK_SECRET};
use shared::redis::{Keys, Redis, RedisOptions as ClientOptions, Target};
use tempfile::TempDir;
use worker::marker::DeploymentId;

use crate::simulator::{Boots, Provider};

/// Key prefix of every deployment here.
const PREFIX: &str = "bench";
/// The most calls a minute that can be configured: what is measured is us, not the limit.
pub(crate) const RATE_LIMIT: u32 = 6000;
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A running deployment; dropping it kills every process.
pub(crate) struct Deployment {
    // Services first: they must not see their Redis disappear.
    apis: Vec<Service>,
    workers: Vec<Service>,
    /// The provider.
    pub(crate) provider: Provider,
    redis: RedisServer,
    env: Vec<(String, String)>,
    logs: TempDir,
}

impl Deployment {
    /// Redis and the provider; no process of ours yet.
    pub(crate) async fn start(boots: Boots) -> anyhow::Result<Self> {
        let redis = RedisServer::start(RedisOptions::default()).await?;
        let provider = Provider::start(boots).await?;
        let env = [
            // Everything that is not said here has its default.
            ("NODE_ENV", "development"),
            ("HOST", "127.0.0.1"),
            ("LOG_FORMAT", "json"),
            ("REDIS_URL", &redis.url()),
            ("REDIS_KEY_PREFIX", PREFIX),
            ("NOVITA_API_KEY", NOVITA_KEY),
            ("NOVITA_API_BASE_URL", provider.url()),
            ("NOVITA_RATE_LIMIT_PER_MINUTE", &RATE_LIMIT.to_string()),
            ("WEBHOOK_SECRET", WEBHOOK_SECRET),
            ("WEBHOOK_ALLOW_PRIVATE", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        Ok(Self {
            apis: Vec::new(),
            workers: Vec::new(),
            provider,
            redis,
            env,
            logs: TempDir::with_prefix("bench-fleet-")?,
        })
    }

    /// One more API process.
    pub(crate) async fn add_api(&mut self) -> anyhow::Result<()> {
        let (number, logs) = (self.apis.len(), self.logs.path());
        let api = Service::start(Role::Api, number, &self.env, logs).await?;
        self.apis.push(api);
        Ok(())
    }

    /// One more worker process.
    pub(crate) async fn add_worker(&mut self) -> anyhow::Result<()> {
        let (number, logs) = (self.workers.len(), self.logs.path());
        let worker = Service::start(Role::Worker, number, &self.env, logs).await?;
        self.workers.push(worker);
        Ok(())
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Base URL of the API.
    pub(crate) fn api(&self) -> anyhow::Result<&str> {
        self.apis.first().map(Service::url).context("no API")
    }

    /// What the first worker holds in memory.
    pub(crate) fn worker_memory(&self) -> anyhow::Result<Resident> {
        let pid = self.workers.first().and_then(Service::pid);
        Resident::of(pid.context("no worker")?)
    }

    /// The server.
    pub(crate) fn server(&self) -> &RedisServer {
        &self.redis
    }

    /// A client of its Redis, as a process of ours has one.
    pub(crate) fn client(&self) -> anyhow::Result<Redis> {
        Ok(Redis::new(&ClientOptions {
            target: Target::Resp {
                url: self.redis.url(),
            },
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(5),
            retries: 3,
            retry_delay: Duration::from_secs(1),
        })?)
    }

    /// Its keys.
    pub(crate) fn keys() -> Keys {
        Keys::new(PREFIX)
    }

    /// Its mark on everything it orders.
    pub(crate) fn id() -> DeploymentId {
        DeploymentId::from_prefix(PREFIX)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        for service in self.workers.iter_mut().chain(&mut self.apis) {
            service.stop(STOP_WITHIN).await?;
        }
        self.redis.stop().await
    }
}
