//! Ten thousand instances on one worker, of which some change every second.

use std::time::Duration;

use anyhow::ensure;
use devstack::machine::Resident;
use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep_until};

use crate::changes::{Change, Notice, spread};
use crate::deployment::Deployment;
use crate::monitor::Monitor;
use crate::plan::Plan;
use crate::population;
use crate::simulator::Boots;
use crate::waiting::until;

/// The next pass, and what it makes due.
const NOTICED_WITHIN: Duration = Duration::from_secs(120);

/// What was measured, in ms, per change.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// From the change until a look at the fleet made its instance due.
    pub(crate) due: Vec<f64>,
    /// From that until it was settled.
    pub(crate) lag: Vec<f64>,
    /// From the change until its event was in the log.
    pub(crate) event: Vec<f64>,
    /// Of the worker, at the end.
    pub(crate) memory: Resident,
    /// Seconds from the start of the worker until it had looked at every record for the first time.
    pub(crate) first_looks: f64,
}

/// Fills a deployment and lets things happen.
pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<Crowd> {
    let mut deployment = Deployment::start(Boots::AtOnce).await?;
    let mut members = population::make(&deployment, plan.crowd).await?;
    eprintln!("{} records are written", members.len());
    deployment.add_worker().await?;
    let since = Instant::now();
    population::settled(&deployment).await?;
    let first_looks = since.elapsed().as_secs_f64();
    eprintln!("all of them were looked at within {first_looks:.0} s");
    sleep_until(since + plan.start_phase).await;
    members.shuffle(&mut rand::rng());
    members.truncate(plan.changes());
    let monitor = Monitor::start(&deployment).await?;
    let mut notices = Vec::new();
    for status in ["exited", "running"] {
        let changes = spread(&deployment, &members, status, plan.crowd_span).await?;
        notices.extend(noticed(&monitor, &changes).await?);
        eprintln!("{} instances are {status}", changes.len());
    }
    let memory = deployment.worker_memory()?;
    deployment.stop().await?;
    ensure!(!notices.is_empty(), "nothing was changed");
    Ok(Crowd {
        due: notices.iter().map(|notice| notice.due).collect(),
        lag: notices.iter().map(|notice| notice.lag()).collect(),
        event: notices.iter().map(|notice| notice.event).collect(),
        memory,
        first_looks,
    })
}

/// How each change was noticed, once all were.
async fn noticed(monitor: &Monitor, changes: &[Change]) -> anyhow::Result<Vec<Notice>> {
    until("every change in the log", NOTICED_WITHIN, async || {
        let traces = monitor.traces();
        let notice = |change: &Change| {
            let trace = traces.get(&change.member.instance.to_string())?;
            Notice::of(change, trace, None)
        };
        let notices: Vec<Notice> = changes.iter().filter_map(notice).collect();
        Ok(if notices.len() == changes.len() {
            Ok(notices)
        } else {
            Err(format!("{} of {}", notices.len(), changes.len()))
        })
    })
    .await
}
