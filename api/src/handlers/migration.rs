//! What workers do about spot machines that the provider takes back, under the predecessor's names.
//!
//! There is no scheduler of its own: the passes over the provider's list find what was taken back, and each
//! instance follows by its own reconcile.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use shared::clock::Millis;
use shared::fleet::FleetStore;
use shared::model::{BillingMode, Role, SpotPolicy, Status};
use shared::queue::{BATCH, Job, JobId, Periodic, Queue};
use tokio::time::Instant;

use super::Input;
use super::fresh::read_anew;
use crate::app::App;
use crate::error::ApiError;
use crate::json;
use crate::reply::Reply;
use crate::validate::Fields;

/// Instances that are looked at in one read.
const PAGE: u64 = 200;

/// The predecessor's counts.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    /// Spot machines that got ready once.
    total_checked: usize,
    /// Those that the provider was asked to move, and did not.
    failed_jobs_found: usize,
    /// Those for which another one is on its way.
    instances_recreated: usize,
    errors: usize,
}

/// `POST /api/instances/migration/check-failed`: has workers look at what the provider took back. Each look
/// decides for itself, by `SPOT_POLICY`. With `"immediate": true` it also tells how many there are.
pub(crate) async fn check_failed(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let began = Instant::now();
    let mut fields = Fields::new(json::object(&input.body)?);
    let immediate = fields.flag("immediate").unwrap_or_default();
    fields.finish(input.parameter("strict")?.as_deref() == Some("true"))?;
    look_again(app, &[]).await?;
    let at = Millis::now().iso();
    if !immediate {
        let answer = json!({
            "success": true,
            "message": "Failed migration check job scheduled successfully",
            "jobId": fleet_job().to_string(),
            "scheduledAt": at,
            "duration": ms(began),
        });
        return Ok(Reply::json(StatusCode::ACCEPTED, &answer));
    }
    let (counts, lost) = count(app).await?;
    look_again(app, &lost).await?;
    let answer = json!({
        "success": true,
        "message": "Failed migration check completed",
        "result": counts,
        "executedAt": at,
        "duration": ms(began),
    });
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// `GET /api/instances/migration/scheduler/status`.
pub(crate) async fn status(app: &App) -> Result<Reply, ApiError> {
    let (queue, workers) = app.queue.overview().await?;
    let is_running = workers.alive(queue.now).next().is_some();
    let (redis, keys) = (app.store.redis().clone(), app.store.keys().clone());
    let report = FleetStore::new(redis, keys).report().await?;
    let next = app.queue.show(&fleet_job()).await?;
    let mut issues = Vec::new();
    if !is_running {
        issues.push("no worker is alive".to_owned());
    }
    if !report.gap.is_empty() {
        issues.push(format!("the last list was not whole: {}", report.gap));
    }
    let time = |at: Millis| (at.0 > 0).then(|| at.iso());
    let answer = json!({
        "success": true,
        "message": "Migration scheduler status retrieved successfully",
        "status": {
            "isRunning": is_running,
            "isEnabled": app.spot.policy != SpotPolicy::None,
            "policy": app.spot.policy.as_str(),
            "dryRun": app.spot.dry_run,
            "lastExecution": time(report.started_at),
            "nextExecution": next.and_then(|job| job.at).and_then(time),
            "totalExecutions": report.number,
            "failedExecutions": report.incomplete,
            "currentJobId": fleet_job().to_string(),
            "uptime": app.health.started.elapsed().as_secs_f64(),
        },
        "healthDetails": {
            "healthy": issues.is_empty(),
            "status": if issues.is_empty() { "healthy" } else { "unhealthy" },
            "issues": issues,
        },
        "retrievedAt": Millis::now().iso(),
    });
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// `POST /api/instances/migration/scheduler/trigger`: has the provider's list read now.
pub(crate) async fn trigger(app: &App) -> Result<Reply, ApiError> {
    let began = Instant::now();
    look_again(app, &[]).await?;
    let answer = json!({
        "success": true,
        "message": "Migration job triggered successfully",
        "jobId": fleet_job().to_string(),
        "triggeredAt": Millis::now().iso(),
        "duration": ms(began),
    });
    Ok(Reply::json(StatusCode::ACCEPTED, &answer))
}

/// Makes a pass due, and the reconciles of these.
async fn look_again(app: &App, lost: &[Job]) -> Result<(), ApiError> {
    read_anew(app).await?;
    let (redis, keys) = (app.store.redis().clone(), app.store.keys().clone());
    let queue = Queue::new(redis, keys, Duration::ZERO);
    for jobs in lost.chunks(BATCH) {
        queue.enqueue(jobs).await?;
    }
    Ok(())
}

/// How many there are, and the reconciles of those that were taken back.
async fn count(app: &App) -> Result<(Counts, Vec<Job>), ApiError> {
    let (mut counts, mut lost) = (Counts::default(), Vec::new());
    for page in 0.. {
        let records = app.store.page(page * PAGE, PAGE).await?.records;
        for record in &records {
            let Some(status) = record.status.as_ref().filter(|status| is_spot(status)) else {
                continue;
            };
            counts.add(status);
            if status.spot.lost.is_some() {
                let instance = record.spec.id.clone();
                lost.push(Job::Reconcile { instance });
            }
        }
        if records.len() < PAGE as usize {
            break;
        }
    }
    Ok((counts, lost))
}

fn is_spot(status: &Status) -> bool {
    let attempt = status.current();
    let is_spot = attempt.is_some_and(|a| a.offer.billing_mode == BillingMode::Spot);
    is_spot && status.was_ready && !status.is_closed()
}

impl Counts {
    fn add(&mut self, status: &Status) {
        self.total_checked += 1;
        let migration = status.spot.migration.as_ref();
        self.failed_jobs_found += usize::from(migration.is_some_and(|asked| asked.failed));
        let beside = status.beside.as_ref();
        let is_recreated = beside.is_some_and(|beside| beside.role == Role::Replacement);
        self.instances_recreated += usize::from(is_recreated);
    }
}

fn ms(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}

/// The job that finds what was taken back.
fn fleet_job() -> JobId {
    let name = Periodic::Fleet;
    Job::Periodic { name }.id()
}
