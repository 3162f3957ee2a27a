//! `fresh=true`: a worker looks at the provider before the answer is given. Bounded: what is known by then is
//! told, whatever became of the look.

use std::time::Duration;

use shared::fleet::{FleetStore, PassReport};
use shared::model::InstanceId;
use shared::queue::{Job, Periodic, Queue};
use shared::store::Scene;
use tokio::time::{Instant, timeout, timeout_at};

use super::Input;
use crate::app::App;
use crate::error::ApiError;

/// How long a request waits for a look at the whole fleet, at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits for its instance to follow what that look showed.
const FOLLOW: Duration = Duration::from_secs(2);

/// Whether the caller wants to wait for a look.
pub(super) fn is_wanted(input: &Input) -> Result<bool, ApiError> {
    Ok(input.parameter("fresh")?.as_deref() == Some("true"))
}

/// The provider's fleet, as it is kept.
pub(super) fn store(app: &App) -> FleetStore {
    FleetStore::new(app.store.redis().clone(), app.store.keys().clone())
}

/// What became of a look that was asked for.
pub(super) struct Looked {
    /// How the last pass went.
    pub(super) report: PassReport,
    /// That one began after it was asked for.
    pub(super) is_new: bool,
}

impl Looked {
    /// It is new, and the list was whole.
    pub(super) fn is_complete(&self) -> bool {
        self.is_new && self.report.complete_at >= self.report.started_at
    }
}

/// Has a worker read the provider's list now.
pub(super) async fn read_anew(app: &App) -> Result<(), ApiError> {
    let (redis, keys) = (app.store.redis().clone(), app.store.keys().clone());
    let queue = Queue::new(redis, keys, Duration::ZERO);
    let name = Periodic::Fleet;
    Ok(queue.enqueue(&[Job::Periodic { name }]).await?)
}

/// The same, and waits for that.
pub(super) async fn fleet(app: &App) -> Result<Looked, ApiError> {
    let deadline = Instant::now() + PATIENCE.min(app.limits.request_timeout / 2);
    // By the clock by which passes tell when they began.
    let asked = app.store.time().await?;
    read_anew(app).await?;
    let fleet = store(app);
    let passed = async {
        let mut watch = app.changes.watch();
        watch.ready().await;
        loop {
            let report = fleet.report().await?;
            if report.started_at >= asked {
                return Ok(report);
            }
            watch.fleet().await;
        }
    };
    let passed = tokio::select! {
        passed = timeout_at(deadline, passed) => passed.ok(),
        () = app.draining.cancelled() => None,
    };
    let report = match passed {
        Some(report) => report.map_err(|error: shared::redis::RedisError| ApiError::from(error))?,
        None => fleet.report().await?,
    };
    let is_new = report.started_at >= asked;
    // The caller wants what is, whatever this process was told of it.
    app.caches.outdate_all();
    Ok(Looked { report, is_new })
}

/// Has the whole fleet looked at, and then waits until this instance has followed what the list showed of it.
pub(super) async fn instance(app: &App, id: &InstanceId) -> Result<(), ApiError> {
    if !fleet(app).await?.is_new {
        return Ok(());
    }
    let followed = async {
        let mut watch = app.changes.watch();
        watch.ready().await;
        while let Ok(Some(scene)) = app.store.scene(id).await
            && !has_followed(&scene)
        {
            watch.instance(id).await;
        }
    };
    // It is told as it is, if it takes longer.
    let _ = timeout(FOLLOW, followed).await;
    app.caches.changed(id);
    Ok(())
}

/// Whether the record has the word that the provider's list showed.
fn has_followed(scene: &Scene) -> bool {
    let Some(status) = &scene.record.status else {
        return true;
    };
    let sighting = status.provider_id().and_then(|id| scene.seen.of(id));
    let known = status.provider.as_ref().map(|facts| &facts.status);
    sighting.is_none_or(|(sighting, _)| known == Some(&sighting.facts.status))
}
