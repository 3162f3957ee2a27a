//! Our queue beside BullMQ and its Rust port: the same jobs, the same run, the same `redis-server`.
//!
//! To follow a run read `plan` (what is measured), `measure` (how), `protocol` (what the measured
//! processes are told), `ours` (our side) and `peers/` (theirs), then `report`.

mod child;
mod figures;
mod idle;
mod measure;
mod node;
mod ours;
mod peers;
mod plan;
mod protocol;
mod report;
mod server;
mod system;

use std::path::Path;
use std::time::Duration;

use clap::{Parser, Subcommand};
use devstack::benchmarks;
use devstack::bridge::{Bridge, BridgeOptions};
use devstack::delay::DelayProxy;

use crate::figures::Figures;
use crate::idle::Idle;
use crate::measure::Bench;
use crate::plan::{IN_BULK, LOADED, Plan, SINGLE, Step};
use crate::server::Server;
use crate::system::{Launcher, Route};

const TOKEN: &str = "bench-token";
/// Half of the added round trip.
const EACH_WAY: Duration = Duration::from_millis(10);
/// Above this load average the machine has other things to do.
const BUSY: f64 = 0.5;
/// Loads scripts and warms the server before anything is counted.
const WARM_UP_JOBS: usize = 500;

/// Measure our queue beside BullMQ and its Rust port
#[derive(Debug, Parser)]
struct Cli {
    /// Few jobs, once each; nothing is written to the documentation
    #[arg(long)]
    quick: bool,
    /// Only the throughput of what has this text in its name; nothing is written either
    #[arg(long)]
    only: Option<String>,
    /// How long an idle deployment is watched [default: 300, 30 when quick]
    #[arg(long)]
    idle_seconds: Option<u64>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Be one of the measured processes
    #[command(hide = true)]
    Child(ours::Child),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Child(child)) => ours::run(child).await,
        None => compare(&cli).await,
    }
}

async fn compare(cli: &Cli) -> anyhow::Result<()> {
    eprintln!("installing the peers");
    let peers = peers::install().await?;
    let server = Server::start().await?;
    let proxy = DelayProxy::start(server.addr(), EACH_WAY).await?;
    let bridge = Bridge::start(BridgeOptions {
        // The check costs calls of its own.
        check_declared_keys: false,
        ..BridgeOptions::new(server.addr(), TOKEN)
    })
    .await?;
    let launcher = Launcher {
        direct: server.addr().port(),
        delayed: proxy.addr().port(),
        bridge: (bridge.url(), TOKEN.to_owned()),
        node_script: peers.node_script,
        rust_peer: peers.rust_peer,
    };
    let load = devstack::machine::load()?;
    if load > BUSY {
        eprintln!("the load average is {load}: others are at work, and figures will be low");
    }
    let machine = format!(
        "{}; redis-server {}; Node.js {}; {}; load average at the start {load}",
        devstack::machine::describe()?,
        server.version().await?,
        node::version().await?,
        peers::versions()?
    );
    let plan = if cli.quick { Plan::QUICK } else { Plan::FULL };
    let bench = Bench { server, launcher };
    if let Some(text) = &cli.only {
        return look_at(&bench, plan, text).await;
    }
    let watched = cli.idle_seconds.unwrap_or(if cli.quick { 30 } else { 300 });
    let (figures, idle) = measure_all(&bench, plan, Duration::from_secs(watched)).await?;

    let page = page(&machine, plan, &report::tables(&figures, &idle));
    println!("{page}");
    if !cli.quick {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
        benchmarks::publish(&docs, "bench-queue", &page)?;
    }
    println!("{}", report::closing(&figures, &idle));
    Ok(())
}

/// All figures, and what an idle deployment asks.
async fn measure_all(
    bench: &Bench,
    plan: Plan,
    watched: Duration,
) -> anyhow::Result<(Figures, Idle)> {
    for route in Route::ALL {
        for case in [SINGLE, IN_BULK, LOADED] {
            for system in route.systems() {
                let jobs = WARM_UP_JOBS;
                bench.measure(*system, Step { case, route, jobs }).await?;
            }
        }
    }
    let mut figures = Figures::default();
    // Neither keeps a processor busy. The deployment has a `redis-server` of its own.
    let steps = plan.paced();
    let paced = measure_steps(bench, &steps, plan.repeats, &mut figures);
    let ((), idle) = tokio::try_join!(paced, idle::watch(watched))?;
    measure_steps(bench, &plan.throughput(), plan.repeats, &mut figures).await?;
    Ok((figures, idle))
}

/// Prints the throughput of what has `text` in its name.
async fn look_at(bench: &Bench, plan: Plan, text: &str) -> anyhow::Result<()> {
    let mut steps = plan.throughput();
    steps.retain(|step| format!("{}, {}", step.route.name(), step.case).contains(text));
    measure_steps(bench, &steps, plan.repeats, &mut Figures::default()).await
}

/// Systems take turns within each repeat, so that a slow minute of the machine hits all of them.
async fn measure_steps(
    bench: &Bench,
    steps: &[Step],
    repeats: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    for repeat in 1..=repeats {
        for step in steps {
            measure_step(bench, *step, repeat, figures).await?;
        }
    }
    Ok(())
}

async fn measure_step(
    bench: &Bench,
    step: Step,
    repeat: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    for system in step.route.systems() {
        let sample = bench.measure(*system, step).await?;
        eprintln!(
            "{repeat}  {:<14}{:<36}{:<17}{:>8.0} jobs/s{:>8.2} commands{:>6.0} + {:.0} µs",
            step.route.name(),
            step.case.to_string(),
            system.name(),
            sample.jobs_per_second,
            sample.commands,
            sample.client_us,
            sample.server_us
        );
        figures.add(*system, step.route, step.case, sample);
    }
    Ok(())
}

fn page(machine: &str, plan: Plan, tables: &str) -> String {
    format!(
        "## The queue\n\n\
         Written by `make bench-queue`: our queue beside BullMQ and its Rust port, in one run on one\n\
         `redis-server` (append-only file synced every second), {} time(s) in turn.\n\n\
         Machine: {machine}.\n\n\
         Every system runs in child processes of its own. A job carries {} bytes and its handler does\n\
         nothing; nothing finished is kept. Workers empty a queue that was filled beforehand, and the\n\
         time runs until the last job is settled. One bridge and one delaying proxy run in the\n\
         benchmark's own process.\n\n\
         {tables}",
        plan.repeats,
        protocol::PAYLOAD_BYTES
    )
}
