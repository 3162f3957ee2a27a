//! Where the records go: into Redis, or, for a plan, nowhere.

use shared::clock::Millis;
use shared::envs::EnvsKey;
use shared::redis::scripts::IMPORT;
use shared::redis::{Repeat, Reply};

use super::item::{Item, arguments, script_keys};
use super::ledger::{fields, recall};
use super::map::Import;
use super::text::Reason;
use crate::answer::Failure;
use crate::lock::Lock;
use crate::steps::Place;

/// Records written together, and the size of what is sent at a time, in bytes.
const BATCH: usize = 50;
const BATCH_BYTES: usize = 1024 * 1024;

/// Where the records go.
#[derive(Debug)]
pub struct Target<'a> {
    /// The deployment.
    pub place: Place<'a>,
    /// With it records are written, without it only looked for.
    pub lock: Option<&'a Lock>,
    /// When the import began, by the deployment's clock.
    pub now: Millis,
    /// What encrypts environments; without one they are left out.
    pub envs_key: Option<EnvsKey>,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Written now; in a plan, it would be.
    New,
    /// Written before.
    Known,
    /// Written before, and changed in the source since.
    Changed,
    /// It cannot be written, for this reason.
    Impossible(Reason),
}

/// An item and its arguments.
struct Prepared<'i> {
    item: &'i Item,
    args: Vec<String>,
    events: Option<String>,
    /// Its id and the provider's, where there are any.
    ids: (String, String),
}

impl Target<'_> {
    /// Writes items, or says what would become of them, in their order.
    pub async fn put(&self, items: &[Item]) -> Result<Vec<Word>, Failure> {
        let mut words = Vec::with_capacity(items.len());
        let mut batch: Vec<Prepared<'_>> = Vec::new();
        let mut bytes = 0;
        for item in items {
            let prepared = match self.prepare(item)? {
                Ok(prepared) => prepared,
                Err(reason) => {
                    words.extend(self.put_batch(&std::mem::take(&mut batch)).await?);
                    words.push(Word::Impossible(reason));
                    continue;
                }
            };
            let size: usize = prepared.args.iter().map(String::len).sum();
            if batch.len() >= BATCH || bytes + size > BATCH_BYTES {
                words.extend(self.put_batch(&std::mem::take(&mut batch)).await?);
                bytes = 0;
            }
            bytes += size;
            batch.push(prepared);
        }
        words.extend(self.put_batch(&batch).await?);
        Ok(words)
    }

    fn prepare<'i>(&self, item: &'i Item) -> Result<Result<Prepared<'i>, Reason>, Failure> {
        let (key, note) = (item.ledger_key(), item.note(self.now));
        Ok(match item {
            Item::State(state) => match state.import(self.now, self.envs_key.is_some()) {
                Ok(import) => Ok(self.prepare_state(item, &import, key, note)?),
                Err(reason) => Err(reason),
            },
            Item::Webhook(webhook) => webhook.job().map(|(job, due)| Prepared {
                item,
                args: vec![
                    "job".to_owned(),
                    key,
                    note,
                    job.id().to_string(),
                    job.stored(),
                    due.0.to_string(),
                ],
                events: None,
                ids: (String::new(), String::new()),
            }),
        })
    }

    fn prepare_state<'i>(
        &self,
        item: &'i Item,
        import: &Import,
        key: String,
        note: String,
    ) -> Result<Prepared<'i>, Failure> {
        let arguments = arguments(import, self.now, self.envs_key.as_ref())?;
        let provider_id = arguments[10].clone();
        let mut args = vec!["instance".to_owned(), key, note];
        args.extend(arguments);
        Ok(Prepared {
            item,
            args,
            events: Some(self.place.keys.events(&import.spec.id)),
            ids: (import.spec.id.to_string(), provider_id),
        })
    }

    async fn put_batch(&self, batch: &[Prepared<'_>]) -> Result<Vec<Word>, Failure> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let words = match self.lock {
            Some(lock) => self.write(lock, batch).await?,
            None => self.foresee(batch).await?,
        };
        let words = words.into_iter().map(|word| Word::read(&word));
        let mut words: Vec<Word> = words.collect();
        let known: Vec<usize> = (0..words.len())
            .filter(|at| words[*at] == Word::Known)
            .collect();
        let names: Vec<String> = known
            .iter()
            .map(|at| batch[*at].item.ledger_key())
            .collect();
        let found = recall(self.place.redis, self.place.keys, &names).await?;
        for (at, found) in known.into_iter().zip(found) {
            let digest = batch[at].item.digest();
            if found.is_none_or(|found| found.digest != digest) {
                words[at] = Word::Changed;
            }
        }
        Ok(words)
    }

    async fn write(&self, lock: &Lock, batch: &[Prepared<'_>]) -> Result<Vec<String>, Failure> {
        let mut keys = script_keys(self.place.keys);
        keys.extend(batch.iter().filter_map(|prepared| prepared.events.clone()));
        let mut args = vec![lock.token().to_owned()];
        args.extend(batch.iter().flat_map(|prepared| prepared.args.clone()));
        let script = self
            .place
            .redis
            .script(&IMPORT, &keys, &args, Repeat::Harmless);
        let words = script.await?.optional_texts()?;
        Ok(words.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// The words that `import.lua` would answer with.
    async fn foresee(&self, batch: &[Prepared<'_>]) -> Result<Vec<String>, Failure> {
        let Self { place, .. } = self;
        let names: Vec<String> = batch.iter().map(|p| p.item.ledger_key()).collect();
        let (ids, held): (Vec<_>, Vec<_>) = batch.iter().map(|p| p.ids.clone()).unzip();
        let remembered = fields(place.redis, place.keys.imported(), &names).await?;
        let specs = fields(place.redis, place.keys.spec(), &ids).await?;
        let holders = fields(place.redis, place.keys.bound(), &held).await?;
        let known = remembered.into_iter().zip(specs).zip(holders).zip(&ids);
        let words = known.map(|(((remembered, spec), holder), id)| match holder {
            _ if remembered.is_some() => "known".to_owned(),
            _ if spec.is_some() => "exists".to_owned(),
            Some(holder) if holder != *id => format!("held:{holder}"),
            _ => "new".to_owned(),
        });
        Ok(words.collect())
    }

    /// The deployment's clock.
    pub async fn clock(place: Place<'_>) -> Result<Millis, Failure> {
        let command = shared::redis::Command::new("TIME");
        let reply = place.redis.run(command, Repeat::Harmless).await?;
        let parts: Result<Vec<i64>, _> = reply.array()?.into_iter().map(Reply::int).collect();
        match parts?.as_slice() {
            [seconds, micros] => Ok(Millis((seconds * 1000 + micros / 1000) as u64)),
            _ => Err(shared::redis::RedisError::Protocol("no time".into()).into()),
        }
    }
}

impl Word {
    fn read(word: &str) -> Self {
        match word.split_once(':') {
            None if word == "new" => Self::New,
            None if word == "known" => Self::Known,
            Some(("held", holder)) => Self::Impossible(format!(
                "{holder} holds the same instance at the provider already"
            )),
            _ => {
                Self::Impossible("there is a record under its id that was not imported".to_owned())
            }
        }
    }
}
