//! How long a webhook takes to a receiver that is well, while a fifth of the others hang and while none do.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use devstack::benchmarks::quantile;
use tokio::time::{Instant, sleep_until};

use crate::deployment::{Deployment, event};
use crate::plan::{HANGING, NEIGHBOURS, Plan};
use crate::receiver::{Receiver, now};

const REST_WITHIN: Duration = Duration::from_secs(60);
/// So many come at once.
const BATCH: usize = 10;

/// From just before it was enqueued to its arrival, in ms, sorted.
#[derive(Debug, Default)]
pub(crate) struct Delays {
    /// While all are well.
    pub(crate) calm: Vec<f64>,
    /// While a fifth hang.
    pub(crate) beside: Vec<f64>,
}

impl Delays {
    /// The p99 beside those that hang, as a multiple of what it is without them.
    pub(crate) fn growth(&self) -> Option<f64> {
        Some(quantile(&self.beside, 0.99)? / quantile(&self.calm, 0.99)?)
    }
}

pub(crate) async fn measure(receiver: &Receiver, plan: &Plan) -> anyhow::Result<Delays> {
    Ok(Delays {
        calm: delays(receiver, plan, 0).await?,
        beside: delays(receiver, plan, HANGING).await?,
    })
}

async fn delays(receiver: &Receiver, plan: &Plan, hanging: usize) -> anyhow::Result<Vec<f64>> {
    let mut deployment = Deployment::start().await?;
    deployment.add_worker().await?;
    let count = plan.pace * plan.span.as_secs() as usize;
    let mut begun: HashMap<String, f64> = HashMap::new();
    let start = Instant::now();
    for first in (0..count).step_by(BATCH) {
        sleep_until(start + Duration::from_secs(1).mul_f64(first as f64 / plan.pace as f64)).await;
        let batch: Vec<_> = (first..count.min(first + BATCH))
            .map(|number| (number, url(receiver, number, hanging)))
            .collect();
        for (number, _) in &batch {
            begun.insert(event(*number), now());
        }
        deployment.enqueue(&batch).await?;
    }
    // The same receivers count in both: those that hang in one of them count in neither.
    let is_counted = |number: &usize| number % NEIGHBOURS >= HANGING;
    let well = (0..count).filter(|number| number % NEIGHBOURS >= hanging);
    let arrivals = receiver.until(well.count(), REST_WITHIN).await?;
    drop(deployment);
    let warm = (plan.warm_up.as_secs() as usize * plan.pace..count).filter(is_counted);
    let warm: HashSet<String> = warm.map(event).collect();
    let counted = arrivals.iter().filter(|(id, _)| warm.contains(id));
    let mut delays: Vec<f64> = counted
        .filter_map(|(id, at)| Some(at - begun.get(id)?))
        .collect();
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}

fn url(receiver: &Receiver, number: usize, hanging: usize) -> String {
    let place = number % NEIGHBOURS;
    if place < hanging {
        receiver.hanging(place)
    } else {
        receiver.well(place)
    }
}
