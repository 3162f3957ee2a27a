//! Versioned changes of the Redis layout, run by an operator and never by the other processes.

#![forbid(unsafe_code)]

use std::fmt;

use clap::{Parser, Subcommand};
use shared::config::{ConfigError, Reader, RedisArgs, RedisConfig};
use shared::redis::{Redis, RedisError};
use shared::schema;

/// Versioned changes of the Redis layout
#[derive(Debug, Parser)]
#[command(name = "redis-migration", version = shared::VERSION, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do [default: plan]
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    redis: RedisArgs,
}

const EXAMPLES: &str = "\
Examples:
  redis-migration status
  REDIS_URL=redis://127.0.0.1:6379 redis-migration plan

Exit codes: 0 nothing to do, 1 Redis cannot be asked, 3 the layout is not this version's, 78 the
configuration is wrong";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Show what would change; writes nothing
    Plan,
    /// Show the layout version that Redis holds
    Status,
}

/// How the stored layout relates to this version's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Nothing is stored under the prefix yet.
    Empty,
    /// What this version reads and writes.
    Current,
    /// Something else.
    Foreign(String),
}

impl Cli {
    /// Reads and checks the configuration.
    pub fn read(&self) -> Result<RedisConfig, ConfigError> {
        let mut reader = Reader::default();
        let config = self.redis.read(&mut reader);
        reader.finish(config)
    }
}

/// Asks Redis which layout it holds; writes nothing.
///
/// # Errors
/// Redis cannot be asked.
pub async fn layout(redis: &Redis, config: &RedisConfig) -> Result<Layout, RedisError> {
    Ok(match schema::version(redis, &config.keys).await? {
        None => Layout::Empty,
        Some(version) if version == schema::VERSION.to_string() => Layout::Current,
        Some(version) => Layout::Foreign(version),
    })
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = schema::VERSION;
        match self {
            Self::Empty => write!(
                f,
                "no layout yet; the first process to start writes version {own}"
            ),
            Self::Current => write!(f, "layout version {own}: nothing to do"),
            Self::Foreign(version) => write!(
                f,
                "layout version {version}, which this build (version {own}) does not know; \
                 use the redis-migration of the release that wrote it, or a newer one"
            ),
        }
    }
}
