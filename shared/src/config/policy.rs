//! When instances are stopped for their callers. The API tells of the same rules as the worker follows.

use std::time::Duration;

use clap::Args;

use super::reader::Reader;
use crate::model::policy::PolicyRules;

/// Flags and variables about it; the API and the worker should be told the same.
#[derive(Debug, Clone, Args)]
pub struct PolicyArgs {
    /// Whether instances that nobody uses are stopped; a create may say otherwise
    #[arg(long, env = "AUTO_STOP_ENABLED", default_value = "false")]
    auto_stop_enabled: String,
    /// For how long nobody may have used an instance, in minutes (1 to 10080)
    #[arg(long, env = "AUTO_STOP_IDLE_MINUTES", default_value = "20")]
    auto_stop_idle_minutes: String,
    /// From the warning to the stop, in seconds (60 to 300; more counts as 300)
    #[arg(long, env = "AUTO_STOP_INTERVAL_SECONDS", default_value = "120")]
    auto_stop_interval_seconds: String,
    /// For how long one may stay unused after it got ready, in minutes (1 to 10080)
    #[arg(long, env = "AUTO_STOP_STARTUP_GRACE_MINUTES", default_value = "45")]
    auto_stop_startup_grace_minutes: String,
    /// For how long one may stay unused after it was created, in minutes (1 to 10080)
    #[arg(long, env = "AUTO_STOP_CREATION_GRACE_MINUTES", default_value = "60")]
    auto_stop_creation_grace_minutes: String,
    /// Whether it is only told what would be stopped
    #[arg(long, env = "AUTO_STOP_DRY_RUN", default_value = "false")]
    auto_stop_dry_run: String,
    /// The longest time an instance runs after its create or last start, in hours (1 to 8760)
    /// [default: no limit]
    #[arg(long, env = "INSTANCE_MAX_LIFETIME_HOURS")]
    instance_max_lifetime_hours: Option<String>,
}

impl PolicyArgs {
    /// Reads and checks.
    pub fn read(&self, reader: &mut Reader) -> PolicyRules {
        let mut minutes = |name, raw: &str| {
            let minutes = reader.int(name, raw, 1..=10_080);
            Duration::from_secs(minutes * 60)
        };
        let idle = minutes("AUTO_STOP_IDLE_MINUTES", &self.auto_stop_idle_minutes);
        let ready_grace = minutes(
            "AUTO_STOP_STARTUP_GRACE_MINUTES",
            &self.auto_stop_startup_grace_minutes,
        );
        let created_grace = minutes(
            "AUTO_STOP_CREATION_GRACE_MINUTES",
            &self.auto_stop_creation_grace_minutes,
        );
        let warning = reader.seconds(
            "AUTO_STOP_INTERVAL_SECONDS",
            &self.auto_stop_interval_seconds,
            60..=3600,
        );
        let hours = self.instance_max_lifetime_hours.as_deref();
        let hours = hours.filter(|raw| !raw.trim().is_empty());
        let lifetime = hours.map(|raw| {
            let hours = reader.int("INSTANCE_MAX_LIFETIME_HOURS", raw, 1..=8760);
            Duration::from_secs(hours * 3600)
        });
        PolicyRules {
            stops_idle: reader.bool("AUTO_STOP_ENABLED", &self.auto_stop_enabled),
            idle,
            ready_grace,
            created_grace,
            lifetime,
            warning: warning.min(Duration::from_secs(300)),
            dry_run: reader.bool("AUTO_STOP_DRY_RUN", &self.auto_stop_dry_run),
        }
    }
}
