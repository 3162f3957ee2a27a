//! The other role of this program: a worker process whose handler only takes its time and records it.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use shared::clock::Millis;
use shared::queue::{Reservation, Settlement, Verdict};
use shared::redis::Keys;
use tokio_util::sync::CancellationToken;
use worker::pulse::{ProviderHealth, Pulse};
use worker::runner::{self, Handler, RunnerOptions};

use crate::line;
use crate::record::Recorder;

/// The argument that asks for this role; its [`Errand`] follows as JSON.
pub(crate) const ROLE: &str = "--worker";
/// A job takes up to this long.
const WORK_MS: std::ops::Range<u64> = 5..30;
/// These jobs are innocent of the deaths around them, however many they see.
const NEVER_GIVEN_UP: u32 = 1000;

/// Where to work, and where to record it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Errand {
    pub(crate) redis: String,
    pub(crate) prefix: String,
    pub(crate) record: PathBuf,
}

struct Recording(Recorder);

impl Handler for Recording {
    async fn handle(&self, job: Reservation, _now: Millis) -> Settlement {
        let work = Duration::from_millis(rand::rng().random_range(WORK_MS));
        self.0.started(&job);
        tokio::time::sleep(work).await;
        self.0.ended(&job);
        job.settle(Verdict::Done, Vec::new())
    }
}

/// Works until standard input ends, which it also does when the director dies.
pub(crate) async fn work(errand: Errand) {
    let (redis, keys) = (line::connect(&errand.redis), Keys::new(&errand.prefix));
    let queue = line::queue(&redis, &keys);
    let options = RunnerOptions {
        max_attempts: NEVER_GIVEN_UP,
        ..RunnerOptions::default()
    };
    let session = queue.session().to_owned();
    let pulse = Pulse::new(
        &redis,
        keys,
        session,
        options.permits,
        ProviderHealth::default(),
    );
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    // A thread of its own: reading standard input blocks, and must not keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stopped.cancel();
    });
    let handler = Recording(Recorder::open(&errand.record));
    runner::run(queue, Arc::new(handler), options, pulse, stop).await;
}
