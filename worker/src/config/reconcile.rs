//! Cadences, deadlines and regions of the reconciler.

use std::time::Duration;

use clap::Args;
use shared::config::{Reader, Secret};

use crate::marker::DeploymentId;

/// Flags and variables of the reconciler.
#[derive(Debug, Args)]
pub(super) struct ReconcileArgs {
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
    /// How long the provider's lists of clusters and products are reused, in seconds (1 to 300)
    #[arg(long, env = "PRODUCT_CACHE_TTL", default_value = "15")]
    product_cache_ttl: String,
    /// Region that goes first among equal offers
    #[arg(long, env = "DEFAULT_REGION", default_value = "CN-HK-01")]
    default_region: String,
    /// Further regions to order from, in order, separated by commas
    #[arg(
        long,
        env = "REGION_FALLBACK",
        default_value = "AS-SGP-02,CN-HK-01,OC-AU-01,US-CA-06,US-WEST-01,EU-DE-01,EU-WEST-01,AS-IN-01"
    )]
    region_fallback: String,
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
    /// How long the provider's lists of clusters and products are reused.
    pub catalog_ttl: Duration,
    /// Regions to order from for a request that names none; the first goes first among equal offers.
    pub regions: Vec<String>,
    /// This deployment's tag.
    pub deployment: DeploymentId,
    /// Signs markers.
    pub marker_secret: Option<Secret>,
}

impl ReconcileArgs {
    /// Reads and checks; `prefix` names the deployment unless it has an id of its own.
    pub(super) fn read(
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
            catalog_ttl: reader.seconds("PRODUCT_CACHE_TTL", &self.product_cache_ttl, 1..=300),
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
}
