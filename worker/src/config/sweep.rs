//! What is done about instances that nobody accounts for.

use clap::Args;
use shared::config::Reader;
use shared::model::OrphanPolicy;

/// Flags and variables of the sweeper.
#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// What to do about an instance of this deployment that has no record: report it, adopt it, or
    /// quarantine it (stopped after 15 min, deleted after 24 h)
    #[arg(long, env = "ORPHAN_POLICY", default_value = "report")]
    orphan_policy: String,
    /// Only announce orphans, whatever the policy
    #[arg(long, env = "ORPHAN_DRY_RUN", default_value = "false")]
    orphan_dry_run: String,
}

/// What is done about instances that nobody accounts for.
#[derive(Debug, Clone, Copy)]
pub struct SweepConfig {
    /// About those without a record.
    pub policy: OrphanPolicy,
    /// Nothing but announcements.
    pub dry_run: bool,
}

impl SweepArgs {
    /// Reads and checks.
    pub(super) fn read(&self, reader: &mut Reader) -> SweepConfig {
        SweepConfig {
            policy: reader.choice(
                "ORPHAN_POLICY",
                &self.orphan_policy,
                &[
                    ("report", OrphanPolicy::Report),
                    ("adopt", OrphanPolicy::Adopt),
                    ("quarantine", OrphanPolicy::Quarantine),
                ],
            ),
            dry_run: reader.bool("ORPHAN_DRY_RUN", &self.orphan_dry_run),
        }
    }
}
