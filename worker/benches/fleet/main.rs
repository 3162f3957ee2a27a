//! How soon the fleet's changes show, what that asks of the provider, and what it takes in memory.
//!
//! To follow a run read `plan` (how much), `boot`, `steady` and `crowd` (the three measurements),
//! `changes` and `monitor` (how a change is made and what followed it), then `report`. `deployment`,
//! `simulator` and `population` are what is measured.

mod boot;
mod changes;
mod crowd;
mod deployment;
mod monitor;
mod plan;
mod population;
mod report;
mod simulator;
mod steady;
mod waiting;

use std::path::Path;

use clap::{Parser, Subcommand};
use devstack::{benchmarks, machine};
use tokio::time::Instant;

use crate::deployment::Deployment;
use crate::plan::Plan;
use crate::report::Figures;
use crate::simulator::Boots;
use crate::steady::Steady;

/// Above this load average the machine has other things to do.
const BUSY: f64 = 0.5;

/// Measure how a fleet of instances is followed
#[derive(Debug, Parser)]
struct Cli {
    /// Few instances for a short time; nothing is written to the documentation
    #[arg(long)]
    quick: bool,
    /// Only this measurement; nothing is written either
    #[arg(long)]
    only: Option<Part>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Part {
    Boot,
    Steady,
    Crowd,
}

#[derive(Debug, Subcommand)]
enum Child {
    /// Be the provider
    #[command(hide = true)]
    Simulator {
        #[arg(long)]
        boots: Boots,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let plan = if cli.quick { Plan::QUICK } else { Plan::FULL };
    match (cli.child, cli.only) {
        (Some(Child::Simulator { boots }), _) => simulator::run(boots).await,
        (None, Some(part)) => look_at(part, &plan).await,
        (None, None) => measure_all(&plan, cli.quick).await,
    }
}

async fn measure_all(plan: &Plan, is_quick: bool) -> anyhow::Result<()> {
    let load = machine::load()?;
    if load > BUSY {
        eprintln!("the load average is {load}: others are at work, and figures will be worse");
    }
    let described = format!("{}; load average at the start {load}", machine::describe()?);
    let started = Instant::now();
    let (deployment, boot) = boot::measure(plan).await?;
    // Deployments at rest keep no processor busy.
    let (one, several, crowd) = tokio::try_join!(
        at_rest(deployment, started, plan),
        steady::measure_replicas(plan),
        crowd::measure(plan),
    )?;
    let figures = Figures {
        boot,
        steady: [one, several],
        crowd,
    };
    let section = figures.section(&described, plan);
    println!("{section}");
    if !is_quick {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
        benchmarks::publish(&page, "bench-fleet", &section)?;
    }
    println!("{}", figures.closing());
    Ok(())
}

async fn at_rest(deployment: Deployment, since: Instant, plan: &Plan) -> anyhow::Result<Steady> {
    let steady = steady::measure(&deployment, since, plan).await?;
    deployment.stop().await?;
    Ok(steady)
}

async fn look_at(part: Part, plan: &Plan) -> anyhow::Result<()> {
    match part {
        Part::Boot => {
            let (deployment, boot) = boot::measure(plan).await?;
            deployment.stop().await?;
            for (what, values) in [
                ("made due", &boot.due),
                ("event", &boot.event),
                ("webhook", &boot.webhook),
            ] {
                println!("running to {what}: {}", report::spread(values));
            }
            println!("{:?}", boot.calls);
        }
        Part::Steady => println!("{:?}", steady::measure_replicas(plan).await?),
        Part::Crowd => {
            let crowd = crowd::measure(plan).await?;
            for (what, values) in [
                ("change to due", &crowd.due),
                ("due to settled", &crowd.lag),
                ("change to event", &crowd.event),
            ] {
                println!("{what}: {}", report::spread(values));
            }
            println!("{:?}, first looks {} s", crowd.memory, crowd.first_looks);
        }
    }
    Ok(())
}
