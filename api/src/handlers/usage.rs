//! Who uses what, and what becomes of what nobody uses.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use shared::clock::Millis;
use shared::model::policy::{decide, stop_in_effect};
use shared::model::{PolicyStep, StopReason};
use shared::queue::{BATCH, Job, Queue};
use shared::store::Record;
use utoipa::ToSchema;

use super::Input;
use super::instances::instance_id;
use crate::app::App;
use crate::error::ApiError;
use crate::json;
use crate::reply::Reply;
use crate::validate::Fields;

/// Longer than every ISO 8601 text of a time.
const MAX_TIME: usize = 64;
/// Instances that are looked at in one read.
const PAGE: u64 = 200;

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Used<'a> {
    instance_id: &'a str,
    #[schema(format = DateTime)]
    last_used_at: String,
    message: &'a str,
}

/// The rules, under the predecessor's names, and what they come to now.
#[derive(Serialize, ToSchema)]
#[schema(as = AutoStopStats)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    scheduler_running: bool,
    check_interval_minutes: u64,
    default_inactivity_threshold_minutes: u64,
    startup_grace_period_minutes: u64,
    creation_grace_period_minutes: u64,
    enabled_by_default: bool,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lifetime_hours: Option<u64>,
    #[serde(flatten)]
    counts: Counts,
}

/// How many instances are in which relation to the rules.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = AutoStopCounts)]
#[serde(rename_all = "camelCase")]
struct Counts {
    /// They run, and will be stopped unless something happens.
    watched: usize,
    /// Their stop is announced.
    announced: usize,
    /// They would be stopped, if this were no dry run.
    withheld: usize,
    /// Nobody uses them: they are stopped, or on their way there.
    stopped_idle: usize,
    /// They ran for as long as they may: the same.
    stopped_lifetime: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AutoStopCheck)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Triggered<'a> {
    message: &'a str,
    dry_run: bool,
    #[schema(format = DateTime)]
    timestamp: String,
    /// Instances about which a rule decides.
    checked: usize,
    /// Those of them for which it asks for a stop now.
    eligible: usize,
}

/// `PUT /api/instances/{id}/last-used`.
pub(crate) async fn touch(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let id = instance_id(input)?;
    let mut fields = Fields::new(json::object(&input.body)?);
    let text = fields.optional_text("lastUsedAt", MAX_TIME, |text| {
        let message = "Last used time must be a valid ISO date string";
        Millis::parse_iso(text)
            .is_none()
            .then(|| message.to_owned())
    });
    fields.finish(input.parameter("strict")?.as_deref() == Some("true"))?;
    let used = text.as_deref().and_then(Millis::parse_iso);
    let known = app.store.touch(&id, used).await?;
    let known = known.ok_or_else(|| ApiError::NoInstance(id.to_string()))?;
    app.caches.changed(&id);
    let answer = Used {
        instance_id: id.as_str(),
        last_used_at: known.iso(),
        message: "Last used time updated successfully",
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// `GET /api/instances/auto-stop/stats`.
pub(crate) async fn stats(app: &App) -> Result<Reply, ApiError> {
    let (queue, workers) = app.queue.overview().await?;
    let check = Check::of_all(app).await?;
    let rules = &app.policy;
    let minutes = |span: Duration| span.as_secs().div_ceil(60);
    let stats = Stats {
        scheduler_running: workers.alive(queue.now).next().is_some(),
        check_interval_minutes: minutes(rules.warning),
        default_inactivity_threshold_minutes: minutes(rules.idle),
        startup_grace_period_minutes: minutes(rules.ready_grace),
        creation_grace_period_minutes: minutes(rules.created_grace),
        enabled_by_default: rules.stops_idle,
        dry_run: rules.dry_run,
        max_lifetime_hours: rules.lifetime.map(|span| span.as_secs() / 3600),
        counts: check.counts,
    };
    Ok(Reply::json(StatusCode::OK, &stats))
}

/// `POST /api/instances/auto-stop/trigger`: tells what would be stopped; unless it is a dry run, makes
/// workers look at it now. Each look decides for itself.
pub(crate) async fn trigger(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let mut fields = Fields::new(json::object(&input.body)?);
    // As the predecessor did: whatever is not `false` stops nothing.
    let dry_run = fields.value("dryRun") != Some(false.into());
    fields.finish(false)?;
    let check = Check::of_all(app).await?;
    if !dry_run {
        let (redis, keys) = (app.store.redis().clone(), app.store.keys().clone());
        let queue = Queue::new(redis, keys, Duration::ZERO);
        for jobs in check.concerned.chunks(BATCH) {
            queue.enqueue(jobs).await?;
        }
    }
    tracing::info!(
        dry_run,
        checked = check.counts.watched,
        eligible = check.eligible,
        "idle instances were looked for by request"
    );
    let answer = Triggered {
        message: "Auto-stop check queued successfully",
        dry_run,
        timestamp: Millis::now().iso(),
        checked: check.counts.watched,
        eligible: check.eligible,
    };
    Ok(Reply::json(StatusCode::OK, &answer))
}

/// What the rules come to now, by this machine's clock: a worker decides by Redis's.
#[derive(Default)]
struct Check {
    counts: Counts,
    eligible: usize,
    /// The reconciles of those for which a rule asks for something now.
    concerned: Vec<Job>,
}

impl Check {
    async fn of_all(app: &App) -> Result<Self, ApiError> {
        let mut check = Self::default();
        for page in 0.. {
            let records = app.store.page(page * PAGE, PAGE).await?.records;
            let used = app.store.last_used_of(&records).await?;
            for (record, used) in records.iter().zip(used) {
                check.add(app, record, used);
            }
            if records.len() < PAGE as usize {
                break;
            }
        }
        Ok(check)
    }

    fn add(&mut self, app: &App, record: &Record, used: Option<Millis>) {
        let (spec, Some(status)) = (&record.spec, &record.status) else {
            return;
        };
        if let Some(stopped) = stop_in_effect(spec, status) {
            match stopped.reason {
                StopReason::Idle => self.counts.stopped_idle += 1,
                StopReason::Lifetime => self.counts.stopped_lifetime += 1,
                StopReason::Other => {}
            }
            return;
        }
        let warnings = &status.warnings;
        let step = decide(spec, status, used, Millis::now(), &app.policy);
        let is_withheld = warnings.idle.is_some_and(|warned| warned.withheld);
        if step == PolicyStep::Wait(None) && !is_withheld {
            return;
        }
        self.counts.watched += 1;
        self.counts.withheld += usize::from(is_withheld);
        let told = [warnings.idle, warnings.lifetime];
        let is_told = told.iter().flatten().any(|warned| !warned.dry_run);
        self.counts.announced += usize::from(is_told);
        let is_due = matches!(step, PolicyStep::Stop(_) | PolicyStep::Withhold(_));
        self.eligible += usize::from(is_due);
        if !matches!(step, PolicyStep::Wait(_)) {
            let instance = spec.id.clone();
            self.concerned.push(Job::Reconcile { instance });
        }
    }
}
