//! Instances: accept a wish, read what is.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;
use shared::clock::Millis;
use shared::fail_point::FailPoint;
use shared::model::{InstanceId, Phase, Spec};
use shared::store::{Accepted, Record};
use utoipa::ToSchema;

use super::cached::{Cached, cached};
use super::query::Query;
use super::{Input, fresh};
use crate::app::App;
use crate::caches::Known;
use crate::create::NewInstance;
use crate::error::{ApiError, Problem};
use crate::idempotency::recalled;
use crate::listed::Foreign;
use crate::reply::Reply;
use crate::view::InstanceDetails;
use crate::{budget, create, json};

/// What callers are told to expect, as the predecessor did; nothing is measured here.
const READY_AFTER_MS: u64 = 4 * 60_000;
/// The length of a list nobody asked to cut into pages.
const UNPAGED: u64 = 1000;
const DEFAULT_PAGE_SIZE: u64 = 20;
pub(crate) const MAX_PAGE_SIZE: u64 = 100;
pub(crate) const MAX_PAGE: u64 = 1_000_000;

#[derive(Serialize, ToSchema)]
#[schema(as = CreateAccepted)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer<'a> {
    instance_id: &'a str,
    operation_id: &'a str,
    status: Phase,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    estimated_ready_time: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = InstanceList)]
pub(crate) struct List<'a> {
    instances: Vec<InstanceDetails<'a>>,
    total: u64,
}

/// `POST /api/instances`: durable before it is answered; a worker does the rest.
pub(crate) async fn create(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let is_strict = input.parameter("strict")?.as_deref() == Some("true");
    let now = Millis::now();
    let body = json::object(&input.body)?;
    let keeps_envs = app.store.can_keep_envs();
    let NewInstance { mut spec, envs } = create::read(body, is_strict, keeps_envs, now)?;
    spec.request.claim = budget::of_create(app.budget, spec.options.max_price_per_hour)?;
    spec.request.traceparent.clone_from(&input.traceparent);
    FailPoint::ApiCreateRead.reached();
    let reply = created(&spec);
    let promise = input.promise(&reply);
    let accepted = app.store.create_once(&spec, &envs, promise.as_ref());
    match accepted.await? {
        Accepted::Yes => {
            FailPoint::ApiCreateAccepted.reached();
            app.caches.changed(&spec.id);
            Ok(reply.known())
        }
        Accepted::Known(known) => recalled(known),
        Accepted::NameTaken(holder) => {
            let name = spec.name;
            Err(ApiError::NameTaken { name, holder })
        }
        Accepted::Conflict => Err(ApiError::Contended),
        Accepted::OverBudget(reserved) => Err(budget::exceeded(reserved, &spec)),
    }
}

fn created(spec: &Spec) -> Reply {
    let answer = Answer {
        instance_id: spec.id.as_str(),
        operation_id: spec.request.operation_id.as_str(),
        status: Phase::of(spec, None),
        message: "Instance creation accepted",
        estimated_ready_time: Some(spec.created_at.plus(READY_AFTER_MS).iso()),
    };
    let location = format!("/api/instances/{}", spec.id);
    let reply = Reply::json(StatusCode::CREATED, &answer).at(location);
    reply.following(&spec.request.operation_id)
}

/// `GET /api/instances`: newest first.
pub(crate) async fn list(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let (offset, limit) = window(input)?;
    let (listed, cached) = cached(app.caches.listing(offset, limit).await)?;
    let (known, total) = listed
        .as_ref()
        .map_or((&[][..], 0), |listed| (&listed.instances[..], listed.total));
    let instances = known
        .iter()
        .map(|known| InstanceDetails::of(&known.record, known.used))
        .collect();
    Ok(cached.onto(Reply::json(StatusCode::OK, &List { instances, total })))
}

/// `GET /api/instances/{id}`, by our id or by the provider's; shows a removed instance as `terminated`.
pub(crate) async fn read(app: &App, input: &Input) -> Result<Reply, ApiError> {
    let id = instance_id(input)?;
    let is_fresh = fresh::is_wanted(input)?;
    let (mut instance, mut cached) = match known(app, &id).await {
        Err(ApiError::NoInstance(_)) => match app.store.bound_to(id.as_str()).await? {
            Some(ours) => known(app, &ours).await,
            None => return foreign(app, &id).await,
        },
        known => known,
    }?;
    if is_fresh {
        let id = &instance.record.spec.id;
        fresh::instance(app, id).await?;
        (instance, cached) = known(app, id).await?;
    }
    let record = &instance.record;
    let details = InstanceDetails::of(record, instance.used).with_segments(record);
    Ok(cached.onto(Reply::json(StatusCode::OK, &details)))
}

/// One that the provider's list shows, and that is not ours.
async fn foreign(app: &App, id: &InstanceId) -> Result<Reply, ApiError> {
    let seen = fresh::store(app).foreign(id.as_str()).await?;
    let (sighting, _) = seen
        .of(id.as_str())
        .ok_or_else(|| ApiError::NoInstance(id.to_string()))?;
    Ok(Reply::json(
        StatusCode::OK,
        &Foreign::of(sighting, seen.complete_at),
    ))
}

async fn known(app: &App, id: &InstanceId) -> Result<(Arc<Known>, Cached), ApiError> {
    let (known, cached) = cached(app.caches.instance(id).await)?;
    let known = known.ok_or_else(|| ApiError::NoInstance(id.to_string()))?;
    Ok((known, cached))
}

pub(super) async fn record(app: &App, id: &InstanceId) -> Result<Record, ApiError> {
    let record = app.store.record(id).await?;
    record.ok_or_else(|| ApiError::NoInstance(id.to_string()))
}

pub(super) fn instance_id(input: &Input) -> Result<InstanceId, ApiError> {
    input.id.parse().map_err(|_| ApiError::Invalid {
        message: "Invalid instance ID",
        problems: vec![Problem {
            field: "instanceId".to_owned(),
            message: "Instance ID must contain only alphanumeric characters, hyphens, and \
                      underscores"
                .to_owned(),
            value: Some(input.id.chars().take(64).collect::<String>().into()),
        }],
    })
}

/// Offset and length of the page that was asked for.
fn window(input: &Input) -> Result<(u64, u64), ApiError> {
    let mut query = Query::of(input);
    let page = query.whole("page", 1..=MAX_PAGE);
    let size = query.whole("pageSize", 1..=MAX_PAGE_SIZE);
    query.finish()?;
    if page.is_none() && size.is_none() {
        return Ok((0, UNPAGED));
    }
    let size = size.unwrap_or(DEFAULT_PAGE_SIZE);
    Ok(((page.unwrap_or(1) - 1) * size, size))
}
