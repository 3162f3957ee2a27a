//! The queue as a whole, for administrators.

use http::StatusCode;
use shared::queue::view::{PauseView, StatsView};
use shared::queue::{JobKind, Scope};

use super::Input;
use crate::app::App;
use crate::error::ApiError;
use crate::json;
use crate::reply::Reply;
use crate::validate::Fields;

/// `GET /api/jobs/stats`.
pub(crate) async fn stats(app: &App) -> Result<Reply, ApiError> {
    let (stats, workers) = app.queue.overview().await?;
    let stats = StatsView::new(&stats, workers);
    Ok(Reply::json(StatusCode::OK, &stats))
}

/// `POST /api/queue/pause`: what is held is finished, nothing more is handed out.
pub(crate) async fn pause(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let scope = scope(input)?;
    let changed = app.queue.pause(scope).await?;
    tracing::info!(%scope, changed, "the queue was paused by request");
    Ok(answer(scope, true, changed))
}

/// `POST /api/queue/resume`.
pub(crate) async fn resume(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let scope = scope(input)?;
    let changed = app.queue.resume(scope).await?;
    tracing::info!(%scope, changed, "the queue was resumed by request");
    Ok(answer(scope, false, changed))
}

fn answer(scope: Scope, paused: bool, changed: bool) -> Reply {
    let pause = PauseView::new(scope, paused, changed);
    Reply::json(StatusCode::OK, &pause)
}

/// One kind of job, or without any the whole queue.
fn scope(input: &Input) -> Result<Scope, ApiError> {
    let mut fields = Fields::new(json::object(&input.body)?);
    let kinds = JobKind::ALL.map(JobKind::as_str);
    let message = format!("Kind must be one of: {}", kinds.join(", "));
    let word = fields.word("kind", &kinds, &message);
    // A misspelt kind would stop everything.
    fields.finish(true)?;
    let kind = JobKind::ALL
        .into_iter()
        .find(|kind| Some(kind.as_str()) == word);
    Ok(kind.map_or(Scope::All, Scope::Kind))
}
