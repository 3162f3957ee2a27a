//! Instances that were ready long ago: made at the provider, and their records written by the same two
//! functions that rebuild what a loss of Redis took.

use std::time::Duration;

use anyhow::{Context, ensure};
use devstack::stack::NOVITA_KEY;
use futures_util::{StreamExt, TryStreamExt, stream};
use shared::clock::Millis;
use shared::model::InstanceId;
use shared::redis::Command;
use shared::store::Store;
use worker::fleet::sweep::{fallback_name, rebuilt};
use worker::marker::Marker;
use worker::novita::{ApiKey, CallContext, Novita, NovitaClient, NovitaOptions, ProviderId};

use crate::deployment::Deployment;
use crate::waiting::until;

const SIDE_BY_SIDE: usize = 8;
/// The first reconcile of each asks the provider, a hundred times a second at the most.
const SETTLED_WITHIN: Duration = Duration::from_secs(400);
/// Nothing puts a look off for longer than this but to its hourly turn.
const SOON: Duration = Duration::from_secs(300);
/// Periodic jobs.
const PERIODIC: i64 = 3;

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Our id.
    pub(crate) instance: InstanceId,
    /// The provider's.
    pub(crate) provider_id: String,
}

/// Makes so many, before any worker runs.
pub(crate) async fn make(deployment: &Deployment, count: usize) -> anyhow::Result<Vec<Member>> {
    let names = (0..count).map(|number| {
        let marker = Marker {
            deployment: Deployment::id(),
            instance: ulid::Ulid::generate(),
            attempt: 1,
        };
        marker.name(&format!("bench-{number}"))
    });
    stream::iter(names)
        .map(anyhow::Ok)
        .try_for_each_concurrent(SIDE_BY_SIDE, async |name| {
            deployment.provider.order(&name).await
        })
        .await?;
    let store = Store::new(deployment.client()?, Deployment::keys());
    let client = client(deployment)?;
    let instances = deployment.provider.instances().await?;
    let restored = stream::iter(instances).map(|(id, name)| restore(&store, &client, id, name));
    restored.buffer_unordered(SIDE_BY_SIDE).try_collect().await
}

async fn restore(
    store: &Store,
    client: &NovitaClient,
    provider_id: String,
    name: String,
) -> anyhow::Result<Member> {
    let marker = Marker::parse(&name).context("not our name")?;
    let id = ProviderId::new(&provider_id).context("not an id")?;
    let instance = client.get(&id, &CallContext::default()).await?;
    let now = Millis(jiff::Timestamp::now().as_millisecond() as u64);
    let record = rebuilt(&instance, &marker, now);
    let other_name = fallback_name(&record.spec.id);
    let is_new = store
        .restore(&record.spec, &record.status, &record.event, &other_name)
        .await?;
    ensure!(is_new, "there is a record of {name}");
    Ok(Member {
        instance: record.spec.id,
        provider_id,
    })
}

fn client(deployment: &Deployment) -> anyhow::Result<NovitaClient> {
    let patience = Duration::from_secs(15);
    Ok(NovitaClient::new(NovitaOptions {
        base_url: deployment.provider.url().to_owned(),
        api_key: ApiKey::new(NOVITA_KEY)?,
        read_timeout: patience,
        write_timeout: patience,
        connect_timeout: patience,
    })?)
}

/// Waits until no look at any instance is due or soon due: every record has had its own.
pub(crate) async fn settled(deployment: &Deployment) -> anyhow::Result<()> {
    let redis = deployment.client()?;
    let keys = Deployment::keys();
    until("every record looked at", SETTLED_WITHIN, async || {
        let soon = jiff::Timestamp::now().as_millisecond() + SOON.as_millis() as i64;
        let ready = Command::new("ZCARD").arg(keys.ready());
        let timers = Command::new("ZCOUNT").arg(keys.timers());
        let timers = timers.args(["-inf".to_owned(), soon.to_string()]);
        let mut jobs = 0;
        for count in redis.read(&[ready, timers]).await? {
            jobs += count.int()?;
        }
        Ok(if jobs <= PERIODIC {
            Ok(())
        } else {
            Err(format!("{jobs} jobs are left"))
        })
    })
    .await
}
