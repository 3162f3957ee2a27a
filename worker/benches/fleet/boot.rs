//! From `running` at the provider to the `ready` webhook at its receiver.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, ensure};
use devstack::sink::{Sink, Webhook};
use futures_util::{StreamExt, TryStreamExt, stream};
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use shared::fleet::FleetStore;
use shared::pace::{Lane, Pace};
use worker::marker::Marker;

use crate::changes::{Change, Notice, spread};
use crate::deployment::{Deployment, RATE_LIMIT};
use crate::monitor::{Moment, Monitor};
use crate::plan::Plan;
use crate::population::Member;
use crate::simulator::{Boots, answered};
use crate::waiting::until;

const SIDE_BY_SIDE: usize = 8;
/// An order takes about five calls to the provider, a hundred of which are made a second.
const PULLING_WITHIN: Duration = Duration::from_secs(300);
const RESTED_WITHIN: Duration = Duration::from_secs(60);
/// Calls that may be made at once then: nearly all that the pace ever allows, which is ten seconds' worth.
const RESTED: u64 = RATE_LIMIT as u64 / 6 * 9 / 10;
const READY_WITHIN: Duration = Duration::from_secs(60);
/// One port, with a health check.
const TEMPLATE: &str = "100900";

/// What was measured, in ms since `running`, per instance.
#[derive(Debug, Default)]
pub(crate) struct Boot {
    /// Until a look at the fleet made it due.
    pub(crate) due: Vec<f64>,
    /// Until its event `ready` was in the log.
    pub(crate) event: Vec<f64>,
    /// Until its webhook `ready` arrived.
    pub(crate) webhook: Vec<f64>,
    /// Calls to the provider meanwhile, by route.
    pub(crate) calls: BTreeMap<String, usize>,
}

/// A deployment with one worker whose instances are all ready by then, and how that went.
pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<(Deployment, Boot)> {
    let mut deployment = Deployment::start(Boots::WhenTold).await?;
    deployment.add_api().await?;
    deployment.add_worker().await?;
    let sink = Sink::start(0).await?;
    create(&deployment, &sink, plan.booting).await?;
    let mut members = pulling(&deployment, plan.booting).await?;
    // The order of creation is that of the list.
    members.shuffle(&mut rand::rng());
    eprintln!("all {} are pulling", members.len());
    rested(&deployment).await?;
    let monitor = Monitor::start(&deployment).await?;
    deployment.provider.forget_requests().await?;
    let changes = spread(&deployment, &members, "running", plan.boot_span).await?;
    let arrivals = ready(&sink, members.len()).await?;
    let mut boot = Boot::default();
    for route in deployment.provider.requests().await? {
        *boot.calls.entry(route).or_default() += 1;
    }
    let traces = monitor.traces();
    for change in &changes {
        let id = change.member.instance.to_string();
        let trace = traces.get(&id).context("nothing was seen of it")?;
        let notice = Notice::of(change, trace, Some("instance.ready"))
            .context("no event `instance.ready`")?;
        boot.due.push(notice.due);
        boot.event.push(notice.event);
        boot.webhook.push(arrival(&arrivals, change)? - change.at);
    }
    Ok((deployment, boot))
}

async fn create(deployment: &Deployment, sink: &Sink, count: usize) -> anyhow::Result<()> {
    let http = devstack::http::client();
    let url = format!("{}/api/instances", deployment.api()?);
    let hook = format!("{}/hook", sink.url());
    stream::iter(0..count)
        .map(anyhow::Ok)
        .try_for_each_concurrent(SIDE_BY_SIDE, async |number| {
            let wish = json!({
                "name": format!("bench-{number}"),
                "productName": "RTX 4090 24GB",
                "templateId": TEMPLATE,
                "webhookUrl": hook,
            });
            answered(http.post(&url).json(&wish)).await.map(drop)
        })
        .await
}

/// Waits until the worker knows of each that it is pulling, and waits for more.
async fn pulling(deployment: &Deployment, count: usize) -> anyhow::Result<Vec<Member>> {
    let fleet = FleetStore::new(deployment.client()?, Deployment::keys());
    until("all pulling", PULLING_WITHIN, async || {
        let watched = fleet.watched().await?;
        let pulling = watched.values().filter(|watched| watched.word == "pulling");
        Ok(match pulling.count() {
            all if all == count => Ok(()),
            some => Err(format!("{some} of {count} are")),
        })
    })
    .await?;
    let instances = deployment.provider.instances().await?;
    ensure!(instances.len() == count, "{} were ordered", instances.len());
    let member = |(provider_id, name): (String, String)| {
        let marker = Marker::parse(&name).context("not our name")?;
        anyhow::Ok(Member {
            instance: marker.instance_id(),
            provider_id,
        })
    };
    instances.into_iter().map(member).collect()
}

/// Waits until the calls are made up for that the orders took: what follows a fleet shall be measured, and
/// not what is left of the allowed calls right after a thousand orders.
async fn rested(deployment: &Deployment) -> anyhow::Result<()> {
    let pace = Pace::new(&deployment.client()?, &Deployment::keys(), RATE_LIMIT);
    until("rest", RESTED_WITHIN, async || {
        let left = pace.take(Lane::Observe, 0, &[]).await?.left_milli / 1000;
        Ok(if left >= RESTED {
            Ok(())
        } else {
            Err(format!("{left} calls may be made at once"))
        })
    })
    .await
}

/// When the first webhook `ready` of each instance arrived, once all did.
async fn ready(sink: &Sink, count: usize) -> anyhow::Result<HashMap<String, Moment>> {
    until("all webhooks", READY_WITHIN, async || {
        let mut arrivals = HashMap::new();
        for webhook in sink.webhooks() {
            if let Some((instance, at)) = told_ready(&webhook) {
                arrivals.entry(instance).or_insert(at);
            }
        }
        Ok(match arrivals.len() {
            all if all == count => Ok(arrivals),
            some => Err(format!("{some} of {count}")),
        })
    })
    .await
}

fn told_ready(webhook: &Webhook) -> Option<(String, Moment)> {
    let body: Value = serde_json::from_str(&webhook.body).ok()?;
    let at: jiff::Timestamp = webhook.received_at.parse().ok()?;
    let instance = body["instanceId"].as_str()?;
    (body["status"] == "ready").then(|| (instance.to_owned(), at.as_microsecond() as f64 / 1000.0))
}

fn arrival(arrivals: &HashMap<String, Moment>, change: &Change) -> anyhow::Result<Moment> {
    let id = change.member.instance.to_string();
    arrivals.get(&id).copied().context("no webhook")
}
