//! The predecessor's data in a Redis, which is only read: no value is larger in memory than one record
//! may be, however large it is stored.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use shared::redis::{Command, Redis, RedisError, Repeat, Reply, ServerError};

use super::{Entry, Pass, Raw};
use crate::node::family::{Family, Index};
use crate::node::text::MAX_BYTES;
use crate::scan::{Scan, pairs};

/// Values asked for at a time.
const PORTION: usize = 100;

/// One pass over a Redis.
#[derive(Debug)]
pub struct Live<'a> {
    redis: &'a Redis,
    prefix: &'a str,
    pass: Pass,
    scan: Scan<'a>,
}

type Answers = Vec<Result<Reply, ServerError>>;

impl<'a> Live<'a> {
    pub(super) fn new(redis: &'a Redis, prefix: &'a str, pass: Pass) -> Self {
        let scan = Scan::keys(redis, pass.pattern());
        Self {
            redis,
            prefix,
            pass,
            scan,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<Entry>>, RedisError> {
        let Some(keys) = self.scan.next().await? else {
            return Ok(None);
        };
        let mut entries: Vec<Entry> = keys.into_iter().filter_map(|key| self.named(key)).collect();
        for portion in entries.chunks_mut(PORTION) {
            self.fill(portion).await?;
        }
        Ok(Some(entries))
    }

    /// The entry of a key, without its value.
    fn named(&self, key: Reply) -> Option<Entry> {
        let Reply::Text(bytes) = key else { return None };
        let key = match String::from_utf8(bytes) {
            Ok(key) => key,
            Err(error) => return self.unaddressable(error.as_bytes()),
        };
        let (family, is_prefixed) = Family::of(&key, self.prefix);
        self.pass.is_about(&family).then_some(Entry {
            key,
            family,
            is_prefixed,
            value: Raw::Unread,
        })
    }

    fn unaddressable(&self, key: &[u8]) -> Option<Entry> {
        (self.pass == Pass::Surroundings).then(|| Entry {
            key: String::from_utf8_lossy(key).into_owned(),
            family: Family::Unknown,
            is_prefixed: false,
            value: Raw::Damaged {
                reason: "its name is not UTF-8".to_owned(),
                value: json!({ "keyBase64": BASE64.encode(key) }),
            },
        })
    }

    async fn fill(&self, entries: &mut [Entry]) -> Result<(), RedisError> {
        let mut wanted: Vec<&mut Entry> = entries
            .iter_mut()
            .filter(|entry| entry.value == Raw::Unread && self.pass.reads(&entry.family))
            .collect();
        let mut plain = Vec::new();
        for entry in &mut wanted {
            match &entry.family {
                Family::Index(index) => {
                    let value = self.index(*index, &entry.key).await;
                    entry.value = self.or_damaged(value, &entry.key).await?;
                }
                _ => plain.push(&mut **entry),
            }
        }
        let lengths: Vec<Command> = plain.iter().map(|entry| length(entry)).collect();
        let lengths = self.ask(&lengths).await?;
        let commands: Vec<Command> = plain.iter().map(|entry| value(entry)).collect();
        let mut answers = Vec::new();
        // What is small is read together, what is not alone, so that no answer is too large.
        for batch in batches(&commands, &lengths) {
            answers.extend(self.ask(batch).await?);
        }
        for (entry, answer) in plain.iter_mut().zip(answers) {
            entry.value = self.value(entry, answer).await?;
        }
        Ok(())
    }

    async fn ask(&self, commands: &[Command]) -> Result<Answers, RedisError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        self.redis.each(commands).await
    }

    async fn value(
        &self,
        entry: &Entry,
        answer: Result<Reply, ServerError>,
    ) -> Result<Raw, RedisError> {
        match answer {
            Ok(Reply::Text(bytes)) => Ok(Raw::Text(bytes)),
            Ok(_) => {
                let reason = "it has no data";
                Ok(damaged(reason, Value::Null))
            }
            Err(error) => {
                self.or_damaged(Err(RedisError::Server(error)), &entry.key)
                    .await
            }
        }
    }

    async fn index(&self, index: Index, key: &str) -> Result<Raw, RedisError> {
        let name = match index {
            // What is done is counted by its own data.
            Index::Ended => return Ok(Raw::Members(Vec::new())),
            Index::Queue | Index::Retry => "ZSCAN",
            Index::Processing => "HSCAN",
        };
        let mut scan = Scan::members(self.redis, name, key, PORTION);
        let mut members = Vec::new();
        while let Some(portion) = scan.next().await? {
            members.extend(pairs(portion)?.into_iter().map(|(member, score)| {
                let score = (index != Index::Processing).then_some(score);
                let score = score.and_then(|score| score.parse::<f64>().ok());
                (member, score.map(|score| score as u64))
            }));
        }
        Ok(Raw::Members(members))
    }

    /// A value of another type is damaged; any other failure is Redis's.
    async fn or_damaged(
        &self,
        value: Result<Raw, RedisError>,
        key: &str,
    ) -> Result<Raw, RedisError> {
        match value {
            Err(RedisError::Server(error)) if error.code == "WRONGTYPE" => {
                let command = Command::new("TYPE").arg(key);
                let kind = self.redis.run(command, Repeat::Harmless).await?.text()?;
                let reason = format!("a {kind} where the predecessor writes none");
                Ok(damaged(&reason, json!({ "type": kind })))
            }
            other => other,
        }
    }
}

fn damaged(reason: &str, value: Value) -> Raw {
    Raw::Damaged {
        reason: reason.to_owned(),
        value,
    }
}

fn length(entry: &Entry) -> Command {
    match entry.family {
        Family::Job(_) => Command::new("HSTRLEN").arg(&entry.key).arg("data"),
        _ => Command::new("STRLEN").arg(&entry.key),
    }
}

fn value(entry: &Entry) -> Command {
    match entry.family {
        Family::Job(_) => Command::new("HGET").arg(&entry.key).arg("data"),
        // One byte more than is taken tells that there is more.
        _ => Command::new("GETRANGE")
            .arg(&entry.key)
            .args(["0".to_owned(), MAX_BYTES.to_string()]),
    }
}

/// The commands in batches whose answers stay below some megabytes.
fn batches<'c>(commands: &'c [Command], lengths: &Answers) -> Vec<&'c [Command]> {
    let mut batches = Vec::new();
    let (mut begin, mut sum) = (0, 0);
    for (at, length) in lengths.iter().enumerate() {
        let length = match length {
            Ok(Reply::Int(length)) => *length as usize,
            Ok(_) | Err(_) => 0,
        };
        if sum + length > 4 * MAX_BYTES && at > begin {
            batches.push(&commands[begin..at]);
            (begin, sum) = (at, 0);
        }
        sum += length;
    }
    if begin < commands.len() {
        batches.push(&commands[begin..]);
    }
    batches
}
