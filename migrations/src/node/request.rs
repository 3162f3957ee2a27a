//! The wish behind an imported record: its create, or a start that was under way.

use shared::clock::Millis;
use shared::model::OperationKind;
use shared::model::spec::Request;

use super::context::Beside;
use super::life::Life;
use super::map::operation_id;
use super::state::State;
use super::text::Reason;

pub(super) fn request(
    state: &State,
    life: Life,
    beside: &Beside,
    now: Millis,
) -> Result<Request, Reason> {
    let mut request = Request {
        operation_id: operation_id(&format!("op_import_{}", state.id))?,
        kind: OperationKind::Create,
        at: state.timestamps.created.0.unwrap_or(now),
        webhook_url: None,
        health_check: None,
        claim: None,
        traceparent: None,
    };
    if life != Life::Starting {
        return Ok(request);
    }
    request.kind = OperationKind::Start;
    request.at = now;
    if let Some(startup) = &beside.startup {
        // Its caller follows it under this id.
        request.operation_id = operation_id(&startup.operation_id)?;
        request.at = startup.started_at.0.unwrap_or(now);
    }
    if let Some(monitor) = &beside.monitor {
        let mut checks = monitor.health_check_config.ours();
        checks.target_port = monitor.target_port.or(checks.target_port);
        request.health_check = Some(checks);
        request.webhook_url.clone_from(&monitor.webhook_url);
    }
    Ok(request)
}
