//! Our queue as one child process, driven through the same public types as `novita-worker`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use shared::clock::Millis;
use shared::queue::{Delivery, Job, Queue, Reservation, Settlement, Verdict};
use shared::redis::{Command, Keys, Redis, RedisOptions, Repeat, Target};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio_util::sync::CancellationToken;
use worker::pulse::{ProviderHealth, Pulse};
use worker::runner::{self, Handler, RunnerOptions};

use crate::protocol::{Answer, Mode, NUMBER_DIGITS, Orders, unix_millis};

/// The default of `JOB_LEASE_MS`.
const LEASE: Duration = Duration::from_secs(60);

/// Flags of our child: the common ones, and where the bridge is when it is to be used.
#[derive(Debug, clap::Args)]
pub(crate) struct Child {
    #[command(flatten)]
    orders: Orders,
    /// REST endpoint to use instead of the port
    #[arg(long, requires = "rest_token")]
    rest_url: Option<String>,
    /// Its token
    #[arg(long)]
    rest_token: Option<String>,
}

/// A handle with the product's default patience.
pub(crate) fn redis(target: Target) -> anyhow::Result<Redis> {
    Ok(Redis::new(&RedisOptions {
        target,
        connect_timeout: Duration::from_secs(10),
        command_timeout: Duration::from_secs(5),
        retries: 3,
        retry_delay: Duration::from_secs(1),
    })?)
}

/// Does what it is told, then ends.
pub(crate) async fn run(child: Child) -> anyhow::Result<()> {
    let orders = child.orders;
    let target = match (child.rest_url, child.rest_token) {
        (Some(url), Some(token)) => Target::Upstash { url, token },
        _ => Target::Resp {
            url: format!("redis://127.0.0.1:{}", orders.redis_port),
        },
    };
    let redis = redis(target)?;
    redis.run(Command::new("PING"), Repeat::Harmless).await?;
    let keys = Keys::new(&orders.queue);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let answer = match orders.mode {
        Mode::Enqueue => enqueue(redis, keys, &orders, &mut lines).await?,
        Mode::Work => work(&redis, keys, &orders, &mut lines).await?,
    };
    println!("{}", serde_json::to_string(&answer)?);
    next(&mut lines).await
}

/// Waits for the parent's next word.
async fn next(lines: &mut Lines<BufReader<Stdin>>) -> anyhow::Result<()> {
    lines.next_line().await?.context("the parent is gone")?;
    Ok(())
}

async fn enqueue(
    redis: Redis,
    keys: Keys,
    orders: &Orders,
    lines: &mut Lines<BufReader<Stdin>>,
) -> anyhow::Result<Answer> {
    let queue = Queue::new(redis, keys, LEASE);
    println!("ready");
    next(lines).await?;
    let mut stamps = Vec::new();
    let started = Instant::now();
    for first in (0..orders.jobs).step_by(orders.batch) {
        let end = (first + orders.batch).min(orders.jobs);
        let jobs: Vec<Job> = (first..end)
            .map(|number| job(orders, number))
            .collect::<anyhow::Result<_>>()?;
        if orders.timestamps {
            stamps.push((first as u64, unix_millis()));
        }
        queue.enqueue(&jobs).await?;
        if orders.interval_ms > 0 {
            tokio::time::sleep(Duration::from_millis(orders.interval_ms)).await;
        }
    }
    Ok(Answer {
        jobs: orders.jobs as u64,
        seconds: started.elapsed().as_secs_f64(),
        stamps,
    })
}

fn job(orders: &Orders, number: usize) -> anyhow::Result<Job> {
    Ok(Job::Webhook(Delivery {
        event_id: format!("msg_{number:026}").parse()?,
        url: "https://example.com/hook".to_owned(),
        body: orders.payload(number),
        asked: None,
        headers: std::collections::BTreeMap::new(),
        traceparent: None,
    }))
}

async fn work(
    redis: &Redis,
    keys: Keys,
    orders: &Orders,
    lines: &mut Lines<BufReader<Stdin>>,
) -> anyhow::Result<Answer> {
    let queue = Queue::new(redis.clone(), keys.clone(), LEASE);
    let pulse = Pulse::new(
        redis,
        keys,
        queue.session().to_owned(),
        orders.permits,
        ProviderHealth::default(),
    );
    let handler = Arc::new(DoNothing {
        handled: AtomicU64::new(0),
        stamps: orders.timestamps.then(Mutex::default),
    });
    let options = RunnerOptions {
        permits: orders.permits,
        ..RunnerOptions::default()
    };
    println!("ready");
    next(lines).await?;
    let started = Instant::now();
    let stop = CancellationToken::new();
    let counting = Arc::clone(&handler);
    tokio::spawn(runner::run(queue, handler, options, pulse, stop));
    next(lines).await?;
    Ok(Answer {
        jobs: counting.handled.load(Ordering::Relaxed),
        seconds: started.elapsed().as_secs_f64(),
        stamps: counting.stamps(),
    })
}

/// Reads the job, as any handler would, and is done with it.
struct DoNothing {
    handled: AtomicU64,
    stamps: Option<Mutex<Vec<(u64, f64)>>>,
}

impl DoNothing {
    fn stamps(&self) -> Vec<(u64, f64)> {
        let stamps = self.stamps.as_ref();
        stamps.map_or_else(Vec::new, |stamps| {
            std::mem::take(&mut *stamps.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }
}

impl Handler for DoNothing {
    async fn handle(&self, reservation: Reservation, _: Millis) -> Settlement {
        let at = unix_millis();
        let error = match Job::parse(&reservation.id, &reservation.body) {
            Ok(Job::Webhook(delivery)) => {
                if let Some(stamps) = &self.stamps {
                    let digits = delivery.body.get(..NUMBER_DIGITS).unwrap_or_default();
                    let mut stamps = stamps.lock().unwrap_or_else(PoisonError::into_inner);
                    stamps.push((digits.parse().unwrap_or(u64::MAX), at));
                }
                self.handled.fetch_add(1, Ordering::Relaxed);
                return reservation.settle(Verdict::Done, Vec::new());
            }
            Ok(other) => format!("{} is no job of this benchmark", other.id()),
            Err(error) => error.to_string(),
        };
        reservation.settle(Verdict::Dead { error }, Vec::new())
    }
}
