//! Commands, flags and variables.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use shared::config::{ConfigError, Reader, RedisArgs, RedisConfig};

/// Layout, import, backup and restore of the Redis that novita-api and novita-worker share
#[derive(Debug, Parser)]
#[command(name = "redis-migration", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do [default: plan]
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    options: OptionArgs,
}

const EXAMPLES: &str = "\
Examples:
  redis-migration                                   what would change; writes nothing
  redis-migration run                               bring the layout up to date
  MIGRATION_DRY_RUN=true redis-migration run        the same as plan
  redis-migration status --json                     for programs

Exit codes:
   0  done, or nothing to do
   1  Redis or a file did not do its part; run it again
   2  unknown command or flag
   3  the layout is not one that this build knows
   4  another operator is at work; the message says who
   5  a verification found differences
   6  done, but for records that were put aside in the quarantine file
   7  refused, because something would be lost; the message says what
  78  the configuration is wrong";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Show what would change, with counts and samples; writes nothing
    Plan,
    /// Bring the layout up to date, step by step
    Run,
    /// Show the layout, who is at work on it, and what was imported
    Status,
    /// Check that every step that was taken holds
    Verify,
    /// Undo the last step of the layout
    Rollback,
}

#[derive(Debug, Clone, Args)]
struct OptionArgs {
    /// One line of JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Only show what would be done
    #[arg(long, global = true, env = "MIGRATION_DRY_RUN", default_value = "false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    dry_run: String,
    /// Show every record and not only counts and samples
    #[arg(long, global = true, env = "MIGRATION_VERBOSE", default_value = "false",
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    verbose: String,
    /// Also write what was done and found to this file, as JSON
    #[arg(long, global = true, env = "MIGRATION_REPORT")]
    report: Option<PathBuf>,
    /// The lock of an operator's tool that vanished ends after so many ms (1000 to 600000)
    #[arg(
        long,
        global = true,
        env = "MIGRATION_LOCK_LEASE_MS",
        default_value = "30000"
    )]
    lock_lease_ms: String,
    /// Wait so many ms for another operator to finish (0 to 3600000)
    #[arg(
        long,
        global = true,
        env = "MIGRATION_LOCK_WAIT_MS",
        default_value = "0"
    )]
    lock_wait_ms: String,
}

/// Everything a command needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What to do.
    pub command: Command,
    /// The Redis of the deployment.
    pub redis: RedisConfig,
    /// One line of JSON instead of text.
    pub json: bool,
    /// Nothing is written.
    pub dry_run: bool,
    /// Every record, not only samples.
    pub verbose: bool,
    /// Where the answer is written besides.
    pub report: Option<PathBuf>,
    /// For how long the lock outlives its holder.
    pub lock_lease: Duration,
    /// How long to wait for it.
    pub lock_wait: Duration,
}

impl Cli {
    /// Reads and checks the configuration.
    pub fn read(self) -> Result<Settings, ConfigError> {
        let mut reader = Reader::default();
        let redis = self.redis.read(&mut reader);
        let options = &self.options;
        let dry_run = reader.bool("MIGRATION_DRY_RUN", &options.dry_run);
        let verbose = reader.bool("MIGRATION_VERBOSE", &options.verbose);
        let lease = (&options.lock_lease_ms, 1000..=600_000);
        let wait = (&options.lock_wait_ms, 0..=3_600_000);
        let lock_lease = reader.millis("MIGRATION_LOCK_LEASE_MS", lease.0, lease.1);
        let lock_wait = reader.millis("MIGRATION_LOCK_WAIT_MS", wait.0, wait.1);
        let command = self.command.unwrap_or(Command::Plan);
        let settings = redis.map(|redis| Settings {
            command,
            redis,
            json: options.json,
            dry_run,
            verbose,
            report: options.report.clone(),
            lock_lease,
            lock_wait,
        });
        reader.finish(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Settings {
        let args = ["redis-migration", "--redis-url=redis://h"]
            .iter()
            .chain(args);
        Cli::parse_from(args).read().unwrap()
    }

    #[test]
    fn a_plan_is_what_is_done_unless_something_else_is_said() {
        assert_eq!(read(&[]).command, Command::Plan);
        assert_eq!(read(&["run"]).command, Command::Run);
    }

    #[test]
    fn flags_may_stand_before_and_behind_the_command() {
        assert!(read(&["--dry-run", "run"]).dry_run);
        assert!(read(&["run", "--dry-run"]).dry_run);
        assert!(!read(&["run", "--dry-run=false"]).dry_run);
        assert!(read(&["run", "--verbose", "--json"]).json);
    }
}
