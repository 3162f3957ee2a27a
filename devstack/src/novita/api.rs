//! The simulated API over HTTP: faults, authentication, dispatch, envelope.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::clock::SimTime;
use super::core::Core;
use super::error::ApiError;
use super::faults::{CannedReply, Instead, Plan};
use super::listings;
use super::order::CreateBody;
use super::query::Query;
use super::request_log::{RequestRecord, Ticket};
use super::route::{NoRoute, Route};
use super::settings::ActionBody;
use super::status::Status;
use super::wire;
use super::world::World;
use crate::http::{self as server, Answer, Body, HangUp};
use crate::input;

/// Answers one request, or does not, as the faults will have it; logs it in any case.
pub(crate) async fn answer(core: &Mutex<Core>, request: Request<Bytes>) -> Answer {
    let route = Route::of(request.method(), request.uri().path());
    let (ticket, plan) = arrive(&mut *core.lock().await, &request, route.ok());
    let answer = match route {
        Ok(route) => serve(core, &request, route, plan).await,
        Err(NoRoute::UnknownPath) => Ok(plain(StatusCode::NOT_FOUND, "404 page not found\n")),
        Err(NoRoute::WrongMethod) => Ok(server::empty(StatusCode::METHOD_NOT_ALLOWED)),
    };
    if let Some(status) = answer.as_ref().ok().map(Response::status) {
        core.lock().await.log.close(ticket, status.as_u16());
    }
    answer
}

fn arrive(core: &mut Core, request: &Request<Bytes>, route: Option<Route>) -> (Ticket, Plan) {
    let plan = route
        .map(|route| core.faults.draw(route))
        .unwrap_or_default();
    let fault = (!plan.names.is_empty()).then(|| plan.names.join("+"));
    let traceparent = request.headers().get("traceparent");
    let ticket = core.log.open(RequestRecord {
        at: core.clock.now().unix_seconds(),
        real_ms: SimTime::real().unix_millis(),
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(request.body()).into_owned(),
        traceparent: traceparent.and_then(|value| Some(value.to_str().ok()?.to_owned())),
        status: None,
        route,
        fault,
    });
    (ticket, plan)
}

async fn serve(core: &Mutex<Core>, request: &Request<Bytes>, route: Route, plan: Plan) -> Answer {
    sleep(plan.delay_before).await;
    if let Some(instead) = plan.before {
        return carry_out(instead).await;
    }
    let response = {
        let mut core = core.lock().await;
        let now = core.catch_up().await;
        let outcome = perform(&mut core, request, route, &plan, now);
        respond(outcome, &core)
    };
    sleep(plan.delay_after).await;
    match plan.after {
        Some(instead) => carry_out(instead).await,
        None => Ok(response),
    }
}

async fn carry_out(instead: Instead) -> Answer {
    match instead {
        Instead::HangUp { hold } => {
            sleep(hold).await;
            Err(HangUp)
        }
        Instead::Reply(CannedReply {
            status,
            retry_after,
            content_type,
            body,
        }) => {
            let mut response = Response::new(server::full(body));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            if let Some(retry_after) = retry_after {
                headers.insert(header::RETRY_AFTER, retry_after);
            }
            Ok(response)
        }
    }
}

fn respond(outcome: Result<Option<Value>, ApiError>, core: &Core) -> Response<Body> {
    match outcome {
        Ok(Some(mut value)) => {
            wire::apply_zero_values(&mut value, core.world.settings.zero_values);
            server::json(StatusCode::OK, &value)
        }
        Ok(None) => server::empty(StatusCode::OK),
        Err(error) => server::json(error.status, &error.to_json()),
    }
}

/// The effect of one request; `None` is a success without a body.
fn perform(
    core: &mut Core,
    request: &Request<Bytes>,
    route: Route,
    plan: &Plan,
    now: SimTime,
) -> Result<Option<Value>, ApiError> {
    if !bearer(request.headers()).is_some_and(|key| core.accepts_key(key)) {
        return Err(ApiError::unauthorized(&core.world.settings));
    }
    let world = &mut core.world;
    let max_page = world.settings.max_page_size;
    let query = &Query::parse(request.uri().query().unwrap_or_default());
    let answer = match route {
        Route::Create => {
            let order = body::<CreateBody>(request)?.into_order()?;
            json!({ "id": world.create(order, plan.failed_pull.clone(), now)? })
        }
        Route::Start | Route::Stop | Route::Restart | Route::Delete | Route::Migrate => {
            let observed = act(world, &target(request)?, route, now)?;
            return Ok(match world.settings.action_body {
                ActionBody::State => Some(observed),
                ActionBody::Object => Some(json!({})),
                ActionBody::Empty => None,
            });
        }
        Route::Get => listings::instance(world, query, plan.distortion, now)?,
        Route::List => listings::instances(world, query, plan.distortion, now)?,
        Route::Products => listings::products(&world.catalog, &world.stock, query)?,
        Route::Clusters => listings::clusters(&world.catalog),
        Route::Template => listings::template(&world.catalog, query)?,
        Route::Templates => listings::templates(&world.catalog, query, max_page)?,
        Route::Auths => listings::repository_auths(&world.catalog),
        Route::Jobs => super::jobs::list(&world.jobs, query, max_page)?,
    };
    Ok(Some(answer))
}

/// One lifecycle action, answered as clients have observed it.
fn act(world: &mut World, id: &str, route: Route, now: SimTime) -> Result<Value, ApiError> {
    let state = |state: Status| json!({ "instanceId": id, "state": state.as_str() });
    match route {
        Route::Start => world.start(id, now).map(state),
        Route::Stop => world.stop(id, now).map(state),
        Route::Migrate => world.migrate(id, now).map(|job| json!({ "jobId": job })),
        Route::Restart => world.restart(id, now).map(|_| json!({})),
        _ => world.delete(id, now).map(|_| json!({})),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(default)]
    instance_id: Option<String>,
}

fn target(request: &Request<Bytes>) -> Result<String, ApiError> {
    let id = body::<Target>(request)?.instance_id.unwrap_or_default();
    if (1..=255).contains(&id.len()) {
        Ok(id)
    } else {
        Err(ApiError::invalid(
            "instanceId",
            "must have 1 to 255 characters",
        ))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// A JSON body, declared as such.
fn body<T: DeserializeOwned>(request: &Request<Bytes>) -> Result<T, ApiError> {
    let declared = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    if !declared.is_some_and(|kind| kind.starts_with("application/json")) {
        return Err(ApiError::unreadable(
            "content-type must be application/json",
        ));
    }
    input::parse(request.body()).map_err(|problem| ApiError::unreadable(problem.to_string()))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(server::full(text));
    *response.status_mut() = status;
    response
}
