//! Commands, flags and variables.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shared::config::{ConfigError, Environment, EnvsArgs, Reader, RedisArgs, RedisConfig};
use shared::envs::EnvsKey;
use shared::redis::{RedisOptions, Target};

/// Layout, import, backup and restore of the Redis that novita-api and novita-worker share
#[derive(Debug, Parser)]
#[command(name = "redis-migration", version = shared::VERSION, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do [default: plan]
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    redis: RedisArgs,
    #[command(flatten)]
    envs: EnvsArgs,
    #[command(flatten)]
    options: OptionArgs,
}

const EXAMPLES: &str = "\
Examples:
  redis-migration                                   what would change; writes nothing
  redis-migration run                               bring the layout up to date
  MIGRATION_DRY_RUN=true redis-migration run        the same as plan
  redis-migration status --json                     for programs
  redis-migration backup before.jsonl               everything of this deployment, in a file
  redis-migration restore before.jsonl              put it back, into this Redis or another
  redis-migration import-node --from dump.json plan what would be taken over from the Node service
  redis-migration import-node --from redis://h:6379 take it over; run it again at will
  redis-migration import-node verify                compare source and target, field by field

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
    /// Write everything of this deployment to a file
    Backup {
        /// The file; there must be none of that name
        file: PathBuf,
        /// Which keys, as a glob of Redis [default: those of this deployment]
        #[arg(long = "match", env = "MIGRATION_BACKUP_MATCH")]
        pattern: Option<String>,
    },
    /// Put a backup back, where nothing is
    Restore {
        /// The file
        file: PathBuf,
        /// Delete first whatever the backup could have
        #[arg(long)]
        force: bool,
    },
    /// Take over the data of the predecessor, the Node service
    ImportNode(ImportArgs),
}

/// What is done with the predecessor's data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ImportAction {
    /// Take them over; what was taken over before stays as it is
    #[default]
    Run,
    /// Show what would be taken over; writes nothing
    Plan,
    /// Compare source and target, field by field
    Verify,
    /// Remove what was taken over, unless it was worked on since
    Rollback,
}

/// Flags of `import-node`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ImportArgs {
    /// What to do
    #[arg(value_enum, default_value = "run")]
    pub action: ImportAction,
    /// Where the data are: redis:// or rediss:// with host, port and credentials, `upstash`, or the path of
    /// a dump file; without it in the Redis of the deployment itself
    #[arg(long, env = "MIGRATION_FROM", hide_env_values = true)]
    pub from: Option<String>,
    /// With `--from upstash`: the REST endpoint of the source
    #[arg(long, env = "SOURCE_UPSTASH_REDIS_REST_URL", hide_env_values = true)]
    pub source_url: Option<String>,
    /// With `--from upstash`: its REST token
    #[arg(long, env = "SOURCE_UPSTASH_REDIS_REST_TOKEN", hide_env_values = true)]
    pub source_token: Option<String>,
    /// The prefix that keys of the source may bear [default: that of the deployment]
    #[arg(long, env = "SOURCE_REDIS_KEY_PREFIX")]
    pub source_prefix: Option<String>,
    /// Where records are put that cannot be taken over, each with its reason
    #[arg(
        long,
        env = "MIGRATION_QUARANTINE",
        default_value = "redis-migration-quarantine.jsonl"
    )]
    pub quarantine: PathBuf,
    /// Delete the source afterwards, if a verification finds no difference and nothing was put aside
    #[arg(long)]
    pub delete_source: bool,
    /// With `rollback`: remove also what was worked on since
    #[arg(long)]
    pub force: bool,
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
    /// What encrypts environments, if there is a secret.
    pub envs_key: Option<EnvsKey>,
    /// Where the predecessor's data are, for an import.
    pub source: Option<RedisOptions>,
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
        let source = match (&command, &redis) {
            (Command::ImportNode(args), Some(redis)) => args.source(&redis.options, &mut reader),
            _ => None,
        };
        let settings = redis.map(|redis| Settings {
            command,
            envs_key: self
                .envs
                .read(&mut reader, Environment::Production, &redis.prefix),
            source,
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

impl ImportArgs {
    /// The Redis that the data are in; `None` when they are in a file.
    fn source(&self, own: &RedisOptions, reader: &mut Reader) -> Option<RedisOptions> {
        let at = |target| {
            Some(RedisOptions {
                target,
                ..own.clone()
            })
        };
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match given(&self.from).as_deref() {
            None => Some(own.clone()),
            Some("upstash") => {
                let (url, token) = (given(&self.source_url), given(&self.source_token));
                match (url, token) {
                    (Some(url), Some(token)) => at(Target::Upstash { url, token }),
                    (None, None) if matches!(own.target, Target::Upstash { .. }) => {
                        Some(own.clone())
                    }
                    _ => {
                        let name = "SOURCE_UPSTASH_REDIS_REST_URL";
                        reader
                            .missing(name, "with SOURCE_UPSTASH_REDIS_REST_TOKEN, for the source");
                        None
                    }
                }
            }
            Some(url) if url.starts_with("redis://") || url.starts_with("rediss://") => {
                let url = reader.url("MIGRATION_FROM", url, &["redis", "rediss"])?;
                at(Target::Resp {
                    url: url.to_string(),
                })
            }
            Some(_) => None,
        }
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
