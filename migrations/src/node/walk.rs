//! One way through the source, for a plan, an import and a verification alike: first what stands around
//! the records, then the jobs, then the records, those of uncertain instances last.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;
use shared::clock::Millis;

use super::context::Context;
use super::family::{Family, Index};
use super::item::{Item, StateItem, WebhookItem};
use super::jobs::{JobRecord, Work};
use super::life::life;
use super::quarantine::Quarantine;
use super::report::Report;
use super::source::{Entry, Pass, Raw, Source};
use super::state::{ProviderCopy, Startup, State, Wrapped};
use super::target::Target;
use super::text::Reason;
use super::verify;
use crate::answer::Failure;
use crate::screen::Progress;

/// Why a key is put aside whose name could be anything.
const STRANGE: &str = "neither a key of the predecessor's nor a copy of the provider's";

/// What is done with the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// They are written, or, without a lock, looked for.
    Put,
    /// They are compared with what was written.
    Verify,
}

/// A way through the source.
pub struct Walk<'a> {
    source: &'a Source,
    target: &'a Target<'a>,
    aim: Aim,
    context: Context,
    /// Jobs that an index names and whose data did not come yet.
    indexed: HashMap<String, &'static str>,
    /// Instances that jobs speak of and whose record did not come yet.
    awaited: HashSet<String>,
    /// Digests of the keys of a pass: a scan may name a key twice.
    seen: HashSet<u64>,
    report: Report,
    quarantine: &'a mut Quarantine,
}

impl<'a> Walk<'a> {
    /// A way from `source` to `target`.
    pub fn new(
        source: &'a Source,
        target: &'a Target<'a>,
        aim: Aim,
        quarantine: &'a mut Quarantine,
    ) -> Self {
        Self {
            source,
            target,
            aim,
            context: Context::default(),
            indexed: HashMap::new(),
            awaited: HashSet::new(),
            seen: HashSet::new(),
            report: Report::default(),
            quarantine,
        }
    }

    /// Goes it.
    ///
    /// # Errors
    /// The source cannot be read, or the target cannot be written, any further.
    pub async fn go(mut self) -> Result<Report, Failure> {
        let mut progress = Progress::new("keys", None);
        let mut uncertain = Vec::new();
        for pass in [Pass::Surroundings, Pass::Jobs, Pass::States, Pass::Orphans] {
            self.seen.clear();
            let mut reader = self.source.pass(pass)?;
            while let Some(entries) = reader.next().await? {
                progress.advance(entries.len() as u64);
                let mut items = Vec::new();
                for entry in entries {
                    if self.is_new(&entry.key) {
                        items.extend(self.entry(pass, &entry)?);
                    }
                }
                self.hand_over(&mut items, &mut uncertain).await?;
            }
        }
        self.resolve(uncertain).await?;
        self.left_over()?;
        self.report.quarantined = self.quarantine.count;
        Ok(self.report)
    }

    fn is_new(&mut self, key: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.seen.insert(hasher.finish())
    }

    /// What follows from one key.
    fn entry(&mut self, pass: Pass, entry: &Entry) -> Result<Option<Item>, Failure> {
        if pass == Pass::Surroundings {
            if entry.family != Family::Ours {
                *self.report.found.entry(entry.family.word()).or_default() += 1;
                self.report.prefixed += u64::from(entry.is_prefixed);
            }
            if let Err(reason) = self.surrounding(entry) {
                self.quarantine.put(entry, &reason)?;
            }
            return Ok(None);
        }
        let item = match &entry.family {
            Family::Job(id) => self.job(&id.clone(), entry),
            Family::State(id) => self.state(&id.clone(), entry).map(Some),
            _ => Ok(None),
        };
        match item {
            Ok(item) => Ok(item),
            Err(reason) => {
                if pass != Pass::Jobs {
                    self.report.instances.quarantined += 1;
                }
                self.quarantine.put(entry, &reason)?;
                Ok(None)
            }
        }
    }

    fn surrounding(&mut self, entry: &Entry) -> Result<(), Reason> {
        match (&entry.family, &entry.value) {
            (_, Raw::Damaged { reason, .. }) => Err(reason.clone()),
            (Family::Unknown, _) => Err("no key that the predecessor is known to write".into()),
            (Family::Bare, Raw::Text(stored)) => {
                let copy: Option<ProviderCopy> = read(stored).ok();
                let is_own =
                    |copy: &ProviderCopy| !copy.id.is_empty() && entry.key.ends_with(&copy.id);
                let copy = copy.filter(is_own).ok_or(STRANGE)?;
                self.context.copies.insert(copy.id.clone(), copy);
                Ok(())
            }
            (Family::Startup(id), Raw::Text(stored)) => {
                // Expired or not: as long as the record says so, its caller waits for the start.
                let wrapped = Wrapped::read(stored)?;
                let startup: Startup = serde_json::from_value(wrapped.data)
                    .map_err(|error| format!("not a startup operation: {error}"))?;
                self.awaited.insert(id.clone());
                self.context.startups.insert(id.clone(), startup);
                Ok(())
            }
            (Family::Index(index), Raw::Members(members)) => {
                let word = match index {
                    Index::Queue => "jobs:queue",
                    Index::Retry => "jobs:retry",
                    Index::Processing => "jobs:processing",
                    Index::Ended => return Ok(()),
                };
                let ids = members.iter().map(|(id, _)| (id.clone(), word));
                self.indexed.extend(ids);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn job(&mut self, id: &str, entry: &Entry) -> Result<Option<Item>, Reason> {
        self.indexed.remove(id);
        let job = JobRecord::read(id, text(entry)?)?;
        let kind = format!("{} {}", job.kind, job.status);
        *self.report.jobs.entry(kind).or_default() += 1;
        if !job.is_open() {
            // What it asked for is worth knowing, but nothing of it is still to be done.
            if let Ok(Work::Create(create)) = job.work() {
                let id = create.instance_id.clone();
                self.context.creates.entry(id).or_insert(create);
            }
            return Ok(None);
        }
        let (word, item) = match job.work()? {
            Work::Monitor(monitor) => {
                let id = monitor.instance_id.clone();
                self.awaited.insert(id.clone());
                self.context.monitors.insert(id, monitor);
                ("reconciles", None)
            }
            Work::Create(create) => {
                let id = create.instance_id.clone();
                self.awaited.insert(id.clone());
                self.context.creates.insert(id, create);
                ("unfinished creates", None)
            }
            Work::Periodic => ("done by periodic jobs of ours", None),
            Work::Webhook(webhook) => {
                let item = WebhookItem {
                    entry: entry.clone(),
                    job: id.to_owned(),
                    webhook,
                };
                ("webhooks", Some(Item::Webhook(Box::new(item))))
            }
        };
        *self.report.work.entry(word).or_default() += 1;
        Ok(item)
    }

    fn state(&mut self, id: &str, entry: &Entry) -> Result<Item, Reason> {
        let wrapped = Wrapped::read(text(entry)?)?;
        let state = State::read(id, wrapped.data.clone())?;
        self.awaited.remove(id);
        if state.provider_id().is_some() {
            self.context.names.insert(state.name.clone());
        }
        Ok(Item::State(Box::new(StateItem {
            beside: self.context.beside(&state),
            written: Millis(wrapped.timestamp),
            source: wrapped.data,
            entry: entry.clone(),
            state,
        })))
    }

    /// Writes or compares items; those without the provider's id wait until all names are known.
    async fn hand_over(
        &mut self,
        items: &mut Vec<Item>,
        uncertain: &mut Vec<StateItem>,
    ) -> Result<(), Failure> {
        let mut certain = Vec::with_capacity(items.len());
        for item in items.drain(..) {
            match item {
                Item::State(item) if item.state.provider_id().is_none() => uncertain.push(*item),
                item => certain.push(item),
            }
        }
        self.put(certain).await
    }

    /// Whether the provider may have something under a name can be told only when all names are known;
    /// in an order that is the same every time.
    async fn resolve(&mut self, mut uncertain: Vec<StateItem>) -> Result<(), Failure> {
        uncertain.sort_by(|a, b| a.state.id.cmp(&b.state.id));
        for mut item in uncertain {
            item.beside = self.context.beside(&item.state);
            self.context.names.insert(item.state.name.clone());
            self.put(vec![Item::State(Box::new(item))]).await?;
        }
        Ok(())
    }

    async fn put(&mut self, items: Vec<Item>) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        for item in &items {
            if let Item::State(item) = item {
                let life = life(&item.state, item.written, &item.beside);
                *self.report.lives.entry(life.stood()).or_default() += 1;
                if let Some(line) = life.attention(&item.state) {
                    self.report.attend(line);
                }
            }
        }
        if self.aim == Aim::Verify {
            let found = verify::compare(self.target, &items, &mut self.report);
            return found.await;
        }
        let words = self.target.put(&items).await?;
        for (item, word) in items.iter().zip(words) {
            let is_webhook = matches!(item, Item::Webhook(_));
            self.report
                .note(item.entry(), is_webhook, &word, self.quarantine)?;
        }
        Ok(())
    }

    /// What indexes and jobs speak of and what did not come.
    fn left_over(&mut self) -> Result<(), Failure> {
        let mut missing: Vec<(String, String)> = self
            .indexed
            .drain()
            .map(|(id, index)| {
                (
                    format!("jobs:data:{id}"),
                    format!("{index} names it, and it is gone"),
                )
            })
            .collect();
        missing.extend(self.awaited.drain().map(|id| {
            let key = format!("cache:instance-states-persistent:{id}");
            (
                key,
                "a job speaks of this instance, and it has no record".to_owned(),
            )
        }));
        missing.sort();
        for (key, reason) in missing {
            let entry = Entry {
                key,
                family: Family::Unknown,
                is_prefixed: false,
                value: Raw::Damaged {
                    reason: reason.clone(),
                    value: Value::Null,
                },
            };
            self.quarantine.put(&entry, &reason)?;
        }
        Ok(())
    }
}

fn text(entry: &Entry) -> Result<&[u8], Reason> {
    match &entry.value {
        Raw::Text(bytes) => Ok(bytes),
        Raw::Damaged { reason, .. } => Err(reason.clone()),
        Raw::Unread | Raw::Members(_) => Err("no text".to_owned()),
    }
}

fn read<T: serde::de::DeserializeOwned>(stored: &[u8]) -> Result<T, Reason> {
    let value = super::text::parse(stored)?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}
