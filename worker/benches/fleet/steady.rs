//! What the provider is asked while nothing changes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::deployment::Deployment;
use crate::plan::Plan;
use crate::population;
use crate::simulator::Boots;

/// Passes come quickly for so long after the start of a worker (200 s, and one more pass).
pub(crate) const START_PHASE: Duration = Duration::from_secs(235);

/// Requests of a deployment at rest.
#[derive(Debug, Clone)]
pub(crate) struct Steady {
    /// How many workers.
    pub(crate) workers: usize,
    /// Per second.
    pub(crate) per_second: f64,
    /// How many, by route.
    pub(crate) routes: BTreeMap<String, usize>,
    /// In how many seconds.
    pub(crate) seconds: f64,
}

/// Counts for a while, once the start phase of its workers is over. `since` is when the last one started.
pub(crate) async fn measure(
    deployment: &Deployment,
    since: Instant,
    plan: &Plan,
) -> anyhow::Result<Steady> {
    sleep_until(since + plan.start_phase).await;
    deployment.provider.forget_requests().await?;
    let began = Instant::now();
    sleep_until(began + plan.steady_span).await;
    let seconds = began.elapsed().as_secs_f64();
    let mut routes = BTreeMap::new();
    for route in deployment.provider.requests().await? {
        *routes.entry(route).or_default() += 1;
    }
    let requests: usize = routes.values().sum();
    Ok(Steady {
        workers: deployment.workers(),
        per_second: requests as f64 / seconds,
        routes,
        seconds,
    })
}

/// The same of a deployment of its own with several workers.
pub(crate) async fn measure_replicas(plan: &Plan) -> anyhow::Result<Steady> {
    let mut deployment = Deployment::start(Boots::AtOnce).await?;
    population::make(&deployment, plan.steady).await?;
    for _ in 0..plan.replicas {
        deployment.add_worker().await?;
    }
    let since = Instant::now();
    population::settled(&deployment).await?;
    let steady = measure(&deployment, since, plan).await?;
    deployment.stop().await?;
    Ok(steady)
}
