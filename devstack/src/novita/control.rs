//! The control surface under `/_sim/`: time, faults, stock, and what the simulator saw.
//!
//! Plain HTTP and JSON without authentication, on the port of the simulated API. Times are
//! simulated Unix seconds and spans simulated seconds, except where a name ends in `Ms`: those are
//! real milliseconds. A mistake is answered 400 `{"error":"<field>: <problem>"}`, an unknown path
//! 404, a wrong method 405. Every change takes effect before it is answered.
//!
//! | Request | Effect and answer |
//! |---|---|
//! | `GET /_sim/health` | `{"status":"ok"}` |
//! | `GET /_sim/clock` | `{"now":1790000000.25,"speed":1.0}` |
//! | `POST /_sim/clock` | `{"speed":10}` (0 stops it, at most 1 000 000) and/or `{"advanceSeconds":3600}`; answers as GET. Everything that falls due on the way happens at its own moment. |
//! | `GET /_sim/settings` | delays and modes, see [`Settings`](super::Settings) |
//! | `POST /_sim/settings` | a part of them, such as `{"delays":{"pulling":90},"notFound":"not_fount"}`; answers as GET |
//! | `GET /_sim/products` | the catalogue, see [`Catalog`] |
//! | `POST /_sim/products` | replaces the given ones of `clusters`, `products`, `templates`, `repositoryAuths`, `privateRegistries`, each as a whole, and sets the stock to what `offers` say; prices of rented instances stay. Answers as GET. |
//! | `GET /_sim/stock` | `{"stock":[{"productId","clusterId","available"}]}`: GPUs free now |
//! | `POST /_sim/stock` | `{"productId","clusterId","available":0}`; answers as GET |
//! | `POST /_sim/instances/{id}` | one or more of the changes below; answers the instance as `GET /gpu/instance` does; 404 for an unknown id |
//! | `GET /_sim/faults` | `{"faults":[…]}`: the rules as set, with `remaining` and `fired` |
//! | `POST /_sim/faults` | adds one rule, see below; answers as GET |
//! | `DELETE /_sim/faults` | removes all rules; answers as GET |
//! | `GET /_sim/ledger` | `{"instances":[{"id","name","envs","status","billedSeconds","costUsd","createdAt","productId","clusterId","gpuNum","billingMode"}],"totalCostUsd","now"}`, in order of creation, removed ones included for ever |
//! | `GET /_sim/requests` | `{"requests":[{"at","realMs","method","path","query","body","status","route","fault"}]}`: requests to the simulated API, the latest 100 000; `status` is `null` without an answer; headers are never kept |
//! | `DELETE /_sim/requests` | empties the log; answers as GET |
//! | `POST /_sim/reset` | back to the start: no instances, jobs, faults or log, initial catalogue, settings, seed and clock; answers as health |
//!
//! # Changes to an instance
//!
//! | Field | Effect |
//! |---|---|
//! | `"statusError":{"state":"oom","message":"…"}` | shown beside the status; on the way up (also `pulling`) the instance stays where it is, and is billed if that status is. An empty `state` clears it. |
//! | `"spot":"notice"` | `spotStatus` becomes `notified` and `spotReclaimTime` one notice period from now |
//! | `"spot":"reclaim"` | `reclaiming` now, then `exited` |
//! | `"status":"<anything>"` | forced, unknown words included (those are billed and stay); a known transitional status goes on from there |
//! | `"healthy":false` | its http ports answer 502 until `true` |
//!
//! # Billing
//!
//! Compute is charged in every status but `pending`, `toCreate`, `creating`, `exited`, `toRemove`,
//! `removing`, `removed`: from `pulling` until the stop is complete or the removal begins, and
//! wherever the Novita API reference does not know.
//!
//! # Faults
//!
//! `{"route","kind","when","count","probability", …}`: `route` is `create`, `get`, `list`,
//! `start`, `stop`, `restart`, `delete`, `migrate`, `products`, `clusters`, `template`,
//! `templates`, `auths`, `jobs`, or `*`; `when` is `before` (default: without the effect) or
//! `after` (with it); `count` is how often (default, `null`: until cleared); `probability` 0 to 1
//! (default 1). Rules stack: latencies add up, and of those that replace the answer the first one
//! that strikes wins. A client that hangs up does not undo or prevent an effect.
//!
//! | `kind` | Fields | What happens |
//! |---|---|---|
//! | `latency` | `delayMs`, `jitterMs` (0) | a delay, plus up to the jitter |
//! | `reset` | | the connection closes without an answer |
//! | `timeout` | `holdMs` (120 000, the most) | no answer so long, then it closes |
//! | `status` | `status` (500), `reason`, `message`, `metadata`, `retryAfter`, `body` | the error envelope, or `body` as HTML |
//! | `rate_limit` | the same; `status` is 429 | `RATE_LIMIT_EXCEEDED`, with `Retry-After` only if given (number or any text) |
//! | `malformed` | the same; `status` is 200 | `body` as if it were JSON; by default a torn object |
//! | `truncated_page` | `keep` | `list` shows at most so many items of the page, `total` unchanged |
//! | `list_lag` | `seconds` | `list` or `get` show which instances there were, and in which status, so long ago |
//! | `status_error` | `state`, `message` | an instance created now gets this `statusError` on reaching `pulling` |

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::catalog::Catalog;
use super::clock::{MAX_SPEED, SimDuration};
use super::core::Core;
use super::instance::StatusError;
use super::ledger;
use super::spot::SpotAction;
use super::status::Status;
use super::wire;
use crate::http::{Answer, Body, empty, json as reply};
use crate::input::{self, BadInput};

/// Where the control surface begins.
pub(crate) const BASE: &str = "/_sim/";

/// A status word longer than this is refused.
const MAX_STATUS: usize = 63;

enum Refusal {
    Bad(BadInput),
    UnknownPath,
    UnknownInstance,
    WrongMethod,
}

impl From<BadInput> for Refusal {
    fn from(problem: BadInput) -> Self {
        Self::Bad(problem)
    }
}

/// Answers one control request.
pub(crate) async fn answer(core: &Mutex<Core>, request: Request<Bytes>) -> Answer {
    let mut core = core.lock().await;
    Ok(match control(&mut core, &request).await {
        Ok(value) => reply(StatusCode::OK, &value),
        Err(refusal) => refuse(&refusal),
    })
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let explain = |status, why: &str| reply(status, &json!({ "error": why }));
    match refusal {
        Refusal::Bad(problem) => explain(StatusCode::BAD_REQUEST, &problem.0),
        Refusal::UnknownPath => explain(StatusCode::NOT_FOUND, "no such control"),
        Refusal::UnknownInstance => explain(StatusCode::NOT_FOUND, "no such instance"),
        Refusal::WrongMethod => empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// What a path is about.
#[derive(Clone, Copy)]
enum Topic<'a> {
    Health,
    Clock,
    Settings,
    Products,
    Stock,
    Faults,
    Ledger,
    Requests,
    Reset,
    Instance(&'a str),
}

impl<'a> Topic<'a> {
    fn of(path: &'a str) -> Option<Self> {
        Some(match path.strip_prefix(BASE)? {
            "health" => Self::Health,
            "clock" => Self::Clock,
            "settings" => Self::Settings,
            "products" => Self::Products,
            "stock" => Self::Stock,
            "faults" => Self::Faults,
            "ledger" => Self::Ledger,
            "requests" => Self::Requests,
            "reset" => Self::Reset,
            path => Self::Instance(path.strip_prefix("instances/")?),
        })
    }
}

async fn control(core: &mut Core, request: &Request<Bytes>) -> Result<Value, Refusal> {
    let topic = Topic::of(request.uri().path()).ok_or(Refusal::UnknownPath)?;
    core.catch_up().await;
    match *request.method() {
        Method::GET if !matches!(topic, Topic::Reset | Topic::Instance(_)) => {}
        Method::POST => post(core, topic, request.body())?,
        Method::DELETE => match topic {
            Topic::Faults => core.faults.clear(),
            Topic::Requests => core.log.clear(),
            _ => return Err(Refusal::WrongMethod),
        },
        _ => return Err(Refusal::WrongMethod),
    }
    core.catch_up().await;
    show(core, topic)
}

fn post(core: &mut Core, topic: Topic<'_>, body: &[u8]) -> Result<(), Refusal> {
    match topic {
        Topic::Clock => set_clock(core, &input::parse(body)?)?,
        Topic::Settings => core.world.settings = input::patched(&core.world.settings, body)?,
        Topic::Products => {
            let catalog: Catalog = input::patched(&core.world.catalog, body)?;
            catalog.check()?;
            core.world.set_catalog(catalog);
        }
        Topic::Stock => set_stock(core, &input::parse(body)?)?,
        Topic::Faults => core.faults.add(body)?,
        Topic::Reset => core.reset(),
        Topic::Instance(id) => change_instance(core, id, input::parse(body)?)?,
        Topic::Health | Topic::Ledger | Topic::Requests => return Err(Refusal::WrongMethod),
    }
    Ok(())
}

/// What there is to see, after whatever changed.
fn show(core: &Core, topic: Topic<'_>) -> Result<Value, Refusal> {
    let (world, now) = (&core.world, core.clock.now());
    Ok(match topic {
        Topic::Health | Topic::Reset => json!({ "status": "ok" }),
        Topic::Clock => json!({ "now": now.unix_seconds(), "speed": core.clock.speed() }),
        Topic::Settings => json!(world.settings),
        Topic::Products => json!(world.catalog),
        Topic::Stock => world.stock.to_json(),
        Topic::Faults => core.faults.to_json(),
        Topic::Ledger => ledger::to_json(world, now),
        Topic::Requests => json!({ "requests": core.log.records().collect::<Vec<_>>() }),
        Topic::Instance(id) => {
            let instance = world.get(id).map_err(|_| Refusal::UnknownInstance)?;
            wire::details(instance, instance.status(), &world.settings, now)
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClockChange {
    speed: Option<f64>,
    advance_seconds: Option<SimDuration>,
}

fn set_clock(core: &Core, change: &ClockChange) -> Result<(), BadInput> {
    if let Some(speed) = change.speed {
        check_speed(speed)?;
        core.clock.set_speed(speed);
    }
    if let Some(span) = change.advance_seconds {
        core.clock.advance(span);
    }
    Ok(())
}

/// Simulated seconds per real second.
pub(crate) fn check_speed(speed: f64) -> Result<(), BadInput> {
    if (0.0..=MAX_SPEED).contains(&speed) {
        Ok(())
    } else {
        Err(BadInput::field(
            "speed",
            format!("expected 0 to {MAX_SPEED}"),
        ))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StockChange {
    product_id: String,
    cluster_id: String,
    available: u32,
}

fn set_stock(core: &mut Core, change: &StockChange) -> Result<(), BadInput> {
    let StockChange {
        product_id,
        cluster_id,
        available,
    } = change;
    if core.world.stock.set(product_id, cluster_id, *available) {
        Ok(())
    } else {
        let problem = format!("{product_id:?} is not offered in {cluster_id:?}");
        Err(BadInput::field("productId, clusterId", problem))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InstanceChange {
    status: Option<Status>,
    status_error: Option<StatusError>,
    spot: Option<SpotAction>,
    healthy: Option<bool>,
}

fn change_instance(core: &mut Core, id: &str, change: InstanceChange) -> Result<(), Refusal> {
    let now = core.clock.now();
    core.world.get(id).map_err(|_| Refusal::UnknownInstance)?;
    if let Some(status) = change.status {
        if !(1..=MAX_STATUS).contains(&status.as_str().len()) {
            return Err(BadInput::field("status", "expected 1 to 63 characters").into());
        }
        core.world
            .enter(id, status, now)
            .map_err(|_| Refusal::UnknownInstance)?;
    }
    if let Some(action) = change.spot {
        core.world.call_back(id, action, now)?;
    }
    let instance = core
        .world
        .instance_mut(id)
        .ok_or(Refusal::UnknownInstance)?;
    if let Some(error) = change.status_error {
        instance.set_error(error, now);
    }
    instance.healthy = change.healthy.or(instance.healthy);
    Ok(())
}
