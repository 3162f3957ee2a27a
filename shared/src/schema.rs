//! The version of the Redis layout. Processes refuse a layout that they do not know.
//!
//! Changes come in two halves, so that old and new processes can run side by side: a step that *expands*
//! adds what the release before ignores, and a later one *contracts*. The stored text says both: which
//! layout it is, and from which layout on a build understands it.

use std::fmt;
use std::str::FromStr;

use crate::config::RedisConfig;
use crate::redis::{Command, Keys, Redis, RedisError, Repeat};

/// The layout that this version writes.
pub const VERSION: u32 = 2;
/// The oldest layout that this version still works with.
pub const OLDEST: u32 = 1;
/// What stands in place of a layout while one is being restored.
pub const LOADING: &str = "loading";

/// A layout as it is stored: `<version>`, or `<version>:<readable from>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Which layout it is.
    pub version: u32,
    /// Builds of this layout and all later ones understand it.
    pub readable_from: u32,
}

impl Layout {
    /// What an empty deployment is claimed for.
    pub const CURRENT: Self = Self {
        version: VERSION,
        readable_from: OLDEST,
    };

    /// This build understands it.
    #[must_use]
    pub fn is_known(self) -> bool {
        self.version >= OLDEST && self.readable_from <= VERSION
    }
}

impl FromStr for Layout {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (version, readable_from) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(Self {
            version: number(version)?,
            readable_from: number(readable_from)?,
        })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            readable_from,
        } = self;
        if version == readable_from {
            write!(f, "{version}")
        } else {
            write!(f, "{version}:{readable_from}")
        }
    }
}

/// Why a process does not start on this Redis.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Redis could not be asked.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// A backup is being restored into it.
    #[error(
        "a backup is being restored into this Redis: run `redis-migration status`, and finish it with \
         `redis-migration restore`"
    )]
    Loading,
    /// Another layout.
    #[error(
        "Redis holds layout version {found}, this version works with {OLDEST} to {VERSION}: \
         run `redis-migration plan` to see what would change, and `redis-migration run` to change it"
    )]
    Unknown {
        /// What is there.
        found: String,
    },
}

/// Connects and checks the layout, trying again as often as is configured.
pub async fn connect(config: &RedisConfig) -> Result<Redis, SchemaError> {
    let redis = Redis::new(&config.options)?;
    let layout = ensure(&redis, &config.keys).await?;
    if layout.version < VERSION {
        tracing::warn!(
            layout = layout.version,
            "an older layout, which this version works with; `redis-migration run` brings it up to date"
        );
    }
    Ok(redis)
}

/// Connects and checks the layout without claiming an empty deployment, for who only looks.
pub async fn connect_to_look(config: &RedisConfig) -> Result<Redis, SchemaError> {
    let redis = Redis::new(&config.options)?;
    match version(&redis, &config.keys).await? {
        Some(found) => judge(found).map(|_| redis),
        None => Ok(redis),
    }
}

/// Checks the layout; an empty deployment is claimed for this version.
pub async fn ensure(redis: &Redis, keys: &Keys) -> Result<Layout, SchemaError> {
    let claim = Command::new("SET")
        .arg(keys.schema())
        .arg(Layout::CURRENT.to_string())
        .arg("NX");
    redis.run(claim, Repeat::Harmless).await?;
    judge(version(redis, keys).await?.unwrap_or_default())
}

/// The layout that a stored text tells, if this build understands it.
pub fn judge(found: String) -> Result<Layout, SchemaError> {
    match found.parse() {
        Ok(layout) if Layout::is_known(layout) => Ok(layout),
        Err(()) if found == LOADING => Err(SchemaError::Loading),
        Ok(_) | Err(()) => Err(SchemaError::Unknown { found }),
    }
}

/// The layout version that Redis holds, if any.
pub async fn version(redis: &Redis, keys: &Keys) -> Result<Option<String>, RedisError> {
    redis
        .run(Command::new("GET").arg(keys.schema()), Repeat::Harmless)
        .await?
        .optional_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_runs_on_what_it_knows_and_on_what_a_newer_one_only_added_to() {
        let (ours, next) = (VERSION, VERSION + 1);
        for (stored, is_known) in [
            (ours.to_string(), true),
            (OLDEST.to_string(), true),
            (format!("{next}:{ours}"), true),
            (format!("{next}:{OLDEST}"), true),
            (next.to_string(), false),
            ("0".to_owned(), false),
            (String::new(), false),
            ("two".to_owned(), false),
        ] {
            assert_eq!(judge(stored.clone()).is_ok(), is_known, "{stored:?}");
        }
        assert!(matches!(judge(LOADING.into()), Err(SchemaError::Loading)));
        assert!(Layout::CURRENT.is_known());
    }

    #[test]
    fn a_layout_reads_back_as_it_is_stored() {
        for text in ["1", "2:1", "7:3"] {
            let layout: Layout = text.parse().unwrap();
            assert_eq!(layout.to_string(), text);
        }
    }
}
