//! The calls of the queue: one that settles and reserves, one that extends, one that writes mid-step.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;

use super::call::{Call, flag, millis};
use super::job::{Job, JobId};
use super::reservation::{Reservation, Settlement};
use crate::clock::Millis;
use crate::model::{InstanceId, Status};
use crate::redis::scripts::{CHECKPOINT, ENQUEUE, EXTEND, RESERVE, SETTLE};
use crate::redis::{Command, Keys, Redis, RedisError, Repeat, Reply, Subscription};
use crate::store::to_json;

/// Of each job in the answer of a reserve.
const MEMBERS: usize = 3;

/// The queue as one process uses it, under a session of its own; clones share the session.
#[derive(Debug, Clone)]
pub struct Queue {
    redis: Redis,
    /// For calls whose repetition is the caller's to decide.
    call_once: Redis,
    keys: Keys,
    lease: Duration,
    session: Arc<str>,
    requests: Arc<AtomicU64>,
    /// Whether this session is registered as a sleeper: [`AWAKE`], [`ASLEEP`] or [`UNKNOWN`].
    listed: Arc<AtomicU8>,
    started: Instant,
    /// Redis's clock when this session started, in ms, as it reckons; 0 before it was ever told.
    origin: Arc<AtomicI64>,
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const UNKNOWN: u8 = 2;
/// Nobody listens to its wake-ups.
const NEVER: u8 = 3;
/// A reserve that comes to Redis later than this after it was sent has been repeated or given up.
const TOO_LATE: Duration = Duration::from_secs(10);

/// What a call came to.
#[derive(Debug)]
pub struct Exchange {
    /// Per settlement: it was applied; `false` when another holder has the job by now.
    pub applied: Vec<bool>,
    /// Redis's clock.
    pub now: Millis,
    /// When the next timer falls due, if any is set.
    pub next_timer: Option<Millis>,
    /// The jobs this process holds from now on.
    pub jobs: Vec<Reservation>,
}

/// What a look without a script tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peek {
    /// A job may be runnable: a reserve tells.
    pub is_due: bool,
    /// When the next timer falls due, if any is set.
    pub next_timer: Option<Millis>,
}

/// What became of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// Durable, and the lease is whole again.
    Written,
    /// Another holder has the job.
    Lost,
    /// The step began with an outdated read.
    Outdated,
}

impl Queue {
    /// The queue under a new random session; leases last `lease` unless extended.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys, lease: Duration) -> Self {
        let session = format!("{:032x}", rand::rng().random::<u128>());
        Self {
            call_once: redis.without_retries(),
            redis,
            keys,
            lease,
            session: session.into(),
            requests: Arc::default(),
            listed: Arc::default(),
            started: Instant::now(),
            origin: Arc::default(),
        }
    }

    /// Who this process is to the queue.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// A second session of the same process, for calls beside those of the first. It is never woken.
    #[must_use]
    pub fn beside(&self) -> Self {
        let other = Self::new(self.redis.clone(), self.keys.clone(), self.lease);
        other.listed.store(NEVER, Ordering::Relaxed);
        other
    }

    /// A wake-up came, or may have been missed: who is woken is no sleeper any more and has to register
    /// anew, which the next call does.
    pub fn woken(&self) {
        self.list(UNKNOWN);
    }

    /// No sleeper any more: from now on this session takes nothing, so it must not be woken.
    pub async fn leave(&self) -> Result<(), RedisError> {
        self.woken();
        let command = Command::new("ZREM")
            .arg(self.keys.idle())
            .arg(self.session());
        self.call_once.run(command, Repeat::Harmless).await?;
        Ok(())
    }

    fn list(&self, listed: u8) {
        if self.listed.load(Ordering::Relaxed) != NEVER {
            self.listed.store(listed, Ordering::Relaxed);
        }
    }

    /// How long a lease lasts.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Wake-ups of this session; a hint that something may be due.
    #[must_use]
    pub fn wake_ups(&self) -> Subscription {
        self.redis.subscribe(self.keys.wake_channel(&self.session))
    }

    /// Prepares a call; nothing is sent before [`Queue::exchange`].
    pub fn call(&self, settlements: Vec<Settlement>, count: usize) -> Call {
        Call::new(
            self.requests.fetch_add(1, Ordering::Relaxed),
            settlements,
            count,
        )
    }

    /// Sends a call. After an error the same call may be sent again, any number of times: what was
    /// applied stays applied once, and the same jobs are handed out.
    pub async fn exchange(&self, call: &mut Call) -> Result<Exchange, RedisError> {
        let result = if call.settlements() == 0 {
            self.reserve(call).await
        } else {
            self.settle(call).await
        };
        if let Err(error) = &result {
            call.was_sent |= !error.was_not_applied();
            self.woken();
        }
        result
    }

    async fn reserve(&self, call: &Call) -> Result<Exchange, RedisError> {
        let mut args = vec![self.session.to_string()];
        args.extend(self.reserve_args(call));
        args.extend([flag(call.was_sent), self.latest().to_string()]);
        let reply = self
            .call_once
            .script(&RESERVE, &self.keys.queue(), &args, Repeat::Never)
            .await?;
        self.read_exchange(call, Vec::new(), reply.array()?)
    }

    async fn settle(&self, call: &Call) -> Result<Exchange, RedisError> {
        let mut keys = self.keys.queue();
        keys.extend([
            self.keys.status(),
            self.keys.ops(),
            self.keys.names(),
            self.keys.replies(),
            self.keys.index(),
            self.keys.closed(),
            self.keys.budget(),
            self.keys.feed(),
        ]);
        let mut args = vec![
            self.session.to_string(),
            call.request.to_string(),
            flag(call.was_sent),
        ];
        call.push_settlements(&self.keys, &mut keys, &mut args);
        args.extend(self.reserve_args(call));
        let reply = self
            .call_once
            .script(&SETTLE, &keys, &args, Repeat::Never)
            .await?;
        let mut items = reply.array()?;
        if items.is_empty() {
            return Err(RedisError::Protocol("settle told no verdicts".into()));
        }
        let applied = items
            .remove(0)
            .text()?
            .chars()
            .map(|digit| digit == '1')
            .collect();
        self.read_exchange(call, applied, items)
    }

    fn token(&self, call: &Call) -> String {
        format!("{}.{}", self.session, call.request)
    }

    fn reserve_args(&self, call: &Call) -> [String; 5] {
        [
            self.token(call),
            call.count.to_string(),
            millis(self.lease),
            self.listed.load(Ordering::Relaxed).to_string(),
            flag(call.passes_on),
        ]
    }

    /// When a call that is sent now comes too late, by Redis's clock in ms; 0 while that is not known.
    fn latest(&self) -> i64 {
        match self.origin.load(Ordering::Relaxed) {
            0 => 0,
            origin => origin + (self.started.elapsed() + TOO_LATE).as_millis() as i64,
        }
    }

    fn read_exchange(
        &self,
        call: &Call,
        applied: Vec<bool>,
        items: Vec<Reply>,
    ) -> Result<Exchange, RedisError> {
        let mut items = items.into_iter();
        let mut number = || match items.next() {
            Some(item) => item.int(),
            None => Err(RedisError::Protocol("an exchange without its head".into())),
        };
        let (now, next, is_listed) = (number()?, number()?, number()? == 1);
        let listed = if is_listed { ASLEEP } else { AWAKE };
        self.list(listed);
        let origin = now - self.started.elapsed().as_millis() as i64;
        self.origin.store(origin, Ordering::Relaxed);
        let token = self.token(call);
        let mut jobs = Vec::with_capacity(items.len() / MEMBERS);
        while let Some(id) = items.next() {
            jobs.push(reservation(id, &mut items, &token)?);
        }
        Ok(Exchange {
            applied,
            now: Millis(now.max(0) as u64),
            next_timer: (next >= 0).then_some(Millis(next as u64)),
            jobs,
        })
    }

    /// Extends the leases of jobs still being worked on; `false` for one that another holder has. Tried
    /// once: it may be sent again any time.
    pub async fn extend(&self, held: &[(JobId, String)]) -> Result<Vec<bool>, RedisError> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let mut args = vec![millis(self.lease)];
        args.extend(
            held.iter()
                .flat_map(|(id, token)| [id.to_string(), token.clone(), flag(false)]),
        );
        self.send_extension(&args).await
    }

    /// Writes down that a job will run alone, under a lease of full length; its token changes with that.
    /// `false` when another holder has it.
    pub async fn mark_alone(&self, job: &mut Reservation) -> Result<bool, RedisError> {
        let args = [
            millis(self.lease),
            job.id.to_string(),
            job.token.clone(),
            flag(true),
        ];
        let is_held = self.send_extension(&args).await?.first() == Some(&true);
        if is_held {
            job.token.push('!');
        }
        Ok(is_held)
    }

    async fn send_extension(&self, args: &[String]) -> Result<Vec<bool>, RedisError> {
        let reply = self
            .call_once
            .script(&EXTEND, &self.keys.queue(), args, Repeat::Harmless)
            .await?;
        reply
            .array()?
            .into_iter()
            .map(|verdict| Ok(verdict.int()? == 1))
            .collect()
    }

    /// Writes down a status in the middle of a step and renews the lease to its full length.
    /// `began_with` is the stored status that the step read. Unless it answers
    /// [`Checkpoint::Written`], nothing was written and nothing more may be done.
    pub async fn checkpoint(
        &self,
        job: &JobId,
        token: &str,
        instance: &InstanceId,
        began_with: Option<&str>,
        status: &Status,
    ) -> Result<Checkpoint, RedisError> {
        let mut keys = self.keys.queue();
        keys.push(self.keys.status());
        let args = [
            job.to_string(),
            token.to_owned(),
            millis(self.lease),
            instance.to_string(),
            began_with.unwrap_or_default().to_owned(),
            to_json(status),
        ];
        let reply = self
            .redis
            .script(&CHECKPOINT, &keys, &args, Repeat::Harmless)
            .await?;
        match reply.int()? {
            1 => Ok(Checkpoint::Written),
            0 => Ok(Checkpoint::Lost),
            2 => Ok(Checkpoint::Outdated),
            _ => Err(RedisError::Protocol("checkpoint told no verdict".into())),
        }
    }

    /// Makes jobs due now; one that waits already keeps its place. At most [`BATCH`](super::BATCH) at
    /// once.
    pub async fn enqueue(&self, jobs: &[Job]) -> Result<(), RedisError> {
        self.enqueue_after(jobs, Duration::ZERO).await
    }

    /// Makes jobs due after this long; one that waits already keeps the earlier time. At most
    /// [`BATCH`](super::BATCH) at once.
    pub async fn enqueue_after(&self, jobs: &[Job], delay: Duration) -> Result<(), RedisError> {
        self.send_jobs("any", jobs, delay).await
    }

    /// Creates those of these jobs that do not exist, due now; also those that were given up.
    pub async fn ensure(&self, jobs: &[Job]) -> Result<(), RedisError> {
        self.send_jobs("absent", jobs, Duration::ZERO).await
    }

    async fn send_jobs(&self, mode: &str, jobs: &[Job], delay: Duration) -> Result<(), RedisError> {
        let mut args = vec![mode.to_owned()];
        for job in jobs {
            args.extend([job.id().to_string(), job.stored(), millis(delay)]);
        }
        self.redis
            .script(&ENQUEUE, &self.keys.queue(), &args, Repeat::Harmless)
            .await?;
        Ok(())
    }

    /// Looks whether anything is to be done, without a script, and registers the session as a sleeper
    /// in case a wake-up was lost. `now` is Redis's clock as this process reckons it.
    pub async fn peek(&self, now: Millis) -> Result<Peek, RedisError> {
        let first = |key: String| {
            Command::new("ZRANGE")
                .arg(key)
                .args(["0", "0", "WITHSCORES"])
        };
        let register = Command::new("ZADD").arg(self.keys.idle()).args([
            "NX".to_owned(),
            now.0.to_string(),
            self.session.to_string(),
        ]);
        let commands = [
            first(self.keys.ready()),
            first(self.keys.timers()),
            register,
        ];
        let replies: [Reply; 3] = self
            .call_once
            .read(&commands)
            .await?
            .try_into()
            .map_err(|_| RedisError::Protocol("expected three replies".into()))?;
        let [ready, timer, _] = replies;
        let is_ready = !ready.pairs()?.is_empty();
        let next_timer = timer
            .pairs()?
            .first()
            .and_then(|(_, at)| at.parse::<f64>().ok());
        let next_timer = next_timer.map(|at| Millis(at.max(0.0) as u64));
        Ok(Peek {
            is_due: is_ready || next_timer.is_some_and(|at| at <= now),
            next_timer,
        })
    }
}

/// Since when it was runnable, attempt, crashes, errors and how its last holder vanished; a first attempt has
/// nothing but the first of them.
fn numbers(past: Reply) -> Result<[u64; 5], RedisError> {
    if let Reply::Int(since) = past {
        return Ok([since.max(0) as u64, 1, 0, 0, 0]);
    }
    let past = past.text()?;
    let numbers: Option<Vec<u64>> = past.split('|').map(|part| part.parse().ok()).collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .ok_or_else(|| RedisError::Protocol("a reservation whose past is no numbers".into()))
}

/// The job that begins with `id`, and whose other members come next.
fn reservation(
    id: Reply,
    rest: &mut impl Iterator<Item = Reply>,
    token: &str,
) -> Result<Reservation, RedisError> {
    let mut next = || {
        rest.next()
            .ok_or_else(|| RedisError::Protocol("a reservation with too few members".into()))
    };
    let (body, past) = (next()?.text()?, next()?);
    let [since, attempt, crashes, errors, vanished] = numbers(past)?;
    Ok(Reservation {
        id: JobId::stored(id.text()?),
        token: token.to_owned(),
        since: Millis(since),
        is_recovered: vanished > 0,
        was_alone: vanished == 2,
        attempt: attempt as u32,
        crashes: crashes as u32,
        errors: errors as u32,
        body,
    })
}
