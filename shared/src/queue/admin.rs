//! The queue as its administrators see and steer it.

use std::fmt;
use std::str::FromStr;

use super::call::BATCH;
use super::job::{JobId, JobKind};
use crate::clock::Millis;
use crate::redis::scripts::{EXHUME, LIST, PAUSE, SHOW};
use crate::redis::{Command, Keys, Redis, RedisError, Repeat, Reply, Script};

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Runnable now.
    Due,
    /// A worker holds it.
    Leased,
    /// Waits for its time.
    Delayed,
    /// Would be due, but its kind is paused.
    Paused,
    /// Given up.
    Dead,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Due,
        Self::Leased,
        Self::Delayed,
        Self::Paused,
        Self::Dead,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Leased => "leased",
            Self::Delayed => "delayed",
            Self::Paused => "paused",
            Self::Dead => "dead",
        }
    }
}

/// A word that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {0}")]
pub struct UnknownWord(String);

impl FromStr for JobState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| UnknownWord(Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// What is paused or resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole queue.
    All,
    /// One kind of job.
    Kind(JobKind),
}

impl Scope {
    /// The word in the markers of the timers.
    fn marker(self) -> &'static str {
        match self {
            Self::All => "*",
            Self::Kind(kind) => kind.as_str(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Kind(kind) => kind.as_str(),
        })
    }
}

impl FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        if matches!(text, "all" | "*") {
            return Ok(Self::All);
        }
        let kind = JobKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        kind.map(Self::Kind).ok_or_else(|| {
            UnknownWord(format!(
                "all, {}",
                JobKind::ALL.map(JobKind::as_str).join(", ")
            ))
        })
    }
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredJob {
    /// Which.
    pub id: JobId,
    /// Where it is.
    pub state: JobState,
    /// Due: runnable since. Leased: its lease ends. Delayed: it will be due. Dead: given up. None for
    /// a paused one.
    pub at: Option<Millis>,
    /// How often it was handed out since it last got on.
    pub attempts: u32,
    /// How often a holder vanished since it last got on.
    pub crashes: u32,
    /// How often it failed since it last got on.
    pub failures: u32,
    /// It was wanted again while it was held.
    pub is_wanted_again: bool,
    /// The worker session that holds it, or held it when its lease ended.
    pub holder: Option<String>,
    /// What it failed with, newest first; the oldest may be cut off.
    pub errors: Vec<String>,
    /// The stored body; see [`Job::parse`](super::Job::parse).
    pub body: String,
}

/// What became of a job that was to leave the dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhumed {
    /// It left.
    Yes,
    /// It is not dead.
    NotDead,
    /// There is no such job.
    Unknown,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Redis's clock.
    pub now: Millis,
    /// Jobs in this state.
    pub total: u64,
    /// Those of this page.
    pub jobs: Vec<StoredJob>,
}

/// The queue as its administrators see and steer it.
#[derive(Debug, Clone)]
pub struct QueueAdmin {
    redis: Redis,
    keys: Keys,
}

impl QueueAdmin {
    /// The most jobs of one page, and of one call that changes them.
    pub const PAGE: usize = BATCH;

    /// The queue of the deployment with these keys.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }

    async fn script(&self, script: &Script, args: &[String]) -> Result<Vec<Reply>, RedisError> {
        let reply = self
            .redis
            .script(script, &self.keys.queue(), args, Repeat::Harmless)
            .await?;
        reply.array()
    }

    /// Lists jobs: the next in time first, of the dead the last. At most [`QueueAdmin::PAGE`].
    pub async fn list(
        &self,
        state: JobState,
        offset: usize,
        limit: usize,
    ) -> Result<Page, RedisError> {
        let limit = limit.clamp(1, Self::PAGE);
        let args = [
            state.as_str().to_owned(),
            offset.to_string(),
            limit.to_string(),
        ];
        let mut items = self.script(&LIST, &args).await?.into_iter();
        let mut head = || items.next().map_or(Ok(0), Reply::int);
        let (now, total) = (Millis(head()? as u64), head()? as u64);
        let mut jobs = Vec::new();
        for item in items {
            let [id, at, lease, body] = fields(item.array()?)?;
            jobs.push(stored_job(
                JobId::stored(id.text()?),
                state,
                &at,
                &lease,
                &body,
            )?);
        }
        Ok(Page { now, total, jobs })
    }

    /// One job, if there is such a job.
    pub async fn show(&self, id: &JobId) -> Result<Option<StoredJob>, RedisError> {
        let mut items = self.script(&SHOW, &[id.to_string()]).await?;
        if items.len() < 2 {
            return Ok(None);
        }
        let [state, at, lease, body] = fields(items.split_off(1))?;
        let state = state
            .text()?
            .parse()
            .map_err(|_| RedisError::Protocol("a job in no known state".into()))?;
        stored_job(id.clone(), state, &at, &lease, &body).map(Some)
    }

    /// Lets a dead job begin anew.
    pub async fn retry(&self, id: &JobId) -> Result<Exhumed, RedisError> {
        self.exhume("retry", id).await
    }

    /// Removes a dead job for good.
    pub async fn drop_dead(&self, id: &JobId) -> Result<Exhumed, RedisError> {
        self.exhume("drop", id).await
    }

    async fn exhume(&self, verb: &str, id: &JobId) -> Result<Exhumed, RedisError> {
        let verdicts = self.exhume_all(verb, &[id.to_string()]).await?;
        Ok(match verdicts.first() {
            Some(1) => Exhumed::Yes,
            Some(0) => Exhumed::NotDead,
            _ => Exhumed::Unknown,
        })
    }

    async fn exhume_all(&self, verb: &str, ids: &[String]) -> Result<Vec<i64>, RedisError> {
        let mut args = vec![verb.to_owned()];
        args.extend_from_slice(ids);
        let verdicts = self.script(&EXHUME, &args).await?;
        verdicts.into_iter().map(Reply::int).collect()
    }

    /// Lets up to `limit` dead jobs begin anew, those given up first before the others. Returns how many.
    pub async fn retry_dead(&self, limit: usize) -> Result<usize, RedisError> {
        self.empty_dead("retry", "+inf", limit).await
    }

    /// Removes up to `limit` jobs for good that were given up before `time`. Returns how many.
    pub async fn drop_dead_before(&self, time: Millis, limit: usize) -> Result<usize, RedisError> {
        self.empty_dead("drop", &format!("({}", time.0), limit)
            .await
    }

    async fn empty_dead(&self, verb: &str, until: &str, limit: usize) -> Result<usize, RedisError> {
        let mut left = 0;
        while left < limit {
            let page = (limit - left).min(Self::PAGE).to_string();
            let oldest = Command::new("ZRANGE")
                .arg(self.keys.dead())
                .args(["-inf", until, "BYSCORE", "LIMIT", "0", &page]);
            let ids = self.redis.run(oldest, Repeat::Harmless).await?;
            let ids: Vec<String> = ids.optional_texts()?.into_iter().flatten().collect();
            if ids.is_empty() {
                break;
            }
            let verdicts = self.exhume_all(verb, &ids).await?;
            let exhumed = verdicts.iter().filter(|verdict| **verdict == 1).count();
            if exhumed == 0 {
                break;
            }
            left += exhumed;
        }
        Ok(left)
    }

    /// Stops handing out jobs of this scope; held ones are finished. `false` when it was paused already.
    pub async fn pause(&self, scope: Scope) -> Result<bool, RedisError> {
        self.set_paused("pause", scope).await
    }

    /// Hands out jobs of this scope again. `false` when it was not paused.
    pub async fn resume(&self, scope: Scope) -> Result<bool, RedisError> {
        self.set_paused("resume", scope).await
    }

    async fn set_paused(&self, verb: &str, scope: Scope) -> Result<bool, RedisError> {
        let args = [verb.to_owned(), scope.marker().to_owned()];
        let reply = self
            .redis
            .script(&PAUSE, &self.keys.queue(), &args, Repeat::Harmless)
            .await?;
        Ok(reply.int()? == 1)
    }
}

fn fields(items: Vec<Reply>) -> Result<[Reply; 4], RedisError> {
    items
        .try_into()
        .map_err(|_| RedisError::Protocol("a job without four members".into()))
}

fn stored_job(
    id: JobId,
    state: JobState,
    at: &Reply,
    lease: &Reply,
    body: &Reply,
) -> Result<StoredJob, RedisError> {
    let (at, lease, body) = (
        at.clone().int()?,
        lease.clone().text()?,
        body.clone().text()?,
    );
    let mut parts = lease.splitn(6, '|');
    let mut next = || parts.next().unwrap_or_default();
    let counts: [u32; 3] = std::array::from_fn(|_| next().parse().unwrap_or(0));
    let (again, token, log) = (next(), next(), next());
    // A token is the holder's session and the number of its request.
    let holder = token.split_once('.').map(|(session, _)| session.to_owned());
    Ok(StoredJob {
        id,
        state,
        at: (at >= 0).then_some(Millis(at as u64)),
        attempts: counts[0],
        crashes: counts[1],
        failures: counts[2],
        is_wanted_again: !again.is_empty(),
        holder,
        errors: log.lines().map(str::to_owned).collect(),
        body,
    })
}
