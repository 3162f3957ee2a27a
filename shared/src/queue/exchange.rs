//! The calls of the queue: one that settles and reserves, one that extends, one that writes mid-step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;

use super::job::{Job, JobId, Reservation, Settlement, Verdict, Write};
use crate::clock::Millis;
use crate::model::{InstanceId, Status};
use crate::redis::scripts::{CHECKPOINT, ENQUEUE, EXTEND, RESERVE, SETTLE};
use crate::redis::{Keys, Redis, RedisError, Repeat, Reply, Subscription};
use crate::store::to_json;

/// The most jobs that one call settles or reserves; keeps every script short.
pub const BATCH: usize = 100;

/// The queue as one process uses it, under a session of its own; clones share the session.
#[derive(Debug, Clone)]
pub struct Queue {
    redis: Redis,
    keys: Keys,
    lease: Duration,
    session: Arc<str>,
    requests: Arc<AtomicU64>,
}

/// One settle-and-reserve, which can be sent again when its answer was lost.
#[derive(Debug)]
#[must_use]
pub struct Call {
    request: u64,
    settlements: Vec<Settlement>,
    count: usize,
    was_sent: bool,
}

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

impl Call {
    /// A call that applies these settlements (at most [`BATCH`]) and reserves up to `count` jobs.
    fn new(request: u64, settlements: Vec<Settlement>, count: usize) -> Self {
        Self {
            request,
            settlements,
            count: count.min(BATCH),
            was_sent: false,
        }
    }

    /// The same call with nothing to write: for results that can never be stored. Their jobs are tried
    /// again after `wait`.
    pub fn without_results(self, wait: Duration) -> Self {
        let strip = |settlement: Settlement| {
            let error = "the result could not be stored".to_owned();
            let verdict = Verdict::Retry { after: wait, error };
            Settlement::of_lost(settlement.id, settlement.token, verdict)
        };
        let settlements = self.settlements.into_iter().map(strip).collect();
        Self {
            settlements,
            ..self
        }
    }

    /// The settlements it carries.
    #[must_use]
    pub fn settlements(&self) -> usize {
        self.settlements.len()
    }
}

impl Queue {
    /// The queue under a new random session; leases last `lease` unless extended.
    #[must_use]
    pub fn new(redis: Redis, keys: Keys, lease: Duration) -> Self {
        let session = format!("{:032x}", rand::rng().random::<u128>());
        Self {
            redis,
            keys,
            lease,
            session: session.into(),
            requests: Arc::default(),
        }
    }

    /// Who this process is to the queue.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
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
        let result = if call.settlements.is_empty() {
            self.reserve(call).await
        } else {
            self.settle(call).await
        };
        if let Err(error) = &result {
            call.was_sent |= !error.was_not_applied();
        }
        result
    }

    async fn reserve(&self, call: &Call) -> Result<Exchange, RedisError> {
        let mut args = vec![self.session.to_string()];
        args.extend(self.reserve_args(call));
        args.push(flag(call.was_sent));
        let reply = self
            .redis
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
            self.keys.dead(),
            self.keys.replies(),
            self.keys.index(),
            self.keys.closed(),
        ]);
        let mut args = vec![
            self.session.to_string(),
            call.request.to_string(),
            flag(call.was_sent),
            call.settlements.len().to_string(),
        ];
        for settlement in &call.settlements {
            self.push_settlement(settlement, &mut keys, &mut args);
        }
        args.extend(self.reserve_args(call));
        let reply = self
            .redis
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

    fn push_settlement(
        &self,
        settlement: &Settlement,
        keys: &mut Vec<String>,
        args: &mut Vec<String>,
    ) {
        let Settlement {
            id,
            token,
            verdict,
            writes,
        } = settlement;
        let (word, delay, error) = match verdict {
            Verdict::Done => ("done", Duration::ZERO, ""),
            Verdict::Again(after) => ("at", *after, ""),
            Verdict::Retry { after, error } => ("retry", *after, error.as_str()),
            Verdict::Dead { error } => ("dead", Duration::ZERO, error.as_str()),
            Verdict::Release => ("release", Duration::ZERO, ""),
        };
        let error = error.chars().take(500).collect();
        args.extend([
            id.to_string(),
            token.clone(),
            word.to_owned(),
            millis(delay),
            error,
        ]);
        args.push(writes.len().to_string());
        for write in writes {
            self.push_write(write, keys, args);
        }
    }

    fn push_write(&self, write: &Write, keys: &mut Vec<String>, args: &mut Vec<String>) {
        match write {
            Write::Status(id, status) => {
                args.extend(["status".into(), id.to_string(), to_json(status)]);
            }
            Write::Operation(operation) => {
                args.extend(["op".into(), operation.id.to_string(), to_json(operation)]);
            }
            Write::Event(event) => {
                let key = self.keys.events(&event.instance_id);
                let position = keys
                    .iter()
                    .position(|known| *known == key)
                    .unwrap_or_else(|| {
                        keys.push(key);
                        keys.len() - 1
                    });
                args.extend(["event".into(), (position + 1).to_string(), to_json(event)]);
            }
            Write::ReleaseName(name, id) => {
                args.extend(["unname".into(), name.clone(), id.to_string()]);
            }
            Write::Close(id) => args.extend(["close".into(), id.to_string(), String::new()]),
            Write::Enqueue(job) => {
                args.extend(["job".into(), job.id().to_string(), job.stored(), "0".into()]);
            }
        }
    }

    fn token(&self, call: &Call) -> String {
        format!("{}.{}", self.session, call.request)
    }

    fn reserve_args(&self, call: &Call) -> [String; 3] {
        [self.token(call), call.count.to_string(), millis(self.lease)]
    }

    fn read_exchange(
        &self,
        call: &Call,
        applied: Vec<bool>,
        items: Vec<Reply>,
    ) -> Result<Exchange, RedisError> {
        let mut items = items.into_iter();
        let mut time = || match items.next() {
            Some(item) => item.int(),
            None => Err(RedisError::Protocol(
                "a reservation without its times".into(),
            )),
        };
        let (now, next) = (time()?, time()?);
        let token = self.token(call);
        let jobs = items
            .map(|item| reservation(item, &token))
            .collect::<Result<_, _>>()?;
        Ok(Exchange {
            applied,
            now: Millis(now.max(0) as u64),
            next_timer: (next >= 0).then_some(Millis(next as u64)),
            jobs,
        })
    }

    /// Extends the leases of jobs still being worked on; `false` for one that another holder has.
    pub async fn extend(&self, held: &[(JobId, String)]) -> Result<Vec<bool>, RedisError> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let mut args = vec![millis(self.lease)];
        args.extend(
            held.iter()
                .flat_map(|(id, token)| [id.to_string(), token.clone()]),
        );
        let reply = self
            .redis
            .script(&EXTEND, &self.keys.queue(), &args, Repeat::Harmless)
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

    /// Makes jobs due now; one that waits already keeps its place. At most [`BATCH`] at once.
    pub async fn enqueue(&self, jobs: &[Job]) -> Result<(), RedisError> {
        let args: Vec<String> = jobs
            .iter()
            .flat_map(|job| [job.id().to_string(), job.stored(), "0".to_owned()])
            .collect();
        self.redis
            .script(&ENQUEUE, &self.keys.queue(), &args, Repeat::Harmless)
            .await?;
        Ok(())
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn flag(set: bool) -> String {
    if set { "1" } else { "0" }.to_owned()
}

fn reservation(item: Reply, token: &str) -> Result<Reservation, RedisError> {
    let fields: [Reply; 5] = item
        .array()?
        .try_into()
        .map_err(|_| RedisError::Protocol("a reservation without five members".into()))?;
    let [id, attempt, crashes, errors, body] = fields;
    Ok(Reservation {
        id: JobId::stored(id.text()?),
        token: token.to_owned(),
        attempt: attempt.int()? as u32,
        crashes: crashes.int()? as u32,
        errors: errors.int()? as u32,
        body: body.text()?,
    })
}
