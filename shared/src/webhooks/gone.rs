//! Receivers that answered 410: they get nothing more, until somebody asks for a delivery and it works.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::clock::Millis;
use crate::redis::{Command, Keys, Redis, RedisError, Repeat};

/// So many bytes of a digest tell URLs apart, by any effort.
const DIGEST_BYTES: usize = 16;

/// What stands for a URL where the URL itself, which may hold a secret, has no business to be.
#[must_use]
pub fn digest(url: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in Sha256::digest(url.as_bytes()).iter().take(DIGEST_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The receivers that want nothing more, as they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gone(HashMap<String, Millis>);

impl Gone {
    /// All of them, in one command.
    pub async fn read(redis: &Redis, keys: &Keys) -> Result<Self, RedisError> {
        let command = Command::new("HGETALL").arg(keys.gone());
        let pairs = redis.run(command, Repeat::Harmless).await?.pairs()?;
        let since = |text: &str| Millis(text.parse().unwrap_or(0));
        let gone = pairs.into_iter().map(|(url, at)| (url, since(&at)));
        Ok(Self(gone.collect()))
    }

    /// Whether the receiver at this URL wants nothing more.
    #[must_use]
    pub fn has(&self, url: &str) -> bool {
        !self.0.is_empty() && self.0.contains_key(&digest(url))
    }

    /// Adds the receiver at this URL, before Redis tells of it.
    pub fn add(&mut self, url: &str, since: Millis) {
        self.0.insert(digest(url), since);
    }

    /// Takes the receiver at this URL out again.
    pub fn remove(&mut self, url: &str) {
        self.0.remove(&digest(url));
    }

    /// Forgets those that answered so before `time`: nothing is on its way to them any more, and one that
    /// is named again will say so again. Returns how many.
    pub async fn forget_before(
        redis: &Redis,
        keys: &Keys,
        time: Millis,
    ) -> Result<usize, RedisError> {
        let Self(gone) = Self::read(redis, keys).await?;
        let old = gone.into_iter().filter(|(_, since)| *since < time);
        let old: Vec<String> = old.map(|(url, _)| url).collect();
        for some in old.chunks(1000) {
            let command = Command::new("HDEL").arg(keys.gone()).args(some);
            redis.run(command, Repeat::Harmless).await?;
        }
        Ok(old.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_same_for_one_url_and_tells_nothing_of_it() {
        let one = digest("https://hooks.example.com/s3cret");
        assert_eq!(one, digest("https://hooks.example.com/s3cret"));
        assert_ne!(one, digest("https://hooks.example.com/s3cres"));
        assert_eq!(one.len(), 2 * DIGEST_BYTES);
        assert!(!one.contains("s3cret"));
    }

    #[test]
    fn only_who_is_known_to_be_gone_is() {
        let gone = Gone(HashMap::from([(digest("https://a"), Millis(1))]));
        assert!(gone.has("https://a") && !gone.has("https://b"));
        assert!(!Gone::default().has("https://a"));
    }
}
