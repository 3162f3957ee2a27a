//! The provider's fleet as its list last showed it: written by passes over the list, read by whoever
//! would otherwise have to ask the provider.
//!
//! A pass reads the provider's list first and what is remembered here second, writes what changed, and
//! makes due the instances it changed for. `redis/lua/fleet.lua` does that under the lease of the pass.

use std::collections::{BTreeMap, HashMap};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::model::{InstanceId, Recovery, Sighting, Suspect};
use crate::queue::{Job, JobId};
use crate::redis::scripts::FLEET;
use crate::redis::{Command, Keys, Redis, RedisError, Repeat, Reply};
use crate::store::to_json;

/// The most fields that one call changes; keeps every script short.
const CHUNK: usize = 200;
const PASS: &str = "pass";
const BIRTH: &str = "birth";
const ENDED: &str = "recovery_ended";

/// How the passes went, up to the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PassReport {
    /// Rises by one per pass.
    pub number: u64,
    /// When the last pass began.
    pub started_at: Millis,
    /// When the last pass began whose list was whole; every field of the fleet is as fresh as that.
    pub complete_at: Millis,
    /// Passes in all whose list was not whole.
    pub incomplete: u64,
    /// Why the last list was not whole; empty when it was.
    pub gap: String,
    /// Instances of this deployment in the last whole list.
    pub ours: u64,
    /// All others in it.
    pub foreign: u64,
    /// Lists in a row that were empty although instances are held.
    pub empty: u32,
    /// Passes that found nothing to look after, in a row.
    pub idle: u32,
    /// Whether lost records are being rebuilt.
    pub recovery: Recovery,
}

/// What is remembered when a pass begins to compare.
#[derive(Debug, Default)]
pub struct Remembered {
    /// Field of the fleet → digest of what it holds.
    pub marks: HashMap<String, String>,
    /// The provider's id → the instance whose attempt it is.
    pub bound: HashMap<String, InstanceId>,
    /// How earlier passes went.
    pub report: PassReport,
    /// When the first pass was: the age of the record store. `None` before the first one.
    pub birth: Option<Millis>,
    /// Instances that nobody accounts for, by the provider's id.
    pub suspects: BTreeMap<String, Suspect>,
}

/// What a pass changes.
#[derive(Debug, Default)]
pub struct Changes {
    /// Fields of the fleet that show something else than before.
    pub entries: Vec<Entry>,
    /// Suspects that are new or changed.
    pub suspects: Vec<(String, Suspect)>,
    /// Suspects that are none any more.
    pub cleared: Vec<String>,
    /// Webhooks to be sent.
    pub webhooks: Vec<Job>,
    /// How this pass went; written last.
    pub report: Option<PassReport>,
}

/// A field of the fleet that changed.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub field: String,
    /// What it shows from now on, and the digest of that; `None` when it is listed no more.
    pub shown: Option<(Vec<Sighting>, String)>,
    /// The instance that is made due in the same step, so that it cannot miss the change.
    pub due: Option<InstanceId>,
}

/// What the provider's list showed of one instance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// What it showed; several when there is something beside what is wanted.
    pub sightings: Vec<Sighting>,
    /// How fresh a sighting is at least that has not changed since.
    pub complete_at: Millis,
}

impl Seen {
    /// What the list showed of the instance under this id of the provider's, and when.
    #[must_use]
    pub fn of(&self, provider_id: &str) -> Option<(&Sighting, Millis)> {
        let is_it = |sighting: &&Sighting| sighting.provider_id == provider_id;
        let sighting = self.sightings.iter().find(is_it)?;
        Some((sighting, sighting.facts.seen_at.max(self.complete_at)))
    }
}

/// Something that a reconcile waits for: another word for this instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// The provider's id.
    pub provider_id: String,
    /// The provider's word when it was seen last.
    pub word: String,
}

impl Watched {
    /// As it is stored.
    #[must_use]
    pub fn stored(&self) -> String {
        to_json(self)
    }
}

/// The fleet of one deployment.
#[derive(Debug, Clone)]
pub struct FleetStore {
    redis: Redis,
    keys: Keys,
}

impl FleetStore {
    /// The fleet under these keys.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }

    /// What earlier passes remembered.
    pub async fn remembered(&self) -> Result<Remembered, RedisError> {
        let all = |key: String| Command::new("HGETALL").arg(key);
        let head = Command::new("HMGET")
            .arg(self.keys.fleet())
            .args([PASS, BIRTH, ENDED]);
        let replies: [Reply; 4] = self
            .redis
            .read(&[
                all(self.keys.marks()),
                all(self.keys.bound()),
                all(self.keys.suspects()),
                head,
            ])
            .await?
            .try_into()
            .map_err(|_| RedisError::Protocol("expected four replies".into()))?;
        let [marks, bound, suspects, head] = replies;
        let mut head = head.optional_texts()?.into_iter();
        let mut next = || head.next().flatten();
        let (report, birth, ended) = (next(), next(), next());
        let mut report: PassReport = report.and_then(|text| lenient(&text)).unwrap_or_default();
        if let Some(at) = ended.and_then(|text| text.parse().ok()) {
            report.recovery = Recovery::Ended { at: Millis(at) };
        }
        let bound = bound.pairs()?.into_iter();
        let suspects = suspects.pairs()?.into_iter();
        Ok(Remembered {
            marks: marks.pairs()?.into_iter().collect(),
            bound: bound
                .filter_map(|(provider_id, id)| Some((provider_id, id.parse().ok()?)))
                .collect(),
            report,
            birth: birth.and_then(|text| text.parse().ok()).map(Millis),
            suspects: suspects
                .filter_map(|(provider_id, text)| Some((provider_id, lenient(&text)?)))
                .collect(),
        })
    }

    /// Writes changes down and makes due what they are about, as long as `token` holds the job; `false`
    /// when it does not, and then the rest was not written. May be repeated.
    pub async fn commit(
        &self,
        job: &JobId,
        token: &str,
        changes: Changes,
    ) -> Result<bool, RedisError> {
        let mut keys = self.keys.queue();
        keys.extend([self.keys.fleet(), self.keys.marks(), self.keys.suspects()]);
        for chunk in chunks(changes) {
            let mut args = vec![job.to_string(), token.to_owned()];
            chunk.push(&mut args);
            let reply = self
                .redis
                .script(&FLEET, &keys, &args, Repeat::Harmless)
                .await?;
            if reply.int()? != 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends the rebuilding of lost records for good: what has no record is treated by the policy from now
    /// on, whatever its age.
    pub async fn end_recovery(&self, now: Millis) -> Result<(), RedisError> {
        let command = Command::new("HSET")
            .arg(self.keys.fleet())
            .args([ENDED.to_owned(), now.0.to_string()]);
        self.redis.run(command, Repeat::Harmless).await?;
        Ok(())
    }

    /// Everything that is listed, and how the last pass went.
    pub async fn all(&self) -> Result<(BTreeMap<String, Vec<Sighting>>, PassReport), RedisError> {
        let command = Command::new("HGETALL").arg(self.keys.fleet());
        let mut fields = BTreeMap::new();
        let mut report = PassReport::default();
        for (field, text) in self.redis.run(command, Repeat::Harmless).await?.pairs()? {
            match field.as_str() {
                PASS => report = lenient(&text).unwrap_or_default(),
                BIRTH | ENDED => {}
                _ => drop(fields.insert(field, lenient(&text).unwrap_or_default())),
            }
        }
        Ok((fields, report))
    }

    /// How the last pass went.
    pub async fn report(&self) -> Result<PassReport, RedisError> {
        let command = Command::new("HGET").arg(self.keys.fleet()).arg(PASS);
        let stored = self.redis.run(command, Repeat::Harmless).await?;
        let stored = stored.optional_text()?;
        Ok(stored.and_then(|text| lenient(&text)).unwrap_or_default())
    }

    /// What the list showed under an id of the provider's that nobody here accounts for.
    pub async fn foreign(&self, provider_id: &str) -> Result<Seen, RedisError> {
        let command = read_field(&self.keys, &foreign_field(provider_id));
        read_reply(self.redis.run(command, Repeat::Harmless).await?)
    }

    /// Everything that is waited for.
    pub async fn watched(&self) -> Result<BTreeMap<InstanceId, Watched>, RedisError> {
        let command = Command::new("HGETALL").arg(self.keys.watch());
        let pairs = self.redis.run(command, Repeat::Harmless).await?.pairs()?;
        Ok(pairs
            .into_iter()
            .filter_map(|(id, text)| Some((id.parse().ok()?, lenient(&text)?)))
            .collect())
    }
}

/// The field of the fleet for what no instance of ours accounts for.
#[must_use]
pub fn foreign_field(provider_id: &str) -> String {
    format!("x:{provider_id}")
}

/// The command that reads what the list showed of an instance, for whoever reads its record.
pub(crate) fn read_command(keys: &Keys, id: &InstanceId) -> Command {
    read_field(keys, id.as_str())
}

fn read_field(keys: &Keys, field: &str) -> Command {
    Command::new("HMGET").arg(keys.fleet()).args([field, PASS])
}

/// What that command tells.
pub(crate) fn read_reply(reply: Reply) -> Result<Seen, RedisError> {
    let mut texts = reply.optional_texts()?.into_iter();
    let (sightings, report) = (texts.next().flatten(), texts.next().flatten());
    let report: PassReport = report.and_then(|text| lenient(&text)).unwrap_or_default();
    Ok(Seen {
        sightings: sightings
            .and_then(|text| lenient(&text))
            .unwrap_or_default(),
        complete_at: report.complete_at,
    })
}

/// What cannot be read is as good as not there: all of it is found again by looking.
fn lenient<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text)
        .inspect_err(|error| tracing::warn!(%error, "unreadable, and not believed"))
        .ok()
}

/// A part of the changes, small enough for one call.
#[derive(Default)]
struct Chunk {
    fleet: Fields,
    marks: Fields,
    suspects: Fields,
    jobs: Vec<Job>,
    /// It has the report, and is the last one.
    is_last: bool,
}

#[derive(Default)]
struct Fields {
    set: Vec<(String, String)>,
    removed: Vec<String>,
}

impl Chunk {
    fn push(self, args: &mut Vec<String>) {
        for fields in [self.fleet, self.marks, self.suspects] {
            args.push(fields.set.len().to_string());
            args.extend(
                fields
                    .set
                    .into_iter()
                    .flat_map(|(field, value)| [field, value]),
            );
            args.push(fields.removed.len().to_string());
            args.extend(fields.removed);
        }
        args.push(self.jobs.len().to_string());
        for job in self.jobs {
            args.extend([job.id().to_string(), job.stored()]);
        }
        args.push(u8::from(self.is_last).to_string());
    }
}

/// The changes in calls of bounded size, the report last.
fn chunks(changes: Changes) -> Vec<Chunk> {
    let mut chunks = Chunks::default();
    // Before what says that they were sent: told twice is better than never.
    for webhook in changes.webhooks {
        chunks.next().jobs.push(webhook);
    }
    for Entry { field, shown, due } in changes.entries {
        let chunk = chunks.next();
        chunk
            .jobs
            .extend(due.map(|instance| Job::Reconcile { instance }));
        if let Some((sightings, mark)) = shown {
            chunk.fleet.set.push((field.clone(), to_json(&sightings)));
            chunk.marks.set.push((field, mark));
        } else {
            chunk.fleet.removed.push(field.clone());
            chunk.marks.removed.push(field);
        }
    }
    for (provider_id, suspect) in changes.suspects {
        let stored = to_json(&suspect);
        chunks.next().suspects.set.push((provider_id, stored));
    }
    for provider_id in changes.cleared {
        chunks.next().suspects.removed.push(provider_id);
    }
    if let Some(report) = changes.report {
        let entry = (PASS.to_owned(), to_json(&report));
        let last = chunks.next();
        last.fleet.set.push(entry);
        last.is_last = true;
    }
    chunks.full.push(chunks.open);
    chunks.full
}

#[derive(Default)]
struct Chunks {
    full: Vec<Chunk>,
    open: Chunk,
    size: usize,
}

impl Chunks {
    /// The chunk that takes the next change.
    fn next(&mut self) -> &mut Chunk {
        if self.size == CHUNK {
            self.full.push(std::mem::take(&mut self.open));
            self.size = 0;
        }
        self.size += 1;
        &mut self.open
    }
}
