//! All of it, started in order and stopped in reverse: Redis, bridge, simulator, sink, then
//! `novita-api` and `novita-worker` as separate processes. Integration tests and `devstack` itself
//! use the same code.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::bridge::{Bridge, BridgeOptions};
use crate::novita::{Simulator, SimulatorOptions};
use crate::redis::{RedisOptions, RedisServer};
use crate::service::{Role, Service};
use crate::sink::Sink;

/// The REST token of the bridge; it guards nothing but a local test database.
const TOKEN: &str = "devstack-token";
/// The simulator's API key.
pub const NOVITA_KEY: &str = "devstack-novita-key";
/// What the worker signs webhooks with: 32 bytes behind the Standard Webhooks prefix.
pub const WEBHOOK_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Simulated seconds per second: an instance boots in a few seconds instead of half a minute.
pub(crate) const SIMULATED_SPEED: f64 = 10.0;
/// SIGTERM is answered within this time, or the process is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the processes reach Redis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Upstash's REST API, through the bridge.
    #[default]
    Upstash,
    /// RESP, straight to `redis-server`.
    Resp,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// How the processes reach Redis.
    pub transport: Transport,
    /// Replicas of `novita-api`.
    pub apis: usize,
    /// Replicas of `novita-worker`.
    pub workers: usize,
    /// Where Redis keeps its data and the processes their logs; `None` for a temporary directory.
    pub data_dir: Option<PathBuf>,
    /// More variables for the processes; these win.
    pub env: Vec<(String, String)>,
}

impl Default for StackOptions {
    fn default() -> Self {
        Self {
            transport: Transport::Upstash,
            apis: 1,
            workers: 1,
            data_dir: None,
            env: Vec::new(),
        }
    }
}

/// A running stack; dropping it kills every process.
pub struct Stack {
    // Services first: they must not see their Redis disappear.
    apis: Vec<Service>,
    workers: Vec<Service>,
    sink: Sink,
    simulator: Simulator,
    bridge: Bridge,
    redis: RedisServer,
    env: Vec<(String, String)>,
    logs: PathBuf,
    _temporary: Option<TempDir>,
}

/// Everything another program needs to drive the stack.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ports {
    api: Vec<String>,
    api_admin: Vec<String>,
    worker_admin: Vec<String>,
    api_key: Option<String>,
    novita: String,
    sink: String,
    redis: String,
    upstash: UpstashPorts,
    pids: Pids,
}

#[derive(Debug, Serialize)]
struct UpstashPorts {
    url: String,
    token: String,
}

#[derive(Debug, Serialize)]
struct Pids {
    api: Vec<u32>,
    worker: Vec<u32>,
    redis: Option<u32>,
}

impl Stack {
    /// Starts everything and waits until every process is ready.
    ///
    /// # Errors
    /// Something is missing or does not get ready; the message says what and shows its last words.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let temporary = match options.data_dir {
            Some(_) => None,
            None => Some(TempDir::with_prefix("devstack-")?),
        };
        let given = options.data_dir.as_deref();
        let dir = given
            .or(temporary.as_ref().map(TempDir::path))
            .context("no directory")?;
        let logs = dir.join("logs");
        std::fs::create_dir_all(&logs)
            .with_context(|| format!("cannot create {}", logs.display()))?;
        let redis_dir = Some(dir.join("redis"));
        let redis = RedisServer::start(RedisOptions {
            port: 0,
            data_dir: redis_dir,
        })
        .await?;
        let bridge = Bridge::start(BridgeOptions::new(redis.addr(), TOKEN)).await?;
        let simulator = Simulator::start(SimulatorOptions {
            api_keys: vec![NOVITA_KEY.to_owned()],
            speed: SIMULATED_SPEED,
            // Ids must not repeat over a data directory that is kept.
            seed: rand::random(),
            ..SimulatorOptions::default()
        })
        .await?;
        let sink = Sink::start(0).await?;
        let mut env = default_env(&simulator);
        env.extend(match options.transport {
            Transport::Upstash => vec![
                ("UPSTASH_REDIS_REST_URL".to_owned(), bridge.url()),
                ("UPSTASH_REDIS_REST_TOKEN".to_owned(), TOKEN.to_owned()),
            ],
            Transport::Resp => vec![("REDIS_URL".to_owned(), redis.url())],
        });
        env.extend(options.env);
        let mut stack = Self {
            apis: Vec::new(),
            workers: Vec::new(),
            sink,
            simulator,
            bridge,
            redis,
            env,
            logs,
            _temporary: temporary,
        };
        for _ in 0..options.apis {
            stack.add_api().await?;
        }
        for _ in 0..options.workers {
            stack.add_worker(&[]).await?;
        }
        Ok(stack)
    }

    /// Starts one more `novita-api`; returns its position.
    pub async fn add_api(&mut self) -> anyhow::Result<usize> {
        let number = self.apis.len();
        self.apis
            .push(Service::start(Role::Api, number, &self.env, &self.logs).await?);
        Ok(number)
    }

    /// Starts one more `novita-worker`, with more variables for this one; returns its position.
    pub async fn add_worker(&mut self, env: &[(&str, &str)]) -> anyhow::Result<usize> {
        let number = self.workers.len();
        let own = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let env: Vec<_> = self.env.iter().cloned().chain(own).collect();
        self.workers
            .push(Service::start(Role::Worker, number, &env, &self.logs).await?);
        Ok(number)
    }

    /// Kills a worker with SIGKILL, as a crash would.
    pub async fn kill_worker(&mut self, number: usize) -> anyhow::Result<()> {
        match self.workers.get_mut(number) {
            Some(worker) => worker.kill().await,
            None => bail!("there is no worker {number}"),
        }
    }

    /// Base URL of the first API process.
    #[must_use]
    pub fn api_url(&self) -> &str {
        self.apis.first().map_or("", Service::url)
    }

    /// The API processes.
    #[must_use]
    pub fn apis(&self) -> &[Service] {
        &self.apis
    }

    /// The worker processes.
    #[must_use]
    pub fn workers(&self) -> &[Service] {
        &self.workers
    }

    /// The provider.
    #[must_use]
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// The webhook receiver.
    #[must_use]
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// The REST bridge.
    #[must_use]
    pub fn bridge(&self) -> &Bridge {
        &self.bridge
    }

    /// The Redis behind everything.
    pub fn redis(&mut self) -> &mut RedisServer {
        &mut self.redis
    }

    /// The variables that every process gets.
    #[must_use]
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// Where the processes write their logs.
    #[must_use]
    pub fn logs(&self) -> &Path {
        &self.logs
    }

    /// Everything another program needs to drive the stack.
    #[must_use]
    pub fn ports(&self) -> Ports {
        let urls = |services: &[Service]| services.iter().map(|s| s.url().to_owned()).collect();
        let admin =
            |services: &[Service]| services.iter().map(|s| s.admin_url().to_owned()).collect();
        let pids = |services: &[Service]| services.iter().filter_map(Service::pid).collect();
        Ports {
            api: urls(&self.apis),
            api_admin: admin(&self.apis),
            worker_admin: admin(&self.workers),
            api_key: None,
            novita: self.simulator.url(),
            sink: self.sink.url(),
            redis: self.redis.url(),
            upstash: UpstashPorts {
                url: self.bridge.url(),
                token: TOKEN.to_owned(),
            },
            pids: Pids {
                api: pids(&self.apis),
                worker: pids(&self.workers),
                redis: self.redis.pid(),
            },
        }
    }

    /// Waits until a process that should run has ended, and tells which and how.
    pub async fn first_death(&mut self) -> String {
        loop {
            for service in self.apis.iter_mut().chain(&mut self.workers) {
                if let Some(how) = service.take_death() {
                    return how;
                }
            }
            sleep(Duration::from_millis(250)).await;
        }
    }

    /// Stops everything, callers' side first.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        for service in self.apis.iter_mut().chain(&mut self.workers) {
            service.stop(PATIENCE).await?;
        }
        self.redis.stop().await
    }
}

/// Settings under which a demonstration is over in seconds. Only loopback is reached, so private
/// addresses are allowed.
fn default_env(simulator: &Simulator) -> Vec<(String, String)> {
    [
        ("NODE_ENV", "development"),
        ("HOST", "127.0.0.1"),
        ("LOG_FORMAT", "json"),
        ("NOVITA_API_KEY", NOVITA_KEY),
        ("NOVITA_API_BASE_URL", &simulator.url()),
        ("WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("WEBHOOK_ALLOW_PRIVATE", "true"),
        ("INSTANCE_POLL_FAST_MS", "500"),
        ("HEALTH_CHECK_RETRY_DELAY_MS", "500"),
        ("HEALTH_CHECK_TIMEOUT_MS", "2000"),
        ("NOVITA_API_TIMEOUT", "5000"),
        ("REQUEST_TIMEOUT", "5000"),
        ("WEBHOOK_TIMEOUT", "5000"),
        ("JOB_LEASE_MS", "8000"),
        ("NOVITA_RATE_LIMIT_PER_MINUTE", "6000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// Waits for `check` to give a value; on time-out tells what it saw last.
///
/// # Errors
/// The condition did not come about within `within`.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match check().await {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() > deadline => {
                bail!("{what} did not come about within {within:?}; last seen: {seen}")
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
