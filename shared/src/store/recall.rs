//! Answers that are remembered under the idempotency keys of their requests.
//!
//! A wish is remembered by the script that accepts it. Whatever else has an effect claims its key first, for
//! a bounded time, so that a process that dies with it does not hold it for ever.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::{Store, StoreError, to_json};
use crate::model::OperationId;
use crate::redis::scripts::RECALL;
use crate::redis::{Command, Repeat};

/// How long an answer is remembered.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// What stands in place of an answer that is not given yet.
const CLAIMED: &str = "claimed ";

/// An idempotency key and what was asked under it, both as digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memo {
    key: String,
    asked: String,
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The HTTP status.
    pub status: u16,
    /// The `Location` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What was set going.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// The body, JSON.
    pub body: String,
}

/// What is known of an earlier request with the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recalled {
    /// It asked for the same and was answered so.
    Answer(Answered),
    /// It asked for the same and is being answered.
    InFlight,
    /// It asked for something else.
    Other,
}

/// A key that is ours until it is answered, given back, or its time is over.
#[derive(Debug)]
pub struct KeyClaim {
    memo: Memo,
    stored: String,
}

/// What became of the attempt to take a key.
#[derive(Debug)]
pub enum Claimed {
    /// It is ours.
    Ours(KeyClaim),
    /// An earlier request has it.
    Known(Recalled),
}

impl Memo {
    /// What `asked` is the digest of, under a key with this digest. Neither has a space.
    #[must_use]
    pub fn new(key: String, asked: String) -> Self {
        Self { key, asked }
    }

    /// The digest of the key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// An answer to this, as it is stored.
    pub(super) fn stored(&self, answer: &Answered) -> String {
        format!("{} {}", self.asked, to_json(answer))
    }

    /// What was stored under this key, as seen by this request.
    pub(super) fn recall(&self, stored: &str) -> Result<Recalled, StoreError> {
        let rest = stored.strip_prefix(&self.asked);
        let Some(answer) = rest.and_then(|rest| rest.strip_prefix(' ')) else {
            return Ok(Recalled::Other);
        };
        if answer.starts_with(CLAIMED) {
            return Ok(Recalled::InFlight);
        }
        super::parse("answer", &self.key, answer).map(Recalled::Answer)
    }
}

impl Store {
    /// What was answered under this key; `None` when nothing was asked yet.
    pub async fn recall(&self, memo: &Memo) -> Result<Option<Recalled>, StoreError> {
        let command = Command::new("GET").arg(self.keys.answer(&memo.key));
        let stored = self.redis.run(command, Repeat::Harmless).await?;
        let stored = stored.optional_text()?;
        stored.map(|stored| memo.recall(&stored)).transpose()
    }

    /// Takes a key for this long, unless an earlier request has it.
    pub async fn claim(&self, memo: &Memo, lease: Duration) -> Result<Claimed, StoreError> {
        let stored = format!("{} {CLAIMED}{}", memo.asked, Ulid::generate());
        let found = self.swap(memo, "", &stored, lease).await?;
        match found.filter(|found| *found != stored) {
            Some(found) => Ok(Claimed::Known(memo.recall(&found)?)),
            None => Ok(Claimed::Ours(KeyClaim {
                memo: memo.clone(),
                stored,
            })),
        }
    }

    /// Remembers the answer for a key that was claimed, if it still is.
    pub async fn keep(&self, claim: KeyClaim, answer: &Answered) -> Result<(), StoreError> {
        let stored = claim.memo.stored(answer);
        self.swap(&claim.memo, &claim.stored, &stored, REMEMBERED_FOR)
            .await
            .map(drop)
    }

    /// Gives a claimed key back: what was asked may be asked again.
    pub async fn give_back(&self, claim: KeyClaim) -> Result<(), StoreError> {
        self.swap(&claim.memo, &claim.stored, "", Duration::ZERO)
            .await
            .map(drop)
    }

    /// Remembers an answer that has no claim, unless another request was faster: that one is told.
    pub async fn remember(
        &self,
        memo: &Memo,
        answer: &Answered,
    ) -> Result<Option<Recalled>, StoreError> {
        let stored = memo.stored(answer);
        let found = self.swap(memo, "", &stored, REMEMBERED_FOR).await?;
        let other = found.filter(|found| *found != stored);
        other.map(|other| memo.recall(&other)).transpose()
    }

    /// Replaces what is stored if it is `expected` or nothing; otherwise tells what it is.
    async fn swap(
        &self,
        memo: &Memo,
        expected: &str,
        stored: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, StoreError> {
        let args = [
            expected.to_owned(),
            stored.to_owned(),
            lifetime.as_millis().to_string(),
        ];
        let keys = [self.keys.answer(&memo.key)];
        let found = self
            .redis
            .script(&RECALL, &keys, &args, Repeat::Harmless)
            .await?;
        Ok(Some(found.text()?).filter(|found| !found.is_empty()))
    }
}
