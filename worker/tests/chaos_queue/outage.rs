//! Redis away for a while, under a busy worker and an idle one.

use std::collections::HashSet;
use std::time::Duration;

use devstack::redis::{RedisOptions, RedisServer};
use devstack::stack::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use shared::clock::Millis;
use shared::redis::{Command, Keys, Redis, Repeat};
use tokio::time::sleep;

use crate::causes::{Absence, History};
use crate::crew::Crew;
use crate::line;
use crate::producer::{Producer, job};

const BUSY: &str = "busy";
const IDLE: &str = "idle";
/// A second's worth before the outage and one after it.
const JOBS: usize = 800;
const PATIENCE: Duration = Duration::from_secs(20);
/// Of one core, while there is nobody to talk to.
const CPU_PERCENT_ALLOWED: f64 = 10.0;
const BACK_WITHIN_MS: u64 = 1000;
/// `/proc` counts CPU time in these (`USER_HZ`, the same on every Linux that Rust runs on).
const TICKS_PER_SECOND: f64 = 100.0;

/// How Redis goes away.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// Its process is killed, and connections are refused until another one is started.
    Killed,
    /// Its process stands still: connections stay open, and nobody answers.
    Frozen,
}

/// What an outage came to.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    redis: How,
    outage_s: f64,
    busy_cpu_percent: f64,
    idle_cpu_percent: f64,
    busy_back_ms: u64,
    idle_back_ms: u64,
    idle_next_ms: u64,
    jobs: usize,
    lost: usize,
    extra_runs: usize,
    unexplained_runs: usize,
}

impl Findings {
    pub(crate) fn is_well(&self) -> bool {
        self.lost == 0
            && self.unexplained_runs == 0
            && self.busy_cpu_percent < CPU_PERCENT_ALLOWED
            && self.idle_cpu_percent < CPU_PERCENT_ALLOWED
            && self.busy_back_ms < BACK_WITHIN_MS
            && self.idle_back_ms < BACK_WITHIN_MS
            && self.idle_next_ms < BACK_WITHIN_MS
    }

    pub(crate) fn report(&self) -> String {
        serde_json::to_string(self).unwrap()
    }
}

/// Two queues on one Redis, with a worker each.
struct Scene {
    server: RedisServer,
    redis: Redis,
    busy: Crew,
    idle: Crew,
}

/// Lets Redis be away for so long and looks at what the workers make of it.
pub(crate) async fn run(how: How, outage: Duration) -> Findings {
    let mut scene = Scene::set().await;
    let producer = Producer::new(line::queue(&scene.redis, &Keys::new(BUSY)));
    let (enqueued_twice, (absence, cpu_percent, idle_waits_ms)) =
        tokio::join!(producer.enqueue(JOBS), async {
            producer.until_enqueued(JOBS / 2).await;
            scene.interrupt(how, outage).await
        });
    for prefix in [BUSY, IDLE] {
        line::until_empty(&scene.redis, &Keys::new(prefix))
            .await
            .unwrap();
    }
    scene.busy.dismiss().await;
    scene.idle.dismiss().await;

    let runs = scene.busy.runs();
    let finished: HashSet<&str> = runs
        .iter()
        .filter(|run| run.ended.is_some())
        .map(|run| run.job.as_str())
        .collect();
    let lost = (0..JOBS)
        .filter(|n| !finished.contains(job(*n).id().as_str()))
        .count();
    let first_back = runs
        .iter()
        .map(|run| run.started)
        .filter(|at| *at >= absence.to)
        .min();
    let history = History {
        killed: &|_| None,
        absences: vec![absence],
        enqueued_twice,
    };
    let extra_runs = history.extra_runs(runs);
    Findings {
        redis: how,
        outage_s: outage.as_secs_f64(),
        busy_cpu_percent: cpu_percent[0],
        idle_cpu_percent: cpu_percent[1],
        busy_back_ms: first_back.expect("it went on").since(absence.to),
        idle_back_ms: idle_waits_ms[0],
        idle_next_ms: idle_waits_ms[1],
        jobs: JOBS,
        lost,
        extra_runs: extra_runs.len(),
        unexplained_runs: extra_runs
            .iter()
            .filter(|(_, cause)| cause.is_none())
            .count(),
    }
}

impl Scene {
    /// Both workers listen, and the idle one has found nothing to do.
    async fn set() -> Self {
        let server = RedisServer::start(RedisOptions::default()).await.unwrap();
        let redis = line::connect(&server.url());
        let scene = Self {
            busy: Crew::start(&server.url(), BUSY, 1),
            idle: Crew::start(&server.url(), IDLE, 1),
            server,
            redis,
        };
        eventually("two sleeping workers", PATIENCE, async || {
            let mut sleepers = 0;
            for prefix in [BUSY, IDLE] {
                let asleep = Command::new("ZCARD").arg(Keys::new(prefix).idle());
                sleepers += scene
                    .redis
                    .run(asleep, Repeat::Harmless)
                    .await
                    .unwrap()
                    .int()
                    .unwrap();
            }
            let listeners = line::listeners(&scene.redis).await;
            if (sleepers, listeners) == (2, 2) {
                Ok(())
            } else {
                Err(format!("{sleepers} asleep, {listeners} listening"))
            }
        })
        .await
        .unwrap();
        scene
    }

    /// The outage. Tells when it was, how much CPU both workers used meanwhile, and how long the idle
    /// one's jobs waited: one that was enqueued right after the outage, and one when that was done and
    /// the worker slept again.
    async fn interrupt(&mut self, how: How, outage: Duration) -> (Absence, [f64; 2], [u64; 2]) {
        let pids = [self.busy.pids()[0], self.idle.pids()[0]];
        let from = Millis::now();
        match how {
            How::Killed => self.server.kill().await.unwrap(),
            How::Frozen => self.signal(Signal::SIGSTOP),
        }
        let before = pids.map(cpu_seconds);
        sleep(outage).await;
        let after = pids.map(cpu_seconds);
        match how {
            How::Killed => self.server.restart().await.unwrap(),
            How::Frozen => self.signal(Signal::SIGCONT),
        }
        let to = Millis::now();
        let cpu_percent = [0, 1].map(|n| 100.0 * (after[n] - before[n]) / outage.as_secs_f64());
        let first = self.wake_idle(0).await.since(to);
        line::until_empty(&self.redis, &Keys::new(IDLE))
            .await
            .unwrap();
        let enqueued = Millis::now();
        let next = self.wake_idle(1).await.since(enqueued);
        (Absence { from, to }, cpu_percent, [first, next])
    }

    fn signal(&self, signal: Signal) {
        let pid = self.server.pid().expect("it runs");
        kill(Pid::from_raw(pid as i32), signal).unwrap();
    }

    /// Enqueues the job of this number for the idle worker and tells when it began with it.
    async fn wake_idle(&self, number: usize) -> Millis {
        let queue = line::queue(&line::connect(&self.server.url()), &Keys::new(IDLE));
        queue.enqueue(&[job(number)]).await.unwrap();
        eventually("the idle worker's job", PATIENCE, async || {
            let runs = self.idle.runs();
            let run = runs.get(number).map(|run| run.started);
            run.ok_or_else(|| "no run".to_owned())
        })
        .await
        .unwrap()
    }
}

/// CPU time that a process has used, in seconds.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may hold anything; behind it, user and system time are the 12th and 13th.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .map(|field| field.parse::<f64>().unwrap())
        .sum::<f64>()
        / TICKS_PER_SECOND
}
