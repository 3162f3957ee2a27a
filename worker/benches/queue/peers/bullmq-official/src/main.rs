//! BullMQ's Rust port as one child process of the queue benchmark; `protocol.rs` of the benchmark
//! tells what it is told and answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bullmq::options::RedisConnectionOptions;
use bullmq::types::RemoveOnFinish;
use bullmq::worker::CancellationToken;
use bullmq::{BulkJob, Job, Queue, QueueOptions, Worker, WorkerOptions};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::sync::mpsc;

type AnyError = Box<dyn std::error::Error>;

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Enqueue,
    Work,
}

#[derive(Parser)]
struct Args {
    #[arg(long)]
    mode: Mode,
    #[arg(long)]
    redis_port: u16,
    #[arg(long)]
    queue: String,
    #[arg(long)]
    jobs: usize,
    #[arg(long)]
    batch: usize,
    #[arg(long)]
    interval_ms: u64,
    #[arg(long)]
    permits: usize,
    #[arg(long)]
    payload_bytes: usize,
    #[arg(long)]
    timestamps: bool,
}

impl Args {
    fn connection(&self) -> RedisConnectionOptions {
        RedisConnectionOptions::new().url(format!("redis://127.0.0.1:{}", self.redis_port))
    }

    fn payload(&self, job: usize) -> String {
        format!("{job:010}{}", "x".repeat(self.payload_bytes - 10))
    }
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let args = Args::parse();
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    match args.mode {
        Mode::Enqueue => enqueue(&args, &mut orders).await?,
        Mode::Work => work(&args, &mut orders).await?,
    }
    next(&mut orders).await;
    Ok(())
}

/// Waits for the parent's next word; a parent that is gone leaves nothing to measure for.
async fn next(orders: &mut Lines<BufReader<Stdin>>) {
    if !matches!(orders.next_line().await, Ok(Some(_))) {
        std::process::exit(0);
    }
}

fn unix_millis() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() * 1000.0
}

fn report(jobs: u64, started: Instant, stamps: &[(u64, f64)]) {
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({ "jobs": jobs, "seconds": seconds, "stamps": stamps })
    );
}

async fn enqueue(args: &Args, orders: &mut Lines<BufReader<Stdin>>) -> Result<(), AnyError> {
    let options = QueueOptions::new().connection(args.connection());
    let queue = Queue::with_options(&args.queue, options).await?;
    println!("ready");
    next(orders).await;
    let mut stamps = Vec::new();
    let started = Instant::now();
    for first in (0..args.jobs).step_by(args.batch) {
        if args.timestamps {
            stamps.push((first as u64, unix_millis()));
        }
        if args.batch == 1 {
            queue.add("deliver", args.payload(first)).await?;
        } else {
            let end = (first + args.batch).min(args.jobs);
            let jobs = (first..end)
                .map(|n| BulkJob::new("deliver", args.payload(n)))
                .collect();
            queue.add_bulk(jobs).await?;
        }
        if args.interval_ms > 0 {
            tokio::time::sleep(Duration::from_millis(args.interval_ms)).await;
        }
    }
    report(args.jobs as u64, started, &stamps);
    Ok(())
}

async fn work(args: &Args, orders: &mut Lines<BufReader<Stdin>>) -> Result<(), AnyError> {
    let options = WorkerOptions::new()
        .connection(args.connection())
        .concurrency(args.permits)
        // Nothing finished is kept; said here, it need not be stored with every job.
        .remove_on_complete(RemoveOnFinish::Bool(true))
        .manual_start();
    let handled = Arc::new(AtomicU64::new(0));
    let (sender, mut stamped) = mpsc::unbounded_channel();
    let (counter, with_stamps) = (Arc::clone(&handled), args.timestamps);
    let handler = move |job: Job, _: CancellationToken| {
        let (counter, sender) = (Arc::clone(&counter), sender.clone());
        async move {
            if with_stamps {
                let number = job.data().as_str().and_then(|text| text.get(..10));
                let number: u64 = number
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(u64::MAX);
                let _ = sender.send((number, unix_millis()));
            }
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(Value::Null)
        }
    };
    let worker = Arc::new(Worker::with_options(&args.queue, handler, options).await?);
    println!("ready");
    next(orders).await;
    let started = Instant::now();
    worker.run().await?;
    let events = Arc::clone(&worker);
    // Events that nobody reads would pile up.
    tokio::spawn(async move { while events.next_event().await.is_some() {} });
    next(orders).await;
    let mut stamps = Vec::new();
    while let Ok(stamp) = stamped.try_recv() {
        stamps.push(stamp);
    }
    report(handled.load(Ordering::Relaxed), started, &stamps);
    Ok(())
}
