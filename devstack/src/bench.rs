//! How fast a process is ready, and how much memory it holds when idle. Side by side in one run.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::machine::Resident;
use crate::screen::Screen;
use crate::service::{Role, Service};
use crate::stack::Stack;

const RUNS: usize = 5;
/// Start-up work is over by then, and its buffers are given back.
const SETTLE: Duration = Duration::from_secs(2);

/// Starts each production process several times beside a running stack; ends with a line of JSON.
///
/// # Errors
/// A process does not get ready.
pub async fn run(stack: &Stack, screen: &Screen) -> anyhow::Result<()> {
    screen.idle();
    screen.line(&format!(
        "{:<16}{:>16}{:>16}{:>14}",
        "", "ready (median)", "ready (worst)", "idle memory"
    ));
    let mut figures = serde_json::Map::new();
    for (name, role) in [("novita-api", Role::Api), ("novita-worker", Role::Worker)] {
        let figure = measure(stack, role).await?;
        let shown = |key: &str, unit: &str| format!("{} {unit}", figure[key]);
        screen.line(&format!(
            "{name:<16}{:>16}{:>16}{:>14}",
            shown("ready_ms_median", "ms"),
            shown("ready_ms_worst", "ms"),
            shown("idle_rss_mib", "MiB")
        ));
        figures.insert(name.replace('-', "_"), figure);
    }
    println!("{}", Value::Object(figures));
    Ok(())
}

async fn measure(stack: &Stack, role: Role) -> anyhow::Result<Value> {
    let mut times = Vec::new();
    let mut rss = 0.0;
    for run in 0..RUNS {
        let started = Instant::now();
        let mut service = Service::start(role, 100 + run, stack.env(), stack.logs()).await?;
        times.push(started.elapsed().as_millis() as u64);
        sleep(SETTLE).await;
        rss = f64::max(rss, Resident::of(service.pid().context("no process")?)?.now);
        service.stop(Duration::from_secs(10)).await?;
    }
    times.sort_unstable();
    Ok(json!({
        "ready_ms_median": times[RUNS / 2],
        "ready_ms_worst": times[RUNS - 1],
        "idle_rss_mib": (rss * 10.0).round() / 10.0,
    }))
}
