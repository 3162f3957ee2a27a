//! What the API process is told, read and checked.

mod auth;
mod cache;
mod edge;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use shared::config::{
    Common, CommonArgs, ConfigCommand, ConfigError, EnvsArgs, PolicyArgs, Reader, RedisArgs,
    RedisConfig, SpotArgs,
};
use shared::envs::EnvsKey;
use shared::model::{PolicyRules, Rate, SpotRules};

use crate::auth::KeyRing;
use crate::webhooks_cli::WebhooksArgs;
use auth::AuthArgs;
use cache::CacheArgs;
pub use cache::CacheConfig;
pub use edge::Edge;
use edge::EdgeArgs;

const DEFAULT_METRICS_PORT: u16 = 9464;
/// A million US dollars per hour.
const MOST_HOURLY_COST: Rate = Rate::of_units(100_000_000_000);

/// The command line of `novita-api`.
#[derive(Debug, Parser)]
#[command(name = "novita-api", version = shared::VERSION, about = "The Novita GPU Instance API")]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<CliCommand>,
    /// Flags and variables.
    #[command(flatten)]
    pub args: ApiArgs,
}

/// What `novita-api` can do beside serving.
#[derive(Debug, Clone, Subcommand)]
pub enum CliCommand {
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at what became of webhooks, and do them over
    Webhooks(WebhooksArgs),
    /// Make an API key: prints it, to be given to its caller, and its entry for `API_KEYS`
    Keygen {
        /// Whose key it is, for logs
        name: String,
        /// What it may be used for: one or more of read, write and admin, separated by commas
        #[arg(long, default_value = "read,write")]
        scopes: String,
    },
    /// Ask the running process whether it is ready: exit code 0, or 1 and why not. Needs its `HOST` and
    /// `METRICS_PORT` only
    Healthcheck,
}

/// Flags and variables of the API process.
#[derive(Debug, Clone, Args)]
pub struct ApiArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Port of the public listener; 0 picks a free one
    #[arg(long, env = "PORT", default_value = "3000")]
    port: String,
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    envs: EnvsArgs,
    #[command(flatten)]
    auth: AuthArgs,
    #[command(flatten)]
    edge: EdgeArgs,
    #[command(flatten)]
    caches: CacheArgs,
    /// Longest time for one request, in ms (5000 to 120000)
    #[arg(long, env = "REQUEST_TIMEOUT", default_value = "30000")]
    request_timeout: String,
    /// Largest request body, in bytes (1024 to 10485760)
    #[arg(long, env = "REQUEST_BODY_LIMIT", default_value = "1048576")]
    request_body_limit: String,
    /// Public connections at a time; more wait (1 to 100000)
    #[arg(long, env = "MAX_CONNECTIONS", default_value = "4096")]
    max_connections: String,
    /// The most that all instances together may cost in US dollars per hour, e.g. 12.50; a create then
    /// needs `maxPricePerHour` [default: no limit]
    #[arg(long, env = "MAX_HOURLY_COST")]
    max_hourly_cost: Option<String>,
    /// Whether `GET /api/instances/comprehensive` is answered
    #[arg(long, env = "ENABLE_COMPREHENSIVE_LISTING", default_value = "true")]
    enable_comprehensive_listing: String,
    /// Whether it also shows what others made at the provider
    #[arg(long, env = "DEFAULT_INCLUDE_NOVITA_ONLY", default_value = "true")]
    default_include_novita_only: String,
    /// Whether it also has the provider's list read anew
    #[arg(long, env = "DEFAULT_SYNC_LOCAL_STATE", default_value = "false")]
    default_sync_local_state: String,
    /// Where webhooks go for instances that name no URL: the same as workers are told, for tests
    #[arg(long, env = "WEBHOOK_URL")]
    webhook_url: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    spot: SpotArgs,
}

/// The configuration of the API process.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// What every process is told.
    pub common: Common,
    /// Port of the public listener; 0 picks a free one.
    pub port: u16,
    /// Which Redis.
    pub redis: RedisConfig,
    /// Encrypts the environment variables of callers; without it they are refused.
    pub envs_key: Option<EnvsKey>,
    /// Who may ask for what; without it anybody may ask for anything.
    pub keys: Option<KeyRing>,
    /// What callers are told and allowed at the edge.
    pub edge: Edge,
    /// How long answers are kept.
    pub caches: CacheConfig,
    /// What a caller may take.
    pub limits: Limits,
    /// The most that all instances together may cost per hour; `None` for no limit.
    pub budget: Option<Rate>,
    /// How the whole fleet is listed.
    pub listing: Listing,
    /// When workers stop instances for their callers: they are told the same.
    pub policy: PolicyRules,
    /// What workers do about spot machines that are taken back: they are told the same.
    pub spot: SpotRules,
    /// Where webhooks go that name no URL: workers are told the same.
    pub webhook_url: Option<String>,
}

/// How `GET /api/instances/comprehensive` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    /// It does.
    pub is_enabled: bool,
    /// What others made is shown unless a request says otherwise.
    pub shows_foreign: bool,
    /// The provider's list is read anew unless a request says otherwise.
    pub syncs: bool,
}

/// What a caller may take of this process.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest time for one request, reading its body included.
    pub request_timeout: Duration,
    /// Longest time for a request's body to arrive.
    pub body_timeout: Duration,
    /// Largest request body in bytes.
    pub body_limit: usize,
    /// Public connections at a time; more wait unaccepted.
    pub max_connections: usize,
    /// Longest time for a request's head to arrive.
    pub head_timeout: Duration,
    /// How long a connection is kept that asks for nothing, or does not take its answer.
    pub idle_timeout: Duration,
}

/// Variables with their effective values, secrets masked.
type Effective = Vec<(&'static str, String)>;

impl ApiArgs {
    fn listing(&self, reader: &mut Reader) -> Listing {
        let (enabled, foreign, sync) = (
            &self.enable_comprehensive_listing,
            &self.default_include_novita_only,
            &self.default_sync_local_state,
        );
        Listing {
            is_enabled: reader.bool("ENABLE_COMPREHENSIVE_LISTING", enabled),
            shows_foreign: reader.bool("DEFAULT_INCLUDE_NOVITA_ONLY", foreign),
            syncs: reader.bool("DEFAULT_SYNC_LOCAL_STATE", sync),
        }
    }

    fn budget(&self, reader: &mut Reader) -> Option<Rate> {
        let raw = self.max_hourly_cost.as_deref()?.trim();
        if raw.is_empty() {
            return None;
        }
        let (low, high) = (Rate::of_units(1), MOST_HOURLY_COST);
        let budget = Rate::parse(raw).filter(|budget| (low..=high).contains(budget));
        if budget.is_none() {
            let (low, high) = (low.dollars(), high.dollars());
            let wanted = format!("is not an amount of US dollars from {low} to {high}");
            reader.problem("MAX_HOURLY_COST", &format!("{raw:?} {wanted}"));
        }
        reader.show("MAX_HOURLY_COST", raw.to_owned());
        budget
    }
}

impl ApiArgs {
    /// Reads and checks only which Redis, for commands that need nothing else.
    pub fn read_redis(&self) -> Result<RedisConfig, ConfigError> {
        let mut reader = Reader::default();
        let redis = self.redis.read(&mut reader);
        reader.finish(redis)
    }

    /// Reads and checks only what every process is told.
    pub fn read_common(&self) -> Result<Common, ConfigError> {
        let mut reader = Reader::default();
        let common = self.common.read(&mut reader, DEFAULT_METRICS_PORT);
        reader.finish(Some(common))
    }
}

impl ApiConfig {
    /// Reads and checks; tells every problem at once.
    pub fn read(args: &ApiArgs) -> Result<(Self, Effective), ConfigError> {
        let mut reader = Reader::default();
        let common = args.common.read(&mut reader, DEFAULT_METRICS_PORT);
        if common.shutdown_delay >= common.shutdown_timeout {
            reader.problem("SHUTDOWN_DELAY_MS", "must be below SHUTDOWN_TIMEOUT_MS");
        }
        let port = reader.int("PORT", &args.port, 0..=65535) as u16;
        if port != 0 && port == common.metrics_port {
            reader.problem("PORT", "is the same as METRICS_PORT");
        }
        let redis = args.redis.read(&mut reader);
        let prefix = redis.as_ref().map_or("", |redis| redis.prefix.as_str());
        let envs_key = args.envs.read(&mut reader, common.environment, prefix);
        let keys = args.auth.read(&mut reader, common.environment);
        let edge = args.edge.read(&mut reader);
        let has_fallback = redis.as_ref().is_some_and(|redis| redis.has_fallback);
        let caches = args.caches.read(&mut reader, has_fallback);
        let request_timeout =
            reader.millis("REQUEST_TIMEOUT", &args.request_timeout, 5000..=120_000);
        let body_limit = reader.int(
            "REQUEST_BODY_LIMIT",
            &args.request_body_limit,
            1024..=10 * 1024 * 1024,
        );
        let max_connections = reader.int("MAX_CONNECTIONS", &args.max_connections, 1..=100_000);
        let budget = args.budget(&mut reader);
        let listing = args.listing(&mut reader);
        let policy = args.policy.read(&mut reader);
        let spot = args.spot.read(&mut reader);
        let webhook_url = args.webhook_url.as_deref().and_then(|raw| {
            let url = reader.url("WEBHOOK_URL", raw, &["https", "http"]);
            url.map(|url| url.to_string())
        });
        let effective = reader.effective().to_vec();
        let config = redis.map(|redis| Self {
            common,
            port,
            redis,
            envs_key,
            keys,
            edge,
            caches,
            budget,
            listing,
            policy,
            spot,
            webhook_url,
            limits: Limits {
                request_timeout,
                body_timeout: Duration::from_secs(30),
                body_limit: body_limit as usize,
                max_connections: max_connections as usize,
                head_timeout: Duration::from_secs(10),
                idle_timeout: Duration::from_secs(75),
            },
        });
        Ok((reader.finish(config)?, effective))
    }
}
