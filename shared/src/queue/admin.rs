//! The queue as its administrators see and steer it.

use super::job::JobId;
use super::state::{JobState, Scope};
use super::stats::QueueStats;
use super::workers::Workers;
use crate::clock::Millis;
use crate::redis::scripts::{EXHUME, LIST, PAUSE, SHOW};
use crate::redis::{Command, Keys, Redis, RedisError, Repeat, Reply, Script};

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredJob {
    /// Which.
    pub id: JobId,
    /// Redis's clock when it was looked at.
    pub seen_at: Millis,
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
    /// It is not dead, but in this state.
    NotDead(JobState),
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
    pub const PAGE: usize = 100;

    /// The queue of the deployment with these keys.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys) -> Self {
        Self { redis, keys }
    }

    /// The queue in numbers, and who works on it.
    pub async fn overview(&self) -> Result<(QueueStats, Workers), RedisError> {
        tokio::try_join!(
            QueueStats::read(&self.redis, &self.keys),
            Workers::read(&self.redis, &self.keys)
        )
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
            let id = JobId::stored(id.text()?);
            jobs.push(stored_job(id, now, state, at, lease, body)?);
        }
        Ok(Page { now, total, jobs })
    }

    /// One job, if there is such a job.
    pub async fn show(&self, id: &JobId) -> Result<Option<StoredJob>, RedisError> {
        if is_lease_field(id) {
            return Ok(None);
        }
        let items = self.script(&SHOW, &[id.to_string()]).await?;
        let Ok([now, state, at, lease, body]) = <[Reply; 5]>::try_from(items) else {
            return Ok(None);
        };
        let state = state
            .text()?
            .parse()
            .map_err(|_| RedisError::Protocol("a job in no known state".into()))?;
        let now = Millis(now.int()? as u64);
        stored_job(id.clone(), now, state, at, lease, body).map(Some)
    }

    /// Lets a dead job begin anew: it is due. When an answer was lost and the request repeated, this
    /// says that the job is not dead, which is true by then.
    pub async fn retry(&self, id: &JobId) -> Result<Exhumed, RedisError> {
        self.exhume("retry", id).await
    }

    /// Removes a dead job for good. When an answer was lost and the request repeated, this says that
    /// there is no such job, which is true by then.
    pub async fn drop_dead(&self, id: &JobId) -> Result<Exhumed, RedisError> {
        self.exhume("drop", id).await
    }

    async fn exhume(&self, verb: &str, id: &JobId) -> Result<Exhumed, RedisError> {
        if is_lease_field(id) {
            return Ok(Exhumed::Unknown);
        }
        let verdicts = self.exhume_all(verb, &[id.to_string()]).await?;
        match verdicts.first() {
            Some(1) => return Ok(Exhumed::Yes),
            Some(0) => {}
            _ => return Ok(Exhumed::Unknown),
        }
        Ok(match self.show(id).await?.map(|job| job.state) {
            None => Exhumed::Unknown,
            // It died between the two looks; only a held job can.
            Some(JobState::Dead) => Exhumed::NotDead(JobState::Leased),
            Some(state) => Exhumed::NotDead(state),
        })
    }

    async fn exhume_all(&self, verb: &str, ids: &[String]) -> Result<Vec<i64>, RedisError> {
        let mut args = vec![verb.to_owned()];
        args.extend_from_slice(ids);
        let verdicts = self.script(&EXHUME, &args).await?;
        verdicts.into_iter().map(Reply::int).collect()
    }

    /// How many jobs are dead.
    pub async fn dead(&self) -> Result<u64, RedisError> {
        let count = Command::new("ZCARD").arg(self.keys.dead());
        let count = self.redis.run(count, Repeat::Harmless).await?;
        Ok(count.int()?.max(0) as u64)
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

/// Leases lie beside the bodies, under `l:<id>`; asked for as an id, one would pass for a job.
fn is_lease_field(id: &JobId) -> bool {
    id.as_str().starts_with("l:")
}

fn fields(items: Vec<Reply>) -> Result<[Reply; 4], RedisError> {
    items
        .try_into()
        .map_err(|_| RedisError::Protocol("a job without four members".into()))
}

fn stored_job(
    id: JobId,
    seen_at: Millis,
    state: JobState,
    at: Reply,
    lease: Reply,
    body: Reply,
) -> Result<StoredJob, RedisError> {
    let (at, lease, body) = (at.int()?, lease.text()?, body.text()?);
    let mut parts = lease.splitn(6, '|');
    let mut next = || parts.next().unwrap_or_default();
    let counts: [u32; 3] = std::array::from_fn(|_| next().parse().unwrap_or(0));
    let (again, token, log) = (next(), next(), next());
    // A token is the holder's session and the number of its request.
    let holder = token.split_once('.').map(|(session, _)| session.to_owned());
    Ok(StoredJob {
        id,
        seen_at,
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
