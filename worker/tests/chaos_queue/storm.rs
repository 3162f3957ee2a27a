//! Three workers, one of which is killed every 300 ms, and Redis restarted under them.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use devstack::redis::{RedisOptions, RedisServer};
use serde::Serialize;
use shared::clock::Millis;
use shared::redis::Keys;
use tokio_util::sync::CancellationToken;

use crate::causes::{Absence, Cause, History};
use crate::crew::Crew;
use crate::line;
use crate::producer::{Producer, job};
use crate::record::Run;

const PREFIX: &str = "storm";
const WORKERS: usize = 3;
const KILL_EVERY: Duration = Duration::from_millis(300);

/// What a storm came to.
pub(crate) struct Outcome {
    summary: Summary,
    extra_runs: Vec<(Run, Option<Cause>)>,
    lost: Vec<String>,
    /// What was left in Redis, if anything was.
    left: Result<(), String>,
    absences: Vec<Absence>,
    took: Duration,
}

#[derive(Serialize)]
struct Summary {
    jobs: usize,
    lost: usize,
    extra_runs: usize,
    kills: usize,
    redis_restarts: usize,
}

impl Outcome {
    pub(crate) fn is_well(&self) -> bool {
        let is_explained = self.extra_runs.iter().all(|(_, cause)| cause.is_some());
        self.lost.is_empty() && self.left.is_ok() && is_explained
    }

    /// The closing line.
    pub(crate) fn report(&self) -> String {
        serde_json::to_string(&self.summary).unwrap()
    }

    /// What the closing line does not tell.
    pub(crate) fn explanation(&self) -> String {
        let mut by_cause: BTreeMap<Cause, usize> = BTreeMap::new();
        let mut lines = Vec::new();
        for (run, cause) in &self.extra_runs {
            match cause {
                Some(cause) => *by_cause.entry(*cause).or_default() += 1,
                None => lines.push(format!("without a cause: {run:?}")),
            }
        }
        lines.extend(self.lost.iter().map(|job| format!("lost: {job}")));
        lines.extend(self.left.as_ref().err().cloned());
        let away: Vec<u64> = self
            .absences
            .iter()
            .map(|it| it.to.since(it.from))
            .collect();
        lines.push(format!(
            "storm: {:.1} s, Redis away for {away:?} ms, extra runs by cause: {by_cause:?}",
            self.took.as_secs_f64()
        ));
        lines.join("\n")
    }
}

/// Runs `jobs` jobs through the storm, in which Redis is restarted `restarts` times.
pub(crate) async fn run(jobs: usize, restarts: usize) -> Outcome {
    let begun = tokio::time::Instant::now();
    let mut server = RedisServer::start(RedisOptions::default()).await.unwrap();
    sync_every_second(&server).await;
    let (redis, keys) = (line::connect(&server.url()), Keys::new(PREFIX));
    let mut crew = Crew::start(&server.url(), PREFIX, WORKERS);
    let (producer, calm) = (
        Producer::new(line::queue(&redis, &keys)),
        CancellationToken::new(),
    );
    let trouble = async {
        let (enqueued_twice, absences) = tokio::join!(
            producer.enqueue(jobs),
            restart(&mut server, jobs, restarts, &producer),
        );
        line::until_nothing_is_due(&redis, &keys).await;
        calm.cancel();
        (enqueued_twice, absences)
    };
    let ((enqueued_twice, absences), ()) = tokio::join!(trouble, crew.harass(KILL_EVERY, &calm));
    let left = line::until_empty(&redis, &keys).await;
    crew.dismiss().await;

    let runs = crew.runs();
    let finished: HashSet<&str> = runs
        .iter()
        .filter(|run| run.ended.is_some())
        .map(|run| run.job.as_str())
        .collect();
    let lost: Vec<String> = (0..jobs)
        .map(|n| job(n).id().to_string())
        .filter(|id| !finished.contains(id.as_str()))
        .collect();
    let history = History {
        killed: &|number| crew.killed(number),
        absences: absences.clone(),
        enqueued_twice,
    };
    let extra_runs = history.extra_runs(runs);
    Outcome {
        summary: Summary {
            jobs,
            lost: lost.len(),
            extra_runs: extra_runs.len(),
            kills: crew.kills(),
            redis_restarts: absences.len(),
        },
        extra_runs,
        lost,
        left,
        absences,
        took: begun.elapsed(),
    }
}

/// Restarts Redis so many times, evenly spread over the jobs, as an operator would. It runs with
/// `everysec`, as most do, which promises to keep what was acknowledged only through an orderly end:
/// while the file is synced, Redis holds back writes that it has acknowledged already.
async fn restart(
    server: &mut RedisServer,
    jobs: usize,
    restarts: usize,
    producer: &Producer,
) -> Vec<Absence> {
    let mut absences = Vec::new();
    for n in 1..=restarts {
        producer.until_enqueued(jobs * n / (restarts + 1)).await;
        let from = Millis::now();
        server.restart().await.unwrap();
        sync_every_second(server).await;
        absences.push(Absence {
            from,
            to: Millis::now(),
        });
    }
    absences
}

async fn sync_every_second(server: &RedisServer) {
    let words = ["CONFIG", "SET", "appendfsync", "everysec"];
    server.command(&words).await.unwrap();
}
