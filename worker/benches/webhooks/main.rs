//! Deliveries a second of one worker beside bare requests to the same receiver, and what receivers that
//! hang cost those that do not.
//!
//! To follow a run read `plan` (how much), `throughput` and `isolation` (the two measurements), then
//! `report`. `receiver`, `requests` and `deployment` are what is measured.

mod deployment;
mod isolation;
mod plan;
mod receiver;
mod report;
mod requests;
mod throughput;

use std::path::Path;

use clap::{Parser, Subcommand};
use devstack::{benchmarks, machine};

use crate::plan::Plan;
use crate::receiver::Receiver;
use crate::report::Figures;
use crate::requests::Requests;

/// Above this load average the machine has other things to do.
const BUSY: f64 = 0.5;

/// Measure how webhooks are delivered
#[derive(Debug, Parser)]
struct Cli {
    /// Few deliveries; nothing is written to the documentation
    #[arg(long)]
    quick: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Debug, Subcommand)]
enum Child {
    /// Be the receiver
    #[command(hide = true)]
    Receiver,
    /// Be the bare requests
    #[command(hide = true)]
    Requests(Requests),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.child {
        Some(Child::Receiver) => receiver::run().await,
        Some(Child::Requests(requests)) => requests::run(&requests).await,
        None => measure(cli.quick).await,
    }
}

async fn measure(is_quick: bool) -> anyhow::Result<()> {
    let plan = if is_quick { Plan::QUICK } else { Plan::FULL };
    let load = machine::load()?;
    if load > BUSY {
        eprintln!("the load average is {load}: others are at work, and figures will be worse");
    }
    let described = format!("{}; load average at the start {load}", machine::describe()?);
    let receiver = Receiver::start().await?;
    let figures = Figures {
        rates: throughput::measure(&receiver, &plan).await?,
        delays: isolation::measure(&receiver, &plan).await?,
    };
    let section = figures.section(&described, &plan);
    println!("{section}");
    if !is_quick {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
        benchmarks::publish(&page, "bench-webhooks", &section)?;
    }
    println!("{}", figures.closing());
    Ok(())
}
