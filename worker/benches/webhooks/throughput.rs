//! How many a second: deliveries from a full queue, and bare requests.

use std::time::Duration;

use anyhow::Context;

use crate::deployment::Deployment;
use crate::plan::{Plan, RECEIVERS};
use crate::receiver::{Arrivals, Receiver};
use crate::requests;

const ALL_WITHIN: Duration = Duration::from_secs(300);

/// How many a second arrived, once per repeat.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    /// Deliveries of one worker.
    pub(crate) deliveries: Vec<f64>,
    /// Bare requests over kept connections.
    pub(crate) requests: Vec<f64>,
    /// Bare requests, each over a connection of its own.
    pub(crate) own_connections: Vec<f64>,
}

/// They take turns, so that a slow minute of the machine hits all of them.
pub(crate) async fn measure(receiver: &Receiver, plan: &Plan) -> anyhow::Result<Rates> {
    let mut rates = Rates::default();
    for repeat in 1..=plan.repeats {
        rates.deliveries.push(deliveries(receiver, plan).await?);
        rates.requests.push(bare(receiver, plan, false).await?);
        rates
            .own_connections
            .push(bare(receiver, plan, true).await?);
        eprintln!("{repeat}  {rates:.0?}");
    }
    Ok(rates)
}

async fn deliveries(receiver: &Receiver, plan: &Plan) -> anyhow::Result<f64> {
    let mut deployment = Deployment::start().await?;
    let all = (0..plan.deliveries).map(|number| (number, receiver.well(number % RECEIVERS)));
    let all: Vec<_> = all.collect();
    deployment.enqueue(&all).await?;
    deployment.add_worker().await?;
    let arrivals = receiver.until(plan.deliveries, ALL_WITHIN).await?;
    deployment.stop().await?;
    rate(&arrivals)
}

async fn bare(receiver: &Receiver, plan: &Plan, own_connections: bool) -> anyhow::Result<f64> {
    requests::send(receiver, plan.deliveries, own_connections).await?;
    rate(&receiver.until(plan.deliveries, ALL_WITHIN).await?)
}

/// From the first to the last.
fn rate(arrivals: &Arrivals) -> anyhow::Result<f64> {
    let moments = arrivals.iter().map(|(_, at)| *at);
    let first = moments.clone().reduce(f64::min).context("nothing came")?;
    let last = moments.reduce(f64::max).context("nothing came")?;
    Ok((arrivals.len() - 1) as f64 * 1000.0 / (last - first))
}
