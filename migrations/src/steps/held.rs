//! `bound`: the provider's id of every instance that a record holds → the record.
//!
//! Every settled step of a worker writes it for its own record, so only records that were written before
//! the key existed, or came from elsewhere, can be missing there.

use shared::model::Status;
use shared::redis::scripts::HOLD;
use shared::redis::{Command, RedisError};

use super::{Findings, Place, TOLD};
use crate::digest::sha1_hex;
use crate::lock::Lock;
use crate::scan::{Scan, pairs};
use crate::screen::Progress;

/// Statuses read at a time: each may have some kilobytes.
const PORTION: usize = 200;

/// One instance at the provider, held by a record.
struct Held {
    provider_id: String,
    instance: String,
    status_digest: String,
}

/// What is missing; writes nothing.
pub(super) async fn look(place: Place<'_>) -> Result<Findings, RedisError> {
    walk(place, None).await
}

/// Adds what is missing.
pub(super) async fn apply(place: Place<'_>, lock: &Lock) -> Result<Findings, RedisError> {
    walk(place, Some(lock)).await
}

async fn walk(place: Place<'_>, lock: Option<&Lock>) -> Result<Findings, RedisError> {
    let mut findings = Findings::default();
    let mut progress = Progress::new("records", None);
    let status = place.keys.status();
    let mut scan = Scan::members(place.redis, "HSCAN", &status, PORTION);
    while let Some(portion) = scan.next().await? {
        let records = pairs(portion)?;
        progress.advance(records.len() as u64);
        findings.looked_at += records.len() as u64;
        let held: Vec<Held> = records
            .into_iter()
            .flat_map(|(id, status)| held_by(&id, &status))
            .collect();
        for held in held.chunks(PORTION) {
            let words = match lock {
                Some(lock) => write(place, lock, held).await?,
                None => compare(place, held).await?,
            };
            for (held, word) in held.iter().zip(words) {
                findings.note(held, &word);
            }
        }
    }
    Ok(findings)
}

/// What a record holds. A status that cannot be read holds nothing that could be told here; its own
/// reconcile says so.
fn held_by(instance: &str, stored: &str) -> Vec<Held> {
    let Ok(status) = serde_json::from_str::<Status>(stored) else {
        return Vec::new();
    };
    let status_digest = sha1_hex(stored);
    let existing = status
        .all_attempts()
        .filter(|attempt| attempt.state.may_exist());
    existing
        .filter_map(|attempt| attempt.provider_id.clone())
        .map(|provider_id| Held {
            provider_id,
            instance: instance.to_owned(),
            status_digest: status_digest.clone(),
        })
        .collect()
}

async fn write(place: Place<'_>, lock: &Lock, held: &[Held]) -> Result<Vec<String>, RedisError> {
    let keys = vec![place.keys.status(), place.keys.bound()];
    let args = held.iter().flat_map(|held| {
        [&held.provider_id, &held.instance, &held.status_digest].map(Clone::clone)
    });
    let reply = lock.script(&HOLD, keys, args.collect()).await?;
    let words = reply.optional_texts()?;
    Ok(words.into_iter().map(Option::unwrap_or_default).collect())
}

/// The words that `hold.lua` would have answered with.
async fn compare(place: Place<'_>, held: &[Held]) -> Result<Vec<String>, RedisError> {
    let ids = held.iter().map(|held| held.provider_id.as_str());
    let command = Command::new("HMGET").arg(place.keys.bound()).args(ids);
    let reply = place.redis.run(command, shared::redis::Repeat::Harmless);
    let holders = reply.await?.optional_texts()?;
    let words = holders
        .into_iter()
        .zip(held)
        .map(|(holder, held)| match holder {
            None => "1".to_owned(),
            Some(holder) if holder == held.instance => "0".to_owned(),
            Some(holder) => holder,
        });
    Ok(words.collect())
}

impl Findings {
    fn note(&mut self, held: &Held, word: &str) {
        let Held {
            provider_id,
            instance,
            ..
        } = held;
        match word {
            "0" | "changed" => {}
            "1" => {
                self.changes += 1;
                if self.samples.len() < TOLD {
                    self.samples
                        .push(format!("{provider_id} is held by {instance}"));
                }
            }
            other => {
                if self.problems.len() < TOLD {
                    self.problems.push(format!(
                        "{provider_id} is held by {instance} and by {other}"
                    ));
                }
            }
        }
    }
}
