//! The worker's configuration.

use std::time::Duration;

use clap::{Parser, Subcommand};
use shared::config::{
    Common, CommonArgs, ConfigCommand, ConfigError, Environment, Reader, RedisArgs, RedisConfig,
    Secret,
};
use url::Url;

use crate::marker::DeploymentId;
use crate::webhook::Secret as WebhookSecret;

/// Drives the provider and delivers webhooks for the Novita GPU Instance API
#[derive(Debug, Parser)]
#[command(name = "novita-worker", version)]
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
    /// Jobs worked on at a time (1 to 100)
    #[arg(long, env = "MAX_CONCURRENT_JOBS", default_value = "10")]
    max_concurrent_jobs: String,
    /// How long a job stays with a worker that fell silent, in ms (2000 to 600000)
    #[arg(long, env = "JOB_LEASE_MS", default_value = "60000")]
    job_lease_ms: String,
    /// How often a settled instance is looked at, in seconds (10 to 300)
    #[arg(long, env = "INSTANCE_POLL_INTERVAL", default_value = "30")]
    instance_poll_interval: String,
    /// How often an instance in transition is looked at, in ms (100 to 60000)
    #[arg(long, env = "INSTANCE_POLL_FAST_MS", default_value = "2000")]
    instance_poll_fast_ms: String,
    /// Longest time from order to running before the next offer is tried, in ms (60000 to 1800000)
    #[arg(long, env = "INSTANCE_STARTUP_MAX_WAIT_TIME", default_value = "600000")]
    instance_startup_max_wait_time: String,
    /// Longest time from the request to an accepted order, in ms (60000 to 3600000)
    #[arg(
        long,
        env = "INSTANCE_STARTUP_OPERATION_TIMEOUT_MS",
        default_value = "900000"
    )]
    instance_startup_operation_timeout_ms: String,
    /// How long an order with no clear answer is looked for before it counts as not made, in ms
    /// (1000 to 3600000)
    #[arg(long, env = "CREATE_LOOKUP_WINDOW_MS", default_value = "120000")]
    create_lookup_window_ms: String,
    /// Longest wait for one endpoint in a health check, in ms (1000 to 60000)
    #[arg(long, env = "HEALTH_CHECK_TIMEOUT_MS", default_value = "10000")]
    health_check_timeout_ms: String,
    /// Health checks whose waits still grow (1 to 10)
    #[arg(long, env = "HEALTH_CHECK_RETRY_ATTEMPTS", default_value = "3")]
    health_check_retry_attempts: String,
    /// First wait between health checks, in ms (500 to 30000); it doubles
    #[arg(long, env = "HEALTH_CHECK_RETRY_DELAY_MS", default_value = "2000")]
    health_check_retry_delay_ms: String,
    /// Longest time from running to ready, in ms (30000 to 1800000)
    #[arg(long, env = "HEALTH_CHECK_MAX_WAIT_TIME_MS", default_value = "300000")]
    health_check_max_wait_time_ms: String,
    /// Region for requests that name none
    #[arg(long, env = "DEFAULT_REGION", default_value = "CN-HK-01")]
    default_region: String,
    /// Regions to try after that, in order, separated by commas
    #[arg(
        long,
        env = "REGION_FALLBACK",
        default_value = "AS-SGP-02,CN-HK-01,OC-AU-01,US-CA-06,US-WEST-01,EU-DE-01,EU-WEST-01,AS-IN-01"
    )]
    region_fallback: String,
    /// Where webhooks go for instances that name no URL
    #[arg(long, env = "WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// Signs webhooks (at least 8 characters); several, separated by commas, while rotating
    #[arg(long, env = "WEBHOOK_SECRET")]
    webhook_secret: Option<String>,
    /// File that holds the secrets
    #[arg(long, env = "WEBHOOK_SECRET_FILE")]
    webhook_secret_file: Option<String>,
    /// Longest time for one delivery, in ms (1000 to 30000)
    #[arg(long, env = "WEBHOOK_TIMEOUT", default_value = "10000")]
    webhook_timeout: String,
    /// legacy (flat) or standard (envelope)
    #[arg(long, env = "WEBHOOK_FORMAT", default_value = "legacy")]
    webhook_format: String,
    /// Let webhooks and health checks reach private addresses
    #[arg(long, env = "WEBHOOK_ALLOW_PRIVATE", default_value = "false")]
    webhook_allow_private: String,
    /// Let webhooks go over plain http [default: true outside production]
    #[arg(long, env = "WEBHOOK_ALLOW_HTTP")]
    webhook_allow_http: Option<String>,
    /// Six lower-case letters or digits in the name of everything this deployment orders
    /// [default: derived from `REDIS_KEY_PREFIX`]
    #[arg(long, env = "DEPLOYMENT_ID")]
    deployment_id: Option<String>,
    /// Signs the marker of everything this deployment orders (at least 8 characters)
    #[arg(long, env = "MARKER_SECRET")]
    marker_secret: Option<String>,
    /// File that holds that secret
    #[arg(long, env = "MARKER_SECRET_FILE")]
    marker_secret_file: Option<String>,
}

/// Everything the worker is told.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Surroundings, logs, admin port, shutdown.
    pub common: Common,
    /// Which Redis.
    pub redis: RedisConfig,
    /// The provider.
    pub novita: NovitaConfig,
    /// Jobs worked on at a time.
    pub permits: usize,
    /// How long a job stays with a worker that fell silent.
    pub lease: Duration,
    /// Cadences and deadlines of the reconciler.
    pub reconcile: ReconcileConfig,
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
}

/// Cadences and deadlines of the reconciler.
#[derive(Debug, Clone)]
pub struct ReconcileConfig {
    /// How often a settled instance is looked at.
    pub poll_slow: Duration,
    /// How often one in transition is looked at.
    pub poll_fast: Duration,
    /// Longest time from order to running.
    pub startup_max: Duration,
    /// Longest time from the first look at a request to an accepted order.
    pub operation_max: Duration,
    /// How long an order with no clear answer is looked for, after the time-out of its call.
    pub lookup_window: Duration,
    /// Longest wait for a change at the provider.
    pub write_timeout: Duration,
    /// Longest wait for one endpoint.
    pub health_timeout: Duration,
    /// Health checks whose waits still grow.
    pub health_attempts: u32,
    /// First wait between health checks.
    pub health_delay: Duration,
    /// Longest time from running to ready.
    pub health_max: Duration,
    /// Regions in the order to try for a request that names none.
    pub regions: Vec<String>,
    /// This deployment's tag.
    pub deployment: DeploymentId,
    /// Signs markers.
    pub marker_secret: Option<Secret>,
}

/// Webhooks.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where they go for instances that name no URL.
    pub default_url: Option<String>,
    /// Current secret first.
    pub secrets: Vec<WebhookSecret>,
    /// Longest time for one delivery.
    pub timeout: Duration,
    /// Flat or in an envelope.
    pub format: WebhookFormat,
    /// Private addresses may be reached.
    pub allow_private: bool,
    /// Plain http may be used.
    pub allow_http: bool,
}

/// The shape of a webhook's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookFormat {
    /// The predecessor's flat members.
    Legacy,
    /// The Standard Webhooks envelope around them.
    Standard,
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
}

impl WorkerArgs {
    fn read(&self, reader: &mut Reader) -> Option<WorkerConfig> {
        let common = self.common.read(reader, 9465);
        let redis = self.redis.read(reader);
        let api_key = self.api_key(reader);
        let base_url = reader.url(
            "NOVITA_API_BASE_URL",
            &self.novita_api_base_url,
            &["https", "http"],
        );
        let (read_timeout, write_timeout) = self.provider_timeouts(reader);
        let permits = reader.int("MAX_CONCURRENT_JOBS", &self.max_concurrent_jobs, 1..=100);
        let lease = reader.millis("JOB_LEASE_MS", &self.job_lease_ms, 2000..=600_000);
        let prefix = redis.as_ref().map_or("", |redis| redis.prefix.as_str());
        let reconcile = self.reconcile(reader, prefix, write_timeout);
        let webhook = self.webhook(reader, common.environment);
        let longest = [
            ("REQUEST_TIMEOUT", write_timeout),
            ("NOVITA_API_TIMEOUT", read_timeout),
            ("HEALTH_CHECK_TIMEOUT_MS", reconcile.health_timeout),
            ("WEBHOOK_TIMEOUT", webhook.timeout),
        ];
        for (name, timeout) in longest {
            if timeout >= lease {
                reader.problem("JOB_LEASE_MS", &format!("must be longer than {name}"));
            }
        }
        Some(WorkerConfig {
            common,
            redis: redis?,
            novita: NovitaConfig {
                api_key: api_key?,
                base_url: base_url?,
                read_timeout,
                write_timeout,
            },
            permits: permits as usize,
            lease,
            reconcile,
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

    fn reconcile(
        &self,
        reader: &mut Reader,
        prefix: &str,
        write_timeout: Duration,
    ) -> ReconcileConfig {
        let marker_secret = reader.secret(
            "MARKER_SECRET",
            self.marker_secret.as_deref(),
            self.marker_secret_file.as_deref(),
            8,
        );
        ReconcileConfig {
            poll_slow: reader.seconds(
                "INSTANCE_POLL_INTERVAL",
                &self.instance_poll_interval,
                10..=300,
            ),
            poll_fast: reader.millis(
                "INSTANCE_POLL_FAST_MS",
                &self.instance_poll_fast_ms,
                100..=60_000,
            ),
            startup_max: reader.millis(
                "INSTANCE_STARTUP_MAX_WAIT_TIME",
                &self.instance_startup_max_wait_time,
                60_000..=1_800_000,
            ),
            write_timeout,
            operation_max: reader.millis(
                "INSTANCE_STARTUP_OPERATION_TIMEOUT_MS",
                &self.instance_startup_operation_timeout_ms,
                60_000..=3_600_000,
            ),
            lookup_window: reader.millis(
                "CREATE_LOOKUP_WINDOW_MS",
                &self.create_lookup_window_ms,
                1000..=3_600_000,
            ),
            health_timeout: reader.millis(
                "HEALTH_CHECK_TIMEOUT_MS",
                &self.health_check_timeout_ms,
                1000..=60_000,
            ),
            health_attempts: reader.int(
                "HEALTH_CHECK_RETRY_ATTEMPTS",
                &self.health_check_retry_attempts,
                1..=10,
            ) as u32,
            health_delay: reader.millis(
                "HEALTH_CHECK_RETRY_DELAY_MS",
                &self.health_check_retry_delay_ms,
                500..=30_000,
            ),
            health_max: reader.millis(
                "HEALTH_CHECK_MAX_WAIT_TIME_MS",
                &self.health_check_max_wait_time_ms,
                30_000..=1_800_000,
            ),
            regions: self.regions(reader),
            deployment: self.deployment(reader, prefix),
            marker_secret,
        }
    }

    fn regions(&self, reader: &mut Reader) -> Vec<String> {
        let is_region = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let wanted = "a region code such as CN-HK-01";
        let first = reader.text("DEFAULT_REGION", &self.default_region, wanted, is_region);
        let fallback = reader.text(
            "REGION_FALLBACK",
            &self.region_fallback,
            "region codes such as CN-HK-01, separated by commas",
            |text| text.split(',').all(|region| is_region(region.trim())),
        );
        let mut regions = vec![first];
        for region in fallback.split(',').map(str::trim) {
            if !regions.iter().any(|known| known == region) {
                regions.push(region.to_owned());
            }
        }
        regions
    }

    fn deployment(&self, reader: &mut Reader, prefix: &str) -> DeploymentId {
        let derived = DeploymentId::from_prefix(prefix);
        let text = self
            .deployment_id
            .clone()
            .unwrap_or_else(|| derived.to_string());
        let text = reader.text(
            "DEPLOYMENT_ID",
            &text,
            "six lower-case letters or digits",
            |text| text.parse::<DeploymentId>().is_ok(),
        );
        text.parse().unwrap_or(derived)
    }

    fn webhook(&self, reader: &mut Reader, environment: Environment) -> WebhookConfig {
        let default_url = self.webhook_url.as_deref().and_then(|raw| {
            reader
                .url("WEBHOOK_URL", raw, &["https", "http"])
                .map(|url| url.to_string())
        });
        let secrets = reader.secret(
            "WEBHOOK_SECRET",
            self.webhook_secret.as_deref(),
            self.webhook_secret_file.as_deref(),
            8,
        );
        let secrets = secrets
            .iter()
            .flat_map(|secrets| secrets.reveal().split(','))
            .filter_map(|text| match WebhookSecret::parse(text.trim()) {
                Ok(secret) => Some(secret),
                Err(error) => {
                    reader.problem("WEBHOOK_SECRET", &error.to_string());
                    None
                }
            })
            .collect();
        let allow_http = self
            .webhook_allow_http
            .clone()
            .unwrap_or_else(|| (environment != Environment::Production).to_string());
        WebhookConfig {
            default_url,
            secrets,
            timeout: reader.millis("WEBHOOK_TIMEOUT", &self.webhook_timeout, 1000..=30_000),
            format: reader.choice(
                "WEBHOOK_FORMAT",
                &self.webhook_format,
                &[
                    ("legacy", WebhookFormat::Legacy),
                    ("standard", WebhookFormat::Standard),
                ],
            ),
            allow_private: reader.bool("WEBHOOK_ALLOW_PRIVATE", &self.webhook_allow_private),
            allow_http: reader.bool("WEBHOOK_ALLOW_HTTP", &allow_http),
        }
    }
}
