//! A record of the predecessor's → a record of ours. Pure: the same arguments give the same record.
//!
//! Nothing that follows from an import creates, stops or deletes anything: what was stopped is only
//! believed to be, and if the provider says that it runs, it runs; what was being created is looked for
//! under its name and never ordered; and every record counts as one that was ready once, so that no
//! deadline ever discards what it holds.

#[cfg(test)]
mod tests;

use serde_json::{Value, json};
use shared::clock::Millis;
use shared::model::operation::Failure;
use shared::model::status::{Health, Power, Timestamps};
use shared::model::{
    Actor, Attempt, AttemptState, BillingMode, Cause, CreateOptions, Desired, Ending, EnvVar,
    Event, EventId, EventKind, InstanceId, Offer, OperationId, OperationState, Phase, PhaseChange,
    PolicyStop, PortKind, PortMapping, ProviderFacts, PublishedPort, Spec, Status, StopReason,
};
use shared::store::MAX_AHEAD;

use super::context::Beside;
use super::family::is_orphaned;
use super::life::{Life, life};
use super::request::request;
use super::state::State;
use super::text::Reason;

/// What stands where the predecessor did not know.
pub const UNKNOWN: &str = "unknown";
const NAME_MAX: usize = 100;

/// Everything that is written for one instance, in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// What is wanted.
    pub spec: Spec,
    /// What is.
    pub status: Status,
    /// The first entry of the event log; it has the whole record of the predecessor's, secrets left out.
    pub event: Event,
    /// It bears its name, as long as no other does.
    pub takes_name: bool,
    /// When it was closed, if nothing is left of it.
    pub closed_at: Option<Millis>,
    /// When it was used last.
    pub last_used: Option<Millis>,
    /// Its environment, in clear.
    pub envs: Vec<EnvVar>,
}

/// The record of ours for one of the predecessor's that was stored at `written`.
///
/// `keeps_envs` tells that its environment can be stored encrypted.
///
/// # Errors
/// An identifier that could break a key or a path.
pub fn import(
    state: &State,
    source: Value,
    written: Millis,
    beside: &Beside,
    now: Millis,
    keeps_envs: bool,
) -> Result<Import, Reason> {
    let unusable = |error| format!("its id {error}");
    let id: InstanceId = state.id.parse().map_err(unusable)?;
    let life = life(state, written, beside);
    let spec = spec(state, &id, life, beside, now, keeps_envs)?;
    let mut status = status(state, &spec, life, beside, Times { written, now });
    let change = PhaseChange {
        from: status.logged_phase,
        to: Phase::of(&spec, Some(&status)),
    };
    status.logged_phase = change.to;
    let event = Event {
        id: event_id(&format!("import_{id}"))?,
        instance_id: id,
        number: 1,
        kind: EventKind::RecordImported,
        at: now,
        reason: "taken over from the predecessor, together with what it knew".to_owned(),
        cause: Cause::policy("IMPORT"),
        actor: Actor::Operator,
        change: Some(change),
        data: json!({ "record": archived(source), "writtenAt": written, "beside": beside }),
    };
    let latest = now.plus(MAX_AHEAD.as_millis() as u64);
    Ok(Import {
        takes_name: !status.is_closed(),
        closed_at: status.timestamps.terminated,
        last_used: state.timestamps.last_used.0.map(|used| used.min(latest)),
        envs: if keeps_envs {
            state.configuration.envs.clone()
        } else {
            Vec::new()
        },
        spec,
        status,
        event,
    })
}

/// An id of an event or a webhook that is the same at every try.
pub fn event_id(rest: &str) -> Result<EventId, Reason> {
    let id = format!("msg_{rest}");
    id.parse().map_err(|error| format!("its id {error}"))
}

/// The record as the predecessor had it, without the values of its environment.
#[must_use]
pub fn archived(source: Value) -> Value {
    let mut record = super::text::without_markers(source);
    let envs = record.pointer_mut("/configuration/envs");
    if let Some(Value::Array(envs)) = envs {
        for variable in envs {
            if let Some(variable) = variable.as_object_mut() {
                variable.retain(|name, _| name == "key");
            }
        }
    }
    record
}

fn spec(
    state: &State,
    id: &InstanceId,
    life: Life,
    beside: &Beside,
    now: Millis,
    keeps_envs: bool,
) -> Result<Spec, Reason> {
    let configuration = &state.configuration;
    let created = state.timestamps.created.0.unwrap_or(now);
    let checks = state
        .health_check
        .as_ref()
        .map(|health| health.config.ours());
    let is_ours_to_judge = !is_orphaned(&state.id) && life != Life::Unfinished;
    Ok(Spec {
        id: id.clone(),
        name: name(&state.name),
        product_name: known(beside.product_name()),
        template_id: known(&state.template_id.0),
        gpu_num: configuration.gpu_num,
        rootfs_size: configuration.rootfs_size,
        region: Some(configuration.region.clone()).filter(|region| !region.is_empty()),
        billing_mode: beside.billing_mode(),
        options: CreateOptions {
            ports: Some(ports(state)).filter(|ports| !ports.is_empty()),
            image_auth_id: configuration.image_auth.clone().filter(|id| !id.is_empty()),
            health_check: checks,
            // What nobody here asked for is only watched.
            protected: !is_ours_to_judge,
            has_envs: keeps_envs && !configuration.envs.is_empty(),
            ..CreateOptions::default()
        },
        webhook_url: state.webhook_url.clone(),
        desired: Desired::Running,
        generation: 1,
        created_at: created,
        request: request(state, life, beside, now)?,
        past_operations: Vec::new(),
    })
}

fn ports(state: &State) -> Vec<PublishedPort> {
    let ports = state.configuration.ports.iter();
    ports
        .map(|port| PublishedPort {
            port: port.port,
            kind: match port.kind.as_str() {
                "http" | "https" => PortKind::Http,
                _ => PortKind::Tcp,
            },
        })
        .collect()
}

/// The two clocks of an import.
#[derive(Clone, Copy)]
struct Times {
    /// When the predecessor stored the record.
    written: Millis,
    /// When the import began, by the target's clock.
    now: Millis,
}

fn status(state: &State, spec: &Spec, life: Life, beside: &Beside, times: Times) -> Status {
    let Times { written, now } = times;
    let status = Status {
        observed_generation: 1,
        attempts: attempts(state, spec, life, beside),
        provider: life.word(state, beside).map(|word| ProviderFacts {
            status: word,
            port_mappings: mappings(state),
            seen_at: written,
            ..ProviderFacts::default()
        }),
        health: health(state, life),
        was_ready: true,
        first_seen: Some(now),
        timestamps: timestamps(state, life, now),
        events: 1,
        last_error: state.last_error.as_deref().map(failure),
        ..Status::default()
    };
    standing(status, spec, life, times)
}

/// What a reconcile needs to know beside the facts, so that it goes on where the predecessor stood.
fn standing(mut status: Status, spec: &Spec, life: Life, times: Times) -> Status {
    let accepted = spec.operation();
    let done = |at| accepted.clone().ended(OperationState::Succeeded, None, at);
    match life {
        Life::Running { .. } | Life::Moving | Life::Gone { .. } => {
            status.operation = Some(done(times.written));
        }
        Life::Starting => {
            // The predecessor called already: nobody calls again before a minute shows no effect.
            status.power = Some(Power {
                calls: 1,
                called_at: Some(times.now),
                ..Power::begun(1, times.now)
            });
            status.operation = Some(accepted);
        }
        Life::Stopped { at } => {
            status.operation = Some(done(at));
            status.power = Some(Power::begun(1, at));
            // A stop that gives way as soon as the provider says that the instance runs.
            status.policy = Some(PolicyStop {
                reason: StopReason::Other,
                generation: 1,
                since: at,
            });
        }
        Life::Failed { at } => {
            let reason = status.last_error.clone();
            let reason = reason.unwrap_or_else(|| failure("the predecessor did not finish it"));
            status.failure = Some(reason.clone());
            status.operation = Some(accepted.ended(OperationState::Failed, Some(reason), at));
        }
        Life::Unfinished => {
            let message = "the predecessor ended before it had created it; create it again";
            status.ending = Some(Ending::Failed(Failure::new("CREATE_UNFINISHED", message)));
            status.operation = Some(accepted);
        }
    }
    status
}

fn failure(message: &str) -> Failure {
    Failure::new("PREDECESSOR_ERROR", message)
}

fn attempts(state: &State, spec: &Spec, life: Life, beside: &Beside) -> Vec<Attempt> {
    let provider_id = state.provider_id().map(str::to_owned);
    let attempt_state = match life {
        Life::Gone { .. } => AttemptState::Gone,
        Life::Failed { .. } => return Vec::new(),
        Life::Unfinished => AttemptState::Intent,
        Life::Running { .. } | Life::Starting | Life::Stopped { .. } | Life::Moving => {
            AttemptState::Acked
        }
    };
    vec![Attempt {
        number: 1,
        // The predecessor ordered under the plain name.
        marker: state.name.clone(),
        offer: Offer {
            product_id: known(&state.product_id),
            product_name: spec.product_name.clone(),
            cluster_id: known(beside.cluster_id()),
            region: known(&state.configuration.region),
            billing_mode: spec.billing_mode,
            unit_price: 0,
        },
        ports: u32::try_from(state.configuration.ports.len()).unwrap_or(u32::MAX),
        state: attempt_state,
        intent_at: spec.created_at,
        acked_at: provider_id.is_some().then_some(spec.created_at),
        provider_id,
        absences: 0,
        reason: None,
    }]
}

/// The endpoints of its last health check; the provider says them anew at the first look.
fn mappings(state: &State) -> Vec<PortMapping> {
    let results = state.health_check.iter().flat_map(|health| &health.results);
    let endpoints = results.last().and_then(|result| result.get("endpoints"));
    let mappings = endpoints.map(|endpoints| serde_json::from_value(endpoints.clone()));
    mappings.and_then(Result::ok).unwrap_or_default()
}

fn health(state: &State, life: Life) -> Option<Health> {
    let health = state.health_check.as_ref()?;
    let counts = matches!(life, Life::Running { .. } | Life::Starting);
    let started_at = health.started_at.0.filter(|_| counts)?;
    Some(Health {
        started_at,
        checks: u32::try_from(health.results.len()).unwrap_or(u32::MAX),
        report: health
            .results
            .last()
            .cloned()
            .map(super::text::without_markers),
    })
}

fn timestamps(state: &State, life: Life, now: Millis) -> Timestamps {
    let known = &state.timestamps;
    let mut timestamps = Timestamps {
        created: known.created.0,
        ..Timestamps::default()
    };
    match life {
        Life::Running { ready } => {
            timestamps.running = known.started.0.or(ready).or(known.created.0);
            timestamps.ready = ready;
        }
        Life::Stopped { at } => timestamps.stopped = Some(at),
        Life::Failed { at } => timestamps.failed = Some(at),
        Life::Gone { at } => timestamps.terminated = Some(at),
        Life::Starting | Life::Moving | Life::Unfinished => {}
    }
    timestamps.created.get_or_insert(now);
    timestamps
}

/// As much of a name as ours may have.
fn name(text: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = text
        .chars()
        .map(|c| if is_allowed(c) { c } else { '-' })
        .take(NAME_MAX)
        .collect();
    known(&name)
}

fn known(text: &str) -> String {
    let text = if text.is_empty() { UNKNOWN } else { text };
    text.to_owned()
}

/// The id of the operation that an import stands for.
pub(super) fn operation_id(text: &str) -> Result<OperationId, Reason> {
    text.parse()
        .map_err(|error| format!("its operation {error}"))
}

/// How the predecessor paid when nothing says otherwise.
pub(super) const USUAL_BILLING: BillingMode = BillingMode::Spot;
