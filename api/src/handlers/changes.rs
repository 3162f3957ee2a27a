//! Start, stop, restart and delete: a wish is written down, a worker fulfils it.

use futures_util::StreamExt;
use futures_util::stream;
use http::StatusCode;
use serde::Serialize;
use shared::clock::Millis;
use shared::fail_point::FailPoint;
use shared::model::spec::Request;
use shared::model::{HealthCheck, InstanceId, OperationId, Phase, Spec, Status};
use shared::store::{Accepted, Promise, Recalled, Record};
use utoipa::ToSchema;

use super::instances::{instance_id, record};
use super::{Input, problem};
use crate::app::App;
use crate::budget;
use crate::create::webhook_url;
use crate::error::ApiError;
use crate::health_check;
use crate::idempotency::recalled;
use crate::json;
use crate::reply::Reply;
use crate::validate::{self, Fields};
use crate::wish::{Decision, Wish};

/// A change that lost this often against others is given back to its caller.
const CHANGE_ATTEMPTS: u32 = 5;
/// What callers are told to expect of a start, as the predecessor did; nothing is measured here.
const STARTED_AFTER_MS: u64 = 3 * 60_000;
/// Instances that `stop-all` looks at in one read.
const PAGE: u64 = 200;
/// Wishes of `stop-all` that are written at the same time.
const AT_ONCE: usize = 16;

#[derive(Serialize, ToSchema)]
#[schema(as = ChangeAccepted)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer<'a> {
    instance_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    novita_instance_id: Option<&'a str>,
    operation_id: &'a str,
    status: Phase,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    estimated_ready_time: Option<String>,
}

/// What a wish says about how it is to be fulfilled.
#[derive(Debug, Clone, Default)]
struct Terms {
    webhook_url: Option<String>,
    health_check: Option<HealthCheck>,
    traceparent: Option<String>,
}

impl Terms {
    fn read(fields: &mut Fields, input: &Input, wish: Wish) -> Self {
        let boots = matches!(wish, Wish::Start | Wish::Restart);
        let health_check = boots.then(|| health_check::of_boot(fields)).flatten();
        Self {
            webhook_url: webhook_url(fields),
            health_check,
            traceparent: input.traceparent.clone(),
        }
    }
}

/// What became of one instance in `stop-all`.
#[derive(Serialize, ToSchema)]
#[schema(as = StopAccepted)]
#[serde(rename_all = "camelCase")]
struct Stopped {
    instance_id: String,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = StopsAccepted)]
pub(crate) struct AllStopped {
    success: bool,
    message: String,
    count: usize,
    failed: usize,
    results: Vec<Stopped>,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// `POST /api/instances/{id}/start` and its siblings, `DELETE /api/instances/{id}`.
pub(crate) async fn by_id(app: &App, input: &Input, wish: Wish) -> Result<Reply, ApiError> {
    let id = instance_id(input)?;
    let mut fields = Fields::new(json::object(&input.body)?);
    let terms = Terms::read(&mut fields, input, wish);
    fields.finish(input.parameter("strict")?.as_deref() == Some("true"))?;
    answer(app, input, &id, wish, terms).await
}

/// `POST /api/instances/start` and its siblings, for the instance that bears a name.
pub(crate) async fn by_name(app: &App, input: &Input, wish: Wish) -> Result<Reply, ApiError> {
    let mut fields = Fields::new(json::object(&input.body)?);
    let name = fields.optional_text("instanceName", validate::MAX_NAME, |name| {
        validate::wrong_with_name("Instance name", name)
    });
    let terms = Terms::read(&mut fields, input, wish);
    fields.finish(input.parameter("strict")?.as_deref() == Some("true"))?;
    let name = name.ok_or_else(|| ApiError::Invalid {
        message: nameless(wish),
        problems: vec![problem("instanceName", nameless(wish).to_owned())],
    })?;
    let id = app.store.id_of(&name).await?;
    let id = id.ok_or(ApiError::NoInstance(name))?;
    answer(app, input, &id, wish, terms).await
}

/// `POST /api/instances/stop-all`: every instance that runs or will.
pub(crate) async fn stop_all(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let terms = Terms {
        traceparent: input.traceparent.clone(),
        ..Terms::default()
    };
    let mut running = Vec::new();
    for page in 0.. {
        let records = app.store.page(page * PAGE, PAGE).await?.records;
        let is_last = records.len() < PAGE as usize;
        let wanted = |record: &Record| Wish::Stop.decide(record) == Decision::Change;
        running.extend(
            records
                .into_iter()
                .filter(wanted)
                .map(|record| record.spec.id),
        );
        if is_last {
            break;
        }
    }
    let results: Vec<Stopped> = stream::iter(running)
        .map(async |id| {
            let done = wished(app, &id, Wish::Stop, terms.clone(), |_| None).await;
            stopped(id.as_str(), done)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let failed = results.iter().filter(|result| !result.success).count();
    tracing::info!(
        count = results.len(),
        failed,
        "all instances are to be stopped"
    );
    let all = AllStopped {
        success: failed == 0,
        message: format!("Stop initiated for {} instances", results.len() - failed),
        count: results.len() - failed,
        failed,
        results,
        timestamp: Millis::now().iso(),
    };
    Ok(Reply::json(StatusCode::ACCEPTED, &all))
}

fn stopped(id: &str, result: Result<Done, ApiError>) -> Stopped {
    let instance_id = id.to_owned();
    // What nobody promised was never done before.
    let result = result.and_then(|done| match done {
        Done::Now(wished) => Ok(*wished),
        Done::Before(_) => Err(ApiError::Contended),
    });
    match result {
        Ok(Wished { spec, .. }) => Stopped {
            instance_id,
            success: true,
            operation_id: Some(spec.request.operation_id.to_string()),
            error: None,
        },
        Err(error) => Stopped {
            instance_id,
            success: false,
            operation_id: None,
            error: Some(error.face().message),
        },
    }
}

async fn answer(
    app: &App,
    input: &Input,
    id: &InstanceId,
    wish: Wish,
    terms: Terms,
) -> Result<Reply, ApiError> {
    let promise = |wished: &Wished| input.promise(&wished.reply(wish));
    match wished(app, id, wish, terms, promise).await? {
        Done::Now(wished) if wished.is_new => Ok(wished.reply(wish).known()),
        Done::Now(wished) => Ok(wished.reply(wish)),
        Done::Before(known) => recalled(known),
    }
}

/// An instance after something was wished of it.
struct Wished {
    spec: Spec,
    status: Option<Status>,
    /// It was not so, or on its way, before.
    is_new: bool,
}

/// What became of a wish that could be fulfilled.
enum Done {
    /// It is written down, or was not needed.
    Now(Box<Wished>),
    /// The same request came before.
    Before(Recalled),
}

impl Wished {
    fn reply(&self, wish: Wish) -> Reply {
        let phase = Phase::of(&self.spec, self.status.as_ref());
        let boots = matches!(wish, Wish::Start | Wish::Restart) && self.is_new;
        let requested = &self.spec.request;
        let answer = Answer {
            instance_id: self.spec.id.as_str(),
            novita_instance_id: self.status.as_ref().and_then(Status::provider_id),
            operation_id: requested.operation_id.as_str(),
            status: phase,
            message: if self.is_new {
                format!("Instance {} accepted", wish.verb())
            } else {
                format!("Instance is already {}", phase.as_str())
            },
            estimated_ready_time: boots.then(|| requested.at.plus(STARTED_AFTER_MS).iso()),
        };
        let reply = Reply::json(StatusCode::ACCEPTED, &answer);
        reply.following(&requested.operation_id)
    }
}

/// Writes a wish down, once, with what its caller is promised.
async fn wished(
    app: &App,
    id: &InstanceId,
    wish: Wish,
    terms: Terms,
    promise: impl Fn(&Wished) -> Option<Promise>,
) -> Result<Done, ApiError> {
    for _ in 0..CHANGE_ATTEMPTS {
        let record = record(app, id).await?;
        match wish.decide(&record) {
            Decision::Change => {}
            Decision::Existing => {
                return Ok(Done::Now(Box::new(Wished {
                    spec: record.spec,
                    status: record.status,
                    is_new: false,
                })));
            }
            Decision::Unknown => return Err(ApiError::NoInstance(id.to_string())),
            Decision::Refuse(why) => return Err(ApiError::NotPossible { wish, why }),
        }
        let mut spec = wanting(&record.spec, wish, terms.clone());
        spec.request.claim = budget::of_change(app.budget, &record, wish);
        FailPoint::ApiChangeRead.reached();
        let wished = Box::new(Wished {
            spec,
            status: record.status.clone(),
            is_new: true,
        });
        let (spec, promise) = (&wished.spec, promise(&wished));
        let accepted = app.store.change_once(&record, spec, promise.as_ref());
        match accepted.await? {
            Accepted::Yes => {
                FailPoint::ApiChangeAccepted.reached();
                app.caches.changed(id);
                return Ok(Done::Now(wished));
            }
            Accepted::Known(known) => return Ok(Done::Before(known)),
            // Another request was faster; what it wanted is to be read first.
            Accepted::Conflict | Accepted::NameTaken(_) => {}
            Accepted::OverBudget(reserved) => return Err(budget::exceeded(reserved, spec)),
        }
    }
    Err(ApiError::Contended)
}

fn wanting(spec: &Spec, wish: Wish, terms: Terms) -> Spec {
    let request = Request {
        operation_id: OperationId::generate(),
        kind: wish.kind(),
        at: Millis::now(),
        webhook_url: terms.webhook_url,
        health_check: terms.health_check,
        claim: None,
        traceparent: terms.traceparent,
    };
    spec.wanting(wish.desired(), request)
}

/// The predecessor's words when no name is given.
fn nameless(wish: Wish) -> &'static str {
    match wish {
        Wish::Start => "Instance name is required for name-based starting",
        Wish::Stop => "Instance name is required for name-based stopping",
        Wish::Restart => "Instance name is required for name-based restarting",
        Wish::Delete => "Instance name is required for name-based deletion",
    }
}
