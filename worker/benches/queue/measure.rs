//! One measurement of one system.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep};

use crate::child::Child;
use crate::plan::{BULK, Case, Step};
use crate::protocol::{Mode, Orders, PAYLOAD_BYTES};
use crate::server::{Counters, Server};
use crate::system::{Launcher, Route, System};

/// Between two looks at how much is left. Each costs the server about 20 µs.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The slowest drain takes a few seconds.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);
/// A worker that starts up is idle well before.
const IDLE_AFTER: Duration = Duration::from_secs(1);

/// What one measurement came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// How many were measured.
    pub(crate) jobs: u64,
    /// Of all processes together.
    pub(crate) jobs_per_second: f64,
    /// Commands of the server per job, those inside scripts included.
    pub(crate) commands: f64,
    /// Processor time of the measured processes per job.
    pub(crate) client_us: f64,
    /// Processor time of the server per job.
    pub(crate) server_us: f64,
    /// From just before the enqueue call to the start of the handler, per job.
    pub(crate) pick_up_ms: Vec<f64>,
}

/// Everything that a measurement needs.
pub(crate) struct Bench {
    /// The one server.
    pub(crate) server: Server,
    /// How children are started.
    pub(crate) launcher: Launcher,
}

/// What was counted between two moments.
struct Window {
    jobs: u64,
    seconds: f64,
    client_seconds: f64,
    server: Counters,
}

impl Window {
    fn sample(&self) -> Sample {
        let per_job = |seconds: f64| seconds * 1e6 / self.jobs as f64;
        Sample {
            jobs: self.jobs,
            jobs_per_second: self.jobs as f64 / self.seconds,
            commands: self.server.commands as f64 / self.jobs as f64,
            client_us: per_job(self.client_seconds),
            server_us: per_job(self.server.cpu_seconds),
            pick_up_ms: Vec::new(),
        }
    }
}

impl Bench {
    /// Measures one system once, on an empty server.
    pub(crate) async fn measure(&self, system: System, step: Step) -> anyhow::Result<Sample> {
        self.server.reset().await?;
        let Step { case, route, jobs } = step;
        let measured = match case {
            Case::Enqueue { batch } => self.enqueue(system, route, jobs, batch).await,
            Case::Drain { workers, permits } => {
                // Filling the queue is not what is measured here: the shortest way will do.
                let filled = match route {
                    Route::Rtt20 => Route::Resp,
                    other => other,
                };
                self.enqueue(system, filled, jobs, BULK).await?;
                self.drain(system, route, workers, permits).await
            }
            Case::Paced { interval_ms } => self.paced(system, route, jobs, interval_ms).await,
        };
        measured.with_context(|| format!("{}, {}: {case}", system.name(), route.name()))
    }

    async fn start(&self, system: System, route: Route, orders: &Orders) -> anyhow::Result<Child> {
        Child::start(self.launcher.command(system, route, orders)?).await
    }

    async fn enqueue(
        &self,
        system: System,
        route: Route,
        jobs: usize,
        batch: usize,
    ) -> anyhow::Result<Sample> {
        let orders = Orders {
            jobs,
            batch,
            ..orders(Mode::Enqueue)
        };
        let mut producer = self.start(system, route, &orders).await?;
        let (before, cpu) = (self.server.counters().await?, producer.cpu_seconds()?);
        producer.go().await?;
        let answer = producer.answer().await?;
        let window = Window {
            jobs: answer.jobs,
            seconds: answer.seconds,
            client_seconds: producer.cpu_seconds()? - cpu,
            server: self.server.counters().await?.since(before),
        };
        producer.end().await?;
        let (queued, _) = self.server.unsettled(system, QUEUE).await?;
        ensure!(queued == jobs as u64, "{queued} of {jobs} jobs are queued");
        Ok(window.sample())
    }

    async fn drain(
        &self,
        system: System,
        route: Route,
        workers: usize,
        permits: usize,
    ) -> anyhow::Result<Sample> {
        let orders = Orders {
            permits,
            ..orders(Mode::Work)
        };
        let mut crew = Vec::new();
        for _ in 0..workers {
            crew.push(self.start(system, route, &orders).await?);
        }
        let (jobs, _) = self.server.unsettled(system, QUEUE).await?;
        let (before, cpu) = (self.server.counters().await?, total_cpu(&crew)?);
        let started = Instant::now();
        for worker in &mut crew {
            worker.go().await?;
        }
        let looks = self.drained(system).await?;
        let seconds = started.elapsed().as_secs_f64();
        let client_seconds = total_cpu(&crew)? - cpu;
        let mut server = self.server.counters().await?.since(before);
        server.commands -= looks;
        let mut handled = 0;
        for mut worker in crew {
            worker.go().await?;
            handled += worker.answer().await?.jobs;
            worker.end().await?;
        }
        ensure!(handled == jobs, "{handled} of {jobs} jobs were handled");
        let window = Window {
            jobs,
            seconds,
            client_seconds,
            server,
        };
        Ok(window.sample())
    }

    /// Waits until everything is settled; tells how many commands that took.
    async fn drained(&self, system: System) -> anyhow::Result<u64> {
        let deadline = Instant::now() + DRAINED_WITHIN;
        let mut looks = 0;
        loop {
            let (left, commands) = self.server.unsettled(system, QUEUE).await?;
            looks += commands;
            if left == 0 {
                return Ok(looks);
            }
            if Instant::now() > deadline {
                bail!("{left} jobs are left after {DRAINED_WITHIN:?}");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn paced(
        &self,
        system: System,
        route: Route,
        jobs: usize,
        interval_ms: u64,
    ) -> anyhow::Result<Sample> {
        let working = Orders {
            permits: 10,
            timestamps: true,
            ..orders(Mode::Work)
        };
        let producing = Orders {
            jobs,
            interval_ms,
            timestamps: true,
            ..orders(Mode::Enqueue)
        };
        let mut worker = self.start(system, route, &working).await?;
        let mut producer = self.start(system, route, &producing).await?;
        worker.go().await?;
        sleep(IDLE_AFTER).await;
        let before = self.server.counters().await?;
        let cpu = worker.cpu_seconds()? + producer.cpu_seconds()?;
        producer.go().await?;
        let sent = producer.answer().await?;
        let client_seconds = worker.cpu_seconds()? + producer.cpu_seconds()? - cpu;
        let server = self.server.counters().await?.since(before);
        self.drained(system).await?;
        worker.go().await?;
        let started = worker.answer().await?;
        worker.end().await?;
        producer.end().await?;
        let window = Window {
            jobs: sent.jobs,
            seconds: sent.seconds,
            client_seconds,
            server,
        };
        Ok(Sample {
            pick_up_ms: latencies(&sent.stamps, &started.stamps)?,
            ..window.sample()
        })
    }
}

const QUEUE: &str = "bench";

fn orders(mode: Mode) -> Orders {
    Orders {
        mode,
        redis_port: 0,
        queue: QUEUE.to_owned(),
        jobs: 0,
        batch: 1,
        interval_ms: 0,
        permits: 1,
        payload_bytes: PAYLOAD_BYTES,
        timestamps: false,
    }
}

fn total_cpu(crew: &[Child]) -> anyhow::Result<f64> {
    crew.iter().map(Child::cpu_seconds).sum()
}

fn latencies(sent: &[(u64, f64)], started: &[(u64, f64)]) -> anyhow::Result<Vec<f64>> {
    let started: HashMap<u64, f64> = started.iter().copied().collect();
    sent.iter()
        .map(|(job, at)| {
            let start = started.get(job);
            let start = start.with_context(|| format!("job {job} was never started"))?;
            Ok(start - at)
        })
        .collect()
}
