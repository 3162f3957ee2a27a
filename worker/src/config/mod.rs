//! The worker's configuration.

mod reconcile;
mod sweep;
mod webhook;

use std::time::Duration;

use clap::{Parser, Subcommand};
use shared::config::{
    Common, CommonArgs, ConfigCommand, ConfigError, EnvsArgs, PolicyArgs, Reader, RedisArgs,
    RedisConfig, Secret, SpotArgs,
};
use shared::envs::EnvsKey;
use shared::model::{PolicyRules, SpotRules};
use url::Url;

pub use self::reconcile::ReconcileConfig;
pub use self::sweep::SweepConfig;
pub use self::webhook::{WebhookConfig, WebhookFormat};

use self::reconcile::ReconcileArgs;
use self::sweep::SweepArgs;
use self::webhook::WebhookArgs;
use crate::fleet_cli::FleetCommand;
use crate::queue_cli::QueueArgs;

const DEFAULT_METRICS_PORT: u16 = 9465;
/// From the end of a delivery until it is settled, with time to spare.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

/// Drives the provider and delivers webhooks for the Novita GPU Instance API
#[derive(Debug, Parser)]
#[command(name = "novita-worker", version = shared::VERSION)]
pub struct Cli {
    /// What to do instead of working
    #[command(subcommand)]
    pub command: Option<CliCommand>,
    #[command(flatten)]
    args: WorkerArgs,
}

/// What the binary does beside working.
#[derive(Debug, Clone, Subcommand)]
pub enum CliCommand {
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the work queue and steer it; needs the settings of Redis only
    Queue(QueueArgs),
    /// Look at the passes over the provider's instances; needs the settings of Redis only
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Ask the running process whether it is ready: exit code 0, or 1 and why not. Needs its `HOST` and
    /// `METRICS_PORT` only
    Healthcheck,
}

#[derive(Debug, clap::Args)]
struct WorkerArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    redis: RedisArgs,
    /// Key for the provider's API (at least 10 characters)
    #[arg(long, env = "NOVITA_API_KEY")]
    novita_api_key: Option<String>,
    /// File that holds the key
    #[arg(long, env = "NOVITA_API_KEY_FILE")]
    novita_api_key_file: Option<String>,
    /// The provider, with or without `/gpu-instance/openapi`
    #[arg(
        long,
        env = "NOVITA_API_BASE_URL",
        default_value = "https://api.novita.ai"
    )]
    novita_api_base_url: String,
    /// Longest wait for a read from the provider, in ms (5000 to 60000)
    #[arg(long, env = "NOVITA_API_TIMEOUT", default_value = "15000")]
    novita_api_timeout: String,
    /// Longest wait for a change at the provider, in ms (5000 to 120000)
    #[arg(long, env = "REQUEST_TIMEOUT", default_value = "30000")]
    request_timeout: String,
    /// Calls to the provider per minute, by all workers together (1 to 6000)
    #[arg(long, env = "NOVITA_RATE_LIMIT_PER_MINUTE", default_value = "60")]
    novita_rate_limit_per_minute: String,
    /// Jobs worked on at a time (1 to 100)
    #[arg(long, env = "MAX_CONCURRENT_JOBS", default_value = "10")]
    max_concurrent_jobs: String,
    /// How long a job stays with a worker that fell silent, in ms (2000 to 600000)
    #[arg(long, env = "JOB_LEASE_MS", default_value = "60000")]
    job_lease_ms: String,
    /// One-off jobs that came to nothing this often go to the dead letter (1 to 100)
    #[arg(long, env = "JOB_MAX_ATTEMPTS", default_value = "3")]
    job_max_attempts: String,
    /// How long a deleted instance can still be asked about, in days (1 to 3650)
    #[arg(long, env = "RECORD_RETENTION_DAYS", default_value = "30")]
    record_retention_days: String,
    #[command(flatten)]
    envs: EnvsArgs,
    #[command(flatten)]
    reconcile: ReconcileArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    spot: SpotArgs,
    #[command(flatten)]
    sweep: SweepArgs,
    #[command(flatten)]
    webhook: WebhookArgs,
}

/// Everything the worker is told.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Surroundings, logs, admin port, shutdown.
    pub common: Common,
    /// Which Redis.
    pub redis: RedisConfig,
    /// Decrypts the environment variables of callers.
    pub envs_key: Option<EnvsKey>,
    /// The provider.
    pub novita: NovitaConfig,
    /// Jobs worked on at a time.
    pub permits: usize,
    /// How long a job stays with a worker that fell silent.
    pub lease: Duration,
    /// One-off jobs that came to nothing this often go to the dead letter.
    pub max_attempts: u32,
    /// How long a deleted instance can still be asked about.
    pub retention: Duration,
    /// Cadences and deadlines of the reconciler.
    pub reconcile: ReconcileConfig,
    /// When instances are stopped for their callers.
    pub policy: PolicyRules,
    /// What is done about spot machines that the provider takes back.
    pub spot: SpotRules,
    /// Instances that nobody accounts for.
    pub sweep: SweepConfig,
    /// Webhooks.
    pub webhook: WebhookConfig,
}

/// Where the provider is and how patient to be.
#[derive(Debug, Clone)]
pub struct NovitaConfig {
    /// The key.
    pub api_key: Secret,
    /// The base URL as given.
    pub base_url: Url,
    /// Longest wait for a read.
    pub read_timeout: Duration,
    /// Longest wait for a change.
    pub write_timeout: Duration,
    /// Calls per minute, by all workers together.
    pub rate_limit: u32,
}

impl Cli {
    /// Reads and checks; the reader remembers the effective values.
    pub fn read(
        &self,
    ) -> (
        Result<WorkerConfig, ConfigError>,
        Vec<(&'static str, String)>,
    ) {
        let mut reader = Reader::default();
        let config = self.args.read(&mut reader);
        let effective = reader.effective().to_vec();
        (reader.finish(config), effective)
    }

    /// Reads and checks only what every process is told.
    pub fn read_common(&self) -> Result<Common, ConfigError> {
        let mut reader = Reader::default();
        let common = self.args.common.read(&mut reader, DEFAULT_METRICS_PORT);
        reader.finish(Some(common))
    }

    /// Reads and checks only which Redis, for commands that need nothing else.
    pub fn read_redis(&self) -> Result<RedisConfig, ConfigError> {
        let mut reader = Reader::default();
        let redis = self.args.redis.read(&mut reader);
        reader.finish(redis)
    }
}

impl WorkerArgs {
    fn read(&self, reader: &mut Reader) -> Option<WorkerConfig> {
        let common = self.common.read(reader, DEFAULT_METRICS_PORT);
        let redis = self.redis.read(reader);
        let api_key = self.api_key(reader);
        let base_url = reader.url(
            "NOVITA_API_BASE_URL",
            &self.novita_api_base_url,
            &["https", "http"],
        );
        let (read_timeout, write_timeout) = self.provider_timeouts(reader);
        let rate_limit = reader.int(
            "NOVITA_RATE_LIMIT_PER_MINUTE",
            &self.novita_rate_limit_per_minute,
            1..=6000,
        );
        let permits = reader.int("MAX_CONCURRENT_JOBS", &self.max_concurrent_jobs, 1..=100);
        let retention = reader.int(
            "RECORD_RETENTION_DAYS",
            &self.record_retention_days,
            1..=3650,
        );
        let lease = reader.millis("JOB_LEASE_MS", &self.job_lease_ms, 2000..=600_000);
        let max_attempts = reader.int("JOB_MAX_ATTEMPTS", &self.job_max_attempts, 1..=100);
        let prefix = redis.as_ref().map_or("", |redis| redis.prefix.as_str());
        let envs_key = self.envs.read(reader, common.environment, prefix);
        let reconcile = self.reconcile.read(reader, prefix, write_timeout);
        let policy = self.policy.read(reader);
        let spot = self.spot.read(reader);
        let webhook = self.webhook.read(reader, common.environment);
        let longest = [
            ("REQUEST_TIMEOUT", write_timeout),
            ("NOVITA_API_TIMEOUT", read_timeout),
            ("HEALTH_CHECK_TIMEOUT_MS", reconcile.health_timeout),
        ];
        for (name, timeout) in longest {
            if timeout >= lease {
                reader.problem("JOB_LEASE_MS", &format!("must be longer than {name}"));
            }
        }
        // A receiver may answer at the last moment: what is not settled by the end of the lease is sent
        // twice.
        if webhook.timeout + SETTLED_WITHIN > lease {
            let margin = SETTLED_WITHIN.as_millis();
            let problem = format!("must be longer than WEBHOOK_TIMEOUT by {margin} ms or more");
            reader.problem("JOB_LEASE_MS", &problem);
        }
        Some(WorkerConfig {
            common,
            redis: redis?,
            envs_key,
            novita: NovitaConfig {
                api_key: api_key?,
                base_url: base_url?,
                read_timeout,
                write_timeout,
                rate_limit: rate_limit as u32,
            },
            permits: permits as usize,
            lease,
            max_attempts: max_attempts as u32,
            retention: Duration::from_secs(retention * 24 * 3600),
            reconcile,
            policy,
            spot,
            sweep: self.sweep.read(reader),
            webhook,
        })
    }

    fn api_key(&self, reader: &mut Reader) -> Option<Secret> {
        let api_key = reader.secret(
            "NOVITA_API_KEY",
            self.novita_api_key.as_deref(),
            self.novita_api_key_file.as_deref(),
            10,
        );
        if self.novita_api_key.is_none() && self.novita_api_key_file.is_none() {
            reader.missing("NOVITA_API_KEY", "the key for the provider's API");
        }
        api_key
    }

    /// For reads and for changes.
    fn provider_timeouts(&self, reader: &mut Reader) -> (Duration, Duration) {
        (
            reader.millis(
                "NOVITA_API_TIMEOUT",
                &self.novita_api_timeout,
                5000..=60_000,
            ),
            reader.millis("REQUEST_TIMEOUT", &self.request_timeout, 5000..=120_000),
        )
    }
}
