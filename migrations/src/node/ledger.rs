//! What the import remembers: for every record and webhook that it wrote, what it was, and for every
//! record, how it was written. So a second run adds nothing, a verification has something to compare with,
//! and a rollback knows what it may take away.

use std::str::FromStr;

use serde::Deserialize;
use shared::clock::Millis;
use shared::redis::{Command, Keys, Redis, RedisError, Repeat};

/// The length of a SHA-1 in hexadecimals.
const SHA1: usize = 40;
/// The entry that tells when an import began on an empty deployment.
pub(super) const CLAIMED: &str = "meta:claimed";
/// What entries that are no records and no webhooks begin with.
pub(super) const META: &str = "meta:";

/// What is remembered of one record or webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    /// SHA-1 of the spec and of the status as they were written; none for a webhook.
    pub written: Option<(String, String)>,
    /// When the import that wrote it had begun.
    pub at: Millis,
    /// SHA-256 of what it was.
    pub digest: String,
}

#[derive(Deserialize)]
struct Note {
    at: Millis,
    digest: String,
}

impl FromStr for Remembered {
    type Err = ();
    fn from_str(stored: &str) -> Result<Self, ()> {
        let (digests, note) = stored.split_at(stored.find('{').ok_or(())?);
        let written = match digests.len() {
            0 => None,
            n if n == 2 * SHA1 => {
                let (spec, status) = digests.split_at(SHA1);
                Some((spec.to_owned(), status.to_owned()))
            }
            _ => return Err(()),
        };
        let Note { at, digest } = serde_json::from_str(note).map_err(|_| ())?;
        Ok(Self {
            written,
            at,
            digest,
        })
    }
}

/// What is remembered under these names, in their order; an entry that cannot be read counts as none.
pub(super) async fn recall(
    redis: &Redis,
    keys: &Keys,
    names: &[String],
) -> Result<Vec<Option<Remembered>>, RedisError> {
    let found = fields(redis, keys.imported(), names).await?;
    let parsed = found
        .into_iter()
        .map(|stored| stored.and_then(|stored| stored.parse().ok()));
    Ok(parsed.collect())
}

/// These fields of a hash, in their order.
pub(super) async fn fields(
    redis: &Redis,
    key: String,
    names: &[String],
) -> Result<Vec<Option<String>>, RedisError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let command = Command::new("HMGET").arg(key);
    let command = command.args(names.iter().map(String::as_str));
    redis.run(command, Repeat::Harmless).await?.optional_texts()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_with_and_without_digests_of_what_was_written() {
        let note = r#"{"at":7,"digest":"d"}"#;
        let webhook: Remembered = note.parse().unwrap();
        assert_eq!((webhook.at, webhook.written), (Millis(7), None));
        let (spec, status) = ("a".repeat(SHA1), "b".repeat(SHA1));
        let record: Remembered = format!("{spec}{status}{note}").parse().unwrap();
        assert_eq!(record.written, Some((spec, status)));
        for damaged in ["", "{}", "abc{\"at\":1}", "7"] {
            assert!(damaged.parse::<Remembered>().is_err(), "{damaged}");
        }
    }
}
