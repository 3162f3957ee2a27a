//! The jobs of the queue, for administrators.

use http::StatusCode;
use shared::queue::view::{JobView, PageView, RetriedView, RevivalView};
use shared::queue::{Exhumed, JobId, JobState, QueueAdmin};

use super::Input;
use super::query::Query;
use crate::app::App;
use crate::error::ApiError;
use crate::json;
use crate::reply::Reply;
use crate::validate::{Fields, Whole};

const DEFAULT_LIMIT: u64 = 50;
pub(crate) const MAX_OFFSET: u64 = 1_000_000_000;
/// Longest id in a message; no id that this version makes is longer.
const MAX_SHOWN_ID: usize = 160;
pub(crate) const REVIVAL_LIMIT: Whole = Whole {
    name: "limit",
    label: "Limit",
    units: ["", ""],
    range: 1..=1000,
    default: 1000,
};

/// `GET /api/jobs`: a page of the jobs in one state.
pub(crate) async fn list(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let mut query = Query::of(input);
    let states = JobState::ALL.map(|state| (state.as_str(), state));
    let state = query.word("state", &states);
    let limit = query.whole("limit", 1..=QueueAdmin::PAGE as u64);
    let offset = query.whole("offset", 0..=MAX_OFFSET);
    query.finish()?;
    let (limit, offset) = (limit.unwrap_or(DEFAULT_LIMIT), offset.unwrap_or(0));
    let page = app
        .queue
        .list(state, offset as usize, limit as usize)
        .await?;
    Ok(Reply::json(StatusCode::OK, &PageView::new(state, page)))
}

/// `GET /api/jobs/{id}`.
pub(crate) async fn read(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let job = app.queue.show(&job_id(input)).await?;
    let job = job.ok_or_else(|| unknown(input))?;
    Ok(Reply::json(StatusCode::OK, &JobView::from(job)))
}

/// `POST /api/jobs/{id}/retry`: a dead job begins anew.
pub(crate) async fn retry(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let id = job_id(input);
    only_dead(app.queue.retry(&id).await?, input)?;
    tracing::info!(job = %id, "a dead job begins anew by request");
    let retried = RetriedView {
        id: id.to_string(),
        state: JobState::Due,
    };
    Ok(Reply::json(StatusCode::OK, &retried))
}

/// `DELETE /api/jobs/{id}`: a dead job is removed for good.
pub(crate) async fn drop_dead(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let id = job_id(input);
    only_dead(app.queue.drop_dead(&id).await?, input)?;
    tracing::info!(job = %id, "a dead job was removed by request");
    Ok(Reply::no_content())
}

/// `POST /api/jobs/dead/retry`: the dead begin anew, those that died first before the others.
pub(crate) async fn retry_dead(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let mut fields = Fields::new(json::object(&input.body)?);
    let limit = fields.whole(&REVIVAL_LIMIT);
    // A misspelt limit would be none.
    fields.finish(true)?;
    let retried = app.queue.retry_dead(limit as usize).await?;
    tracing::info!(retried, "dead jobs begin anew by request");
    let remaining = app.queue.dead().await?;
    let revival = RevivalView { retried, remaining };
    Ok(Reply::json(StatusCode::OK, &revival))
}

fn job_id(input: &Input) -> JobId {
    JobId::stored(input.id.clone())
}

fn unknown(input: &Input) -> ApiError {
    ApiError::NoJob(shown(input))
}

fn only_dead(exhumed: Exhumed, input: &Input) -> Result<(), ApiError> {
    match exhumed {
        Exhumed::Yes => Ok(()),
        Exhumed::NotDead(state) => Err(ApiError::JobNotDead {
            id: shown(input),
            state,
        }),
        Exhumed::Unknown => Err(unknown(input)),
    }
}

fn shown(input: &Input) -> String {
    input.id.chars().take(MAX_SHOWN_ID).collect()
}
