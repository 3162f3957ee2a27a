//! Records as the processes read and change them.

mod accept;
mod log;
mod prune;
mod recall;
mod restore;
mod usage;

pub use accept::{Accepted, Promise};
pub use log::EVENTS_KEPT;
pub use recall::{Answered, Claimed, KeyClaim, Memo, REMEMBERED_FOR, Recalled};
pub use restore::Found;
pub use usage::MAX_AHEAD;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Millis;
use crate::envs::{EnvsKey, Unreadable, Unsealable};
use crate::fleet::{self, Seen};
use crate::model::{EnvVar, InstanceId, Operation, OperationId, OperationState, Spec, Status};
use crate::redis::{Command, Keys, Redis, RedisError, Repeat, Reply};

/// Serialises a value of the model. Such values have text keys and finite numbers only, and those
/// always serialise.
#[must_use]
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Why a record could not be read or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Redis did not do it.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// What is stored is not what this version writes.
    #[error("the stored {what} of {id} cannot be read: {cause}")]
    Corrupt {
        /// `spec`, `status`, `event` or `operation`.
        what: &'static str,
        /// Whose.
        id: String,
        /// The parser's words.
        cause: String,
    },
    /// The caller's environment variables cannot be read.
    #[error("the environment variables of {0}: {1}")]
    Envs(InstanceId, Unreadable),
    /// There is no key to encrypt environment variables with.
    #[error("environment variables need ENVS_SECRET")]
    NoEnvsKey,
    /// They could not be encrypted.
    #[error(transparent)]
    Unsealable(#[from] Unsealable),
}

/// One instance: what is wanted and what is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What is wanted.
    pub spec: Spec,
    /// What is known; `None` before a worker looked at it.
    pub status: Option<Status>,
    /// The status's stored bytes, to compare against when checkpointing.
    pub stored_status: Option<String>,
    /// The spec's stored bytes, to compare against when changing it.
    stored_spec: String,
}

impl Record {
    /// Memory that it takes, roughly: as text, and as what was read of the text.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let status = self.stored_status.as_ref().map_or(0, String::len);
        2 * (self.stored_spec.len() + status)
    }
}

/// Everything that one step on an instance begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// What is wanted and what is known.
    pub record: Record,
    /// What the provider's list last showed of it.
    pub seen: Seen,
    /// When it was used last.
    pub last_used: Option<Millis>,
}

/// A page of records, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The records of the page.
    pub records: Vec<Record>,
    /// How many records there are in all.
    pub total: u64,
}

/// The records of one deployment.
#[derive(Debug, Clone)]
pub struct Store {
    redis: Redis,
    keys: Keys,
    envs_key: Option<EnvsKey>,
}

impl Store {
    /// The records under these keys.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys) -> Self {
        Self {
            redis,
            keys,
            envs_key: None,
        }
    }

    /// The same records, with the key to the environment variables of callers; without one there can be
    /// none.
    #[must_use]
    pub fn with_envs_key(self, envs_key: Option<EnvsKey>) -> Self {
        Self { envs_key, ..self }
    }

    /// Whether environment variables of callers can be stored.
    #[must_use]
    pub fn can_keep_envs(&self) -> bool {
        self.envs_key.is_some()
    }

    /// The connection, for health checks.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// The key names.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The environment variables that an instance was created with.
    pub async fn envs(&self, id: &InstanceId) -> Result<Vec<EnvVar>, StoreError> {
        let key = self.envs_key.as_ref().ok_or(StoreError::NoEnvsKey)?;
        let command = Command::new("HGET").arg(self.keys.envs()).arg(id.as_str());
        let stored = self.redis.run(command, Repeat::Harmless).await?;
        let stored = stored.optional_text()?.ok_or(Unreadable::Missing);
        stored
            .and_then(|stored| key.open(id, &stored))
            .map_err(|why| StoreError::Envs(id.clone(), why))
    }

    /// One instance by our id.
    pub async fn record(&self, id: &InstanceId) -> Result<Option<Record>, StoreError> {
        let get = |key: String| Command::new("HGET").arg(key).arg(id.as_str());
        let replies = self
            .redis
            .read(&[get(self.keys.spec()), get(self.keys.status())])
            .await?;
        let mut replies = replies.into_iter();
        let (Some(spec), Some(status)) = (replies.next(), replies.next()) else {
            return Err(RedisError::Protocol("expected two replies".into()).into());
        };
        match spec.optional_text()? {
            Some(spec) => record(id.as_str(), spec, status.optional_text()?).map(Some),
            None => Ok(None),
        }
    }

    /// The same, and what else a step has to know.
    pub async fn scene(&self, id: &InstanceId) -> Result<Option<Scene>, StoreError> {
        let get = |key: String| Command::new("HGET").arg(key).arg(id.as_str());
        let replies: [Reply; 4] = self
            .redis
            .read(&[
                get(self.keys.spec()),
                get(self.keys.status()),
                fleet::read_command(&self.keys, id),
                get(self.keys.last_used()),
            ])
            .await?
            .try_into()
            .map_err(|_| RedisError::Protocol("expected four replies".into()))?;
        let [spec, status, seen, last_used] = replies;
        let Some(spec) = spec.optional_text()? else {
            return Ok(None);
        };
        Ok(Some(Scene {
            record: record(id.as_str(), spec, status.optional_text()?)?,
            seen: fleet::read_reply(seen)?,
            last_used: usage::time(last_used)?,
        }))
    }

    /// The instance that bears a name, if one does.
    pub async fn id_of(&self, name: &str) -> Result<Option<InstanceId>, StoreError> {
        let command = Command::new("HGET").arg(self.keys.names()).arg(name);
        let id = self.redis.run(command, Repeat::Harmless).await?;
        Ok(id.optional_text()?.and_then(|id| id.parse().ok()))
    }

    /// The instance that holds what the provider has under this id, if one does.
    pub async fn bound_to(&self, provider_id: &str) -> Result<Option<InstanceId>, StoreError> {
        let command = Command::new("HGET").arg(self.keys.bound()).arg(provider_id);
        let id = self.redis.run(command, Repeat::Harmless).await?;
        Ok(id.optional_text()?.and_then(|id| id.parse().ok()))
    }

    /// `limit` records from position `offset`, newest first.
    pub async fn page(&self, offset: u64, limit: u64) -> Result<Page, StoreError> {
        if limit == 0 {
            return Ok(Page {
                records: Vec::new(),
                total: 0,
            });
        }
        let last = offset + limit - 1;
        let range = Command::new("ZRANGE")
            .arg(self.keys.index())
            .args([offset.to_string(), last.to_string()])
            .arg("REV");
        let count = Command::new("ZCARD").arg(self.keys.index());
        let mut replies = self.redis.read(&[range, count]).await?.into_iter();
        let (Some(ids), Some(total)) = (replies.next(), replies.next()) else {
            return Err(RedisError::Protocol("expected two replies".into()).into());
        };
        let ids: Vec<String> = ids.optional_texts()?.into_iter().flatten().collect();
        let records = self.records(&ids).await?;
        Ok(Page {
            records,
            total: total.int()? as u64,
        })
    }

    async fn records(&self, ids: &[String]) -> Result<Vec<Record>, StoreError> {
        let rows = self.rows(ids).await?.into_iter();
        rows.filter_map(|row| Some(record(&row.id, row.spec?, row.status)))
            .collect()
    }

    async fn rows(&self, ids: &[String]) -> Result<Vec<Row>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let get = |key: String| {
            Command::new("HMGET")
                .arg(key)
                .args(ids.iter().map(String::as_str))
        };
        let replies = self
            .redis
            .read(&[get(self.keys.spec()), get(self.keys.status())])
            .await?;
        let mut columns = replies.into_iter().map(crate::redis::Reply::optional_texts);
        let (Some(specs), Some(statuses)) = (columns.next(), columns.next()) else {
            return Err(RedisError::Protocol("expected two replies".into()).into());
        };
        let rows = ids.iter().cloned().zip(specs?).zip(statuses?);
        let row = |((id, spec), status)| Row { id, spec, status };
        Ok(rows.map(row).collect())
    }

    /// One operation. Workers write down how the operations end that they took up; one that a later wish
    /// overtook before any worker looked was never taken up, and is told as superseded here.
    pub async fn operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        let stored = self.stored_operation(id).await?;
        let Some(pending) = stored.as_ref().filter(|operation| is_pending(operation)) else {
            return Ok(stored);
        };
        let Some(record) = self.record(&pending.instance_id).await? else {
            return Ok(stored);
        };
        // Its end and the look at a later wish would have been stored together: only an operation that is
        // still pending after that look has been passed over.
        let is_passed = record
            .status
            .is_some_and(|status| status.observed_generation > pending.generation);
        if !is_passed {
            return Ok(stored);
        }
        let overtaken_at = record.spec.request.at;
        Ok(self.stored_operation(id).await?.map(|operation| {
            if is_pending(&operation) {
                operation.ended(OperationState::Superseded, None, overtaken_at)
            } else {
                operation
            }
        }))
    }

    async fn stored_operation(&self, id: &OperationId) -> Result<Option<Operation>, StoreError> {
        let command = Command::new("HGET").arg(self.keys.ops()).arg(id.as_str());
        let stored = self
            .redis
            .run(command, Repeat::Harmless)
            .await?
            .optional_text()?;
        stored
            .map(|json| parse("operation", id.as_str(), &json))
            .transpose()
    }
}

fn is_pending(operation: &Operation) -> bool {
    operation.state == OperationState::Pending
}

/// One instance as it is stored.
struct Row {
    id: String,
    spec: Option<String>,
    status: Option<String>,
}

fn record(id: &str, spec: String, status: Option<String>) -> Result<Record, StoreError> {
    Ok(Record {
        spec: parse("spec", id, &spec)?,
        status: status
            .as_deref()
            .map(|json| parse("status", id, json))
            .transpose()?,
        stored_status: status,
        stored_spec: spec,
    })
}

fn parse<T: DeserializeOwned>(what: &'static str, id: &str, json: &str) -> Result<T, StoreError> {
    serde_json::from_str(json).map_err(|error| StoreError::Corrupt {
        what,
        id: id.to_owned(),
        cause: error.to_string(),
    })
}
