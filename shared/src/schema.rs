//! The version of the Redis layout. Processes refuse a layout that they do not know.

use crate::config::RedisConfig;
use crate::redis::{Command, Keys, Redis, RedisError, Repeat};

/// The layout that this version reads and writes.
pub const VERSION: u32 = 1;

/// Why a process does not start on this Redis.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Redis could not be asked.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// Another layout.
    #[error(
        "Redis holds layout version {found}, this version works with {VERSION}: \
         run `redis-migration plan` to see what would change"
    )]
    Unknown {
        /// What is there.
        found: String,
    },
}

/// Connects and checks the layout, trying again as often as is configured.
pub async fn connect(config: &RedisConfig) -> Result<Redis, SchemaError> {
    let redis = Redis::new(&config.options)?;
    ensure(&redis, &config.keys).await?;
    Ok(redis)
}

/// Connects and checks the layout without claiming an empty deployment, for who only looks.
pub async fn connect_to_look(config: &RedisConfig) -> Result<Redis, SchemaError> {
    let redis = Redis::new(&config.options)?;
    match version(&redis, &config.keys).await? {
        Some(found) if found != VERSION.to_string() => Err(SchemaError::Unknown { found }),
        Some(_) | None => Ok(redis),
    }
}

/// Checks the layout; an empty deployment is claimed for this version.
pub async fn ensure(redis: &Redis, keys: &Keys) -> Result<(), SchemaError> {
    let claim = Command::new("SET")
        .arg(keys.schema())
        .arg(VERSION.to_string())
        .arg("NX");
    redis.run(claim, Repeat::Harmless).await?;
    match version(redis, keys).await? {
        Some(found) if found == VERSION.to_string() => Ok(()),
        found => Err(SchemaError::Unknown {
            found: found.unwrap_or_default(),
        }),
    }
}

/// The layout version that Redis holds, if any.
pub async fn version(redis: &Redis, keys: &Keys) -> Result<Option<String>, RedisError> {
    redis
        .run(Command::new("GET").arg(keys.schema()), Repeat::Harmless)
        .await?
        .optional_text()
}
