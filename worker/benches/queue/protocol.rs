//! How the benchmark talks with the processes it measures: ours and both peers alike.
//!
//! A child is told what to do by its flags, connects, and prints `ready`. It begins when it reads a
//! line. `enqueue` answers by itself when its last job is accepted; `work` goes on until the next line.
//! The answer is one line of JSON. A third line, or the end of its input, ends the process.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The number at the beginning of each payload has this many digits.
pub(crate) const NUMBER_DIGITS: usize = 10;
/// Bytes of each payload.
pub(crate) const PAYLOAD_BYTES: usize = 230;

/// Which side of the queue a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Enqueues jobs that are due now.
    Enqueue,
    /// Handles jobs, doing nothing.
    Work,
}

/// What a child is told, as its flags.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Orders {
    /// Which side of the queue
    #[arg(long)]
    pub(crate) mode: Mode,
    /// Where Redis listens on 127.0.0.1
    #[arg(long)]
    pub(crate) redis_port: u16,
    /// Name of the queue
    #[arg(long)]
    pub(crate) queue: String,
    /// Jobs to enqueue, numbered from 0
    #[arg(long)]
    pub(crate) jobs: usize,
    /// Jobs per call; one call at a time
    #[arg(long)]
    pub(crate) batch: usize,
    /// Pause after each call
    #[arg(long)]
    pub(crate) interval_ms: u64,
    /// Jobs handled at a time
    #[arg(long)]
    pub(crate) permits: usize,
    /// Bytes of each payload: the job's number in ten digits, then filler
    #[arg(long)]
    pub(crate) payload_bytes: usize,
    /// Tell when each call began, or when each job's handler started
    #[arg(long)]
    pub(crate) timestamps: bool,
}

impl Orders {
    /// The flags that say the same.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mode = match self.mode {
            Mode::Enqueue => "enqueue",
            Mode::Work => "work",
        };
        let mut flags = vec![
            format!("--mode={mode}"),
            format!("--redis-port={}", self.redis_port),
            format!("--queue={}", self.queue),
            format!("--jobs={}", self.jobs),
            format!("--batch={}", self.batch),
            format!("--interval-ms={}", self.interval_ms),
            format!("--permits={}", self.permits),
            format!("--payload-bytes={}", self.payload_bytes),
        ];
        flags.extend(self.timestamps.then(|| "--timestamps".to_owned()));
        flags
    }

    /// The payload of one job.
    pub(crate) fn payload(&self, number: usize) -> String {
        let filler = "x".repeat(self.payload_bytes.saturating_sub(NUMBER_DIGITS));
        format!("{number:0NUMBER_DIGITS$}{filler}")
    }
}

/// What a child did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Jobs enqueued or handled.
    pub(crate) jobs: u64,
    /// From the first line it read until the answer.
    pub(crate) seconds: f64,
    /// Job number and Unix time in ms, if asked for.
    pub(crate) stamps: Vec<(u64, f64)>,
}

/// Unix time in ms, with fractions. All processes of a run share the clock of the machine.
pub(crate) fn unix_millis() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() * 1000.0
}
