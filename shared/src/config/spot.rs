//! What is done when the provider takes a spot machine back. The API tells of the same rules as the worker
//! follows.

use std::time::Duration;

use clap::Args;

use super::reader::Reader;
use crate::model::{SpotPolicy, SpotRules};

const POLICIES: [(&str, SpotPolicy); 4] = [
    (SpotPolicy::None.as_str(), SpotPolicy::None),
    (SpotPolicy::Replace.as_str(), SpotPolicy::Replace),
    (SpotPolicy::OnDemand.as_str(), SpotPolicy::OnDemand),
    (SpotPolicy::Migrate.as_str(), SpotPolicy::Migrate),
];

/// Flags and variables about it. The names that begin with `MIGRATION` are the predecessor's.
#[derive(Debug, Clone, Args)]
pub struct SpotArgs {
    /// `none`; `replace` by another spot machine or `on_demand` before it is lost; or `migrate` once it
    /// is lost, which loses its disks
    #[arg(long, env = "SPOT_POLICY", default_value = "none")]
    spot_policy: String,
    /// Whether it is only told what would be done
    #[arg(long, env = "SPOT_DRY_RUN", default_value = "false")]
    spot_dry_run: String,
    /// `false` is the same as the policy `none`
    #[arg(long, env = "MIGRATION_ENABLED", default_value = "true")]
    migration_enabled: String,
    /// From one migration of an instance to the next, in hours (1 to 168)
    #[arg(
        long,
        env = "MIGRATION_ELIGIBILITY_INTERVAL_HOURS",
        default_value = "4"
    )]
    migration_eligibility_interval_hours: String,
    /// Longest time a migration may take, in ms (60000 to 1800000)
    #[arg(long, env = "MIGRATION_JOB_TIMEOUT_MS", default_value = "600000")]
    migration_job_timeout_ms: String,
    /// Whether what could not be migrated is replaced
    #[arg(long, env = "MIGRATION_RETRY_FAILED", default_value = "true")]
    migration_retry_failed: String,
}

impl SpotArgs {
    /// Reads and checks.
    pub fn read(&self, reader: &mut Reader) -> SpotRules {
        let policy = reader.choice("SPOT_POLICY", &self.spot_policy, &POLICIES);
        let is_enabled = reader.bool("MIGRATION_ENABLED", &self.migration_enabled);
        let hours = reader.int(
            "MIGRATION_ELIGIBILITY_INTERVAL_HOURS",
            &self.migration_eligibility_interval_hours,
            1..=168,
        );
        SpotRules {
            policy: if is_enabled { policy } else { SpotPolicy::None },
            dry_run: reader.bool("SPOT_DRY_RUN", &self.spot_dry_run),
            migration_gap: Duration::from_secs(hours * 3600),
            migration_timeout: reader.millis(
                "MIGRATION_JOB_TIMEOUT_MS",
                &self.migration_job_timeout_ms,
                60_000..=1_800_000,
            ),
            replaces_failed: reader.bool("MIGRATION_RETRY_FAILED", &self.migration_retry_failed),
        }
    }
}
