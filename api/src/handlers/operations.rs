//! Operations: what became of a request for change.

use http::StatusCode;
use shared::model::OperationId;

use super::Input;
use crate::app::App;
use crate::error::ApiError;
use crate::reply::Reply;
use crate::view::OperationDetails;

/// `GET /api/operations/{id}`.
pub(crate) async fn read(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let unknown = || ApiError::NoOperation(input.id.chars().take(128).collect());
    let id: OperationId = input.id.parse().map_err(|_| unknown())?;
    let operation = app.store.operation(&id).await?.ok_or_else(unknown)?;
    Ok(Reply::json(
        StatusCode::OK,
        &OperationDetails::of(&operation),
    ))
}
