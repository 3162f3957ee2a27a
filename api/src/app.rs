//! One request from its head to its answer, its log line and its metrics.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Either, StreamBody};
use hyper::body::Incoming;
use shared::admin::Readiness;
use shared::changes::Changes;
use shared::feed::Feed;
use shared::model::{PolicyRules, Rate, SpotRules};
use shared::queue::QueueAdmin;
use shared::rate::Rates;
use shared::store::Store;
use shared::webhooks::DeliveryLog;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access_log::{Access as AccessLine, shown};
use crate::auth::{self, Access, Caller, KeyRing, Refusal};
use crate::caches::Caches;
use crate::config::{ApiConfig, Edge, Limits, Listing};
use crate::context::Context;
use crate::error::ApiError;
use crate::handlers::health::Health;
use crate::handlers::{
    Input, Listens, caches, changes, events, fleet, health, instances, jobs, migration, operations,
    queue, usage, webhooks,
};
use crate::live::Live;
use crate::rate::{self, RateLimits, Standing};
use crate::reply::{self, Reply};
use crate::router::{Endpoint, Place, Resource, Router};
use crate::sse::Frames;
use crate::target::Target;
use crate::traffic::Traffic;
use crate::{body, idempotency, metrics, openapi, prefer, security, sse};

/// The name of what no route matches, in metrics and logs.
const NO_ROUTE: &str = "none";

/// What handlers may touch.
pub(crate) struct App {
    pub(crate) store: Store,
    pub(crate) queue: QueueAdmin,
    pub(crate) deliveries: DeliveryLog,
    pub(crate) readiness: Readiness,
    pub(crate) health: Health,
    pub(crate) traffic: Traffic,
    pub(crate) limits: Limits,
    /// The most that all instances together may cost per hour.
    pub(crate) budget: Option<Rate>,
    /// How the whole fleet is listed.
    pub(crate) listing: Listing,
    /// When workers stop instances for their callers.
    pub(crate) policy: PolicyRules,
    /// What workers do about spot machines that are taken back.
    pub(crate) spot: SpotRules,
    /// Where webhooks go that name no URL.
    pub(crate) webhook_url: Option<String>,
    keys: Option<KeyRing>,
    rate_limits: RateLimits,
    edge: Edge,
    /// Callers are served, as far as possible, while Redis does not answer.
    pub(crate) has_fallback: bool,
    /// Of all keys of this deployment.
    pub(crate) prefix: String,
    /// What was read a moment ago.
    pub(crate) caches: Caches,
    /// Whom callers wait for.
    pub(crate) changes: Arc<Changes>,
    /// What happens, for whoever listens.
    pub(crate) live: Live,
    /// The document of the API.
    openapi: Reply,
    router: Router,
    /// This process is to end.
    pub(crate) draining: CancellationToken,
}

/// A request as it arrived, without its body.
struct Asked<'a> {
    head: &'a Parts,
    context: &'a Context,
    peer: IpAddr,
    started: Instant,
}

/// What turns out about a request before it is handled.
#[derive(Default)]
struct Known {
    caller: Option<Caller>,
    standing: Option<Standing>,
    /// The events that follow.
    frames: Option<Frames>,
    is_probe: bool,
}

/// A request that leads somewhere.
struct Routed {
    target: Target,
    resource: &'static Resource,
    id: String,
    key: String,
}

impl App {
    pub(crate) fn new(
        store: Store,
        readiness: Readiness,
        router: Router,
        config: &ApiConfig,
        draining: CancellationToken,
    ) -> Self {
        let rates = config.edge.rate_limit;
        let rates = rates.map(|policy| Rates::new(store.redis(), store.keys().clone(), policy));
        let changes = Arc::new(Changes::new(store.redis(), store.keys()));
        let feed = Feed::new(store.redis(), store.keys());
        Self {
            live: Live::new(feed, Arc::clone(&changes)),
            caches: Caches::new(&store, Arc::clone(&changes), &config.caches),
            changes,
            queue: QueueAdmin::new(store.redis().clone(), store.keys().clone()),
            deliveries: DeliveryLog::new(store.redis().clone(), store.keys().clone()),
            store,
            readiness,
            health: Health::new(),
            traffic: Traffic::new(),
            limits: config.limits.clone(),
            budget: config.budget,
            listing: config.listing,
            policy: config.policy.clone(),
            spot: config.spot.clone(),
            webhook_url: config.webhook_url.clone(),
            has_fallback: config.redis.has_fallback,
            prefix: config.redis.prefix.clone(),
            keys: config.keys.clone(),
            rate_limits: RateLimits::new(rates),
            edge: config.edge.clone(),
            openapi: Reply::json(StatusCode::OK, &openapi::document()),
            router,
            draining,
        }
    }

    /// Answers a request; every failure becomes an answer too.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> Response<sse::Body> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let context = Context::of(&head.headers);
        let routed = self.route(&head);
        let route = routed.as_ref().map_or(NO_ROUTE, |r| r.resource.pattern);
        let mut known = Known::default();
        let result = match routed {
            Ok(routed) => {
                let asked = Asked {
                    head: &head,
                    context: &context,
                    peer,
                    started,
                };
                // Boxed, or every connection would have room for the largest of all answers.
                let answered = Box::pin(self.answer_routed(routed, &asked, body, &mut known));
                or_panic(answered).await
            }
            Err(error) => Err(error),
        };
        let mut response = reply::response(&result, &context, self.draining.is_cancelled());
        let headers = response.headers_mut();
        if let Some(standing) = known.standing {
            standing.tell(headers);
        }
        self.edge.cors.tell(&head.headers, headers);
        if self.edge.security_headers {
            security::tell(headers);
        }
        let status = response.status();
        metrics::answered(route, &head.method, status, started.elapsed());
        if !known.is_probe {
            let is_failure = status.is_server_error();
            self.traffic.record(started.elapsed(), is_failure);
        }
        AccessLine {
            head: &head,
            route,
            status,
            started,
            context: &context,
            caller: known.caller.as_ref(),
            error: result.err(),
            is_probe: known.is_probe,
        }
        .write();
        match known.frames {
            Some(frames) => response.map(|_| Either::Right(StreamBody::new(frames))),
            None => response.map(Either::Left),
        }
    }

    fn route(&self, head: &Parts) -> Result<Routed, ApiError> {
        let target = Target::of(head)?;
        match self.router.find(&target.path) {
            Some(Place { resource, id, key }) => Ok(Routed {
                target,
                resource,
                id,
                key,
            }),
            None => Err(ApiError::NoRoute {
                method: head.method.to_string(),
                path: shown(head.uri.path()),
            }),
        }
    }

    async fn answer_routed(
        &self,
        routed: Routed,
        asked: &Asked<'_>,
        body: Incoming,
        known: &mut Known,
    ) -> Result<Reply, ApiError> {
        let (method, headers) = (&asked.head.method, &asked.head.headers);
        if method == Method::OPTIONS {
            return Ok(Reply::allowing(routed.resource.allow()));
        }
        let endpoint = routed.resource.endpoint(method)?;
        known.is_probe = endpoint.is_probe();
        if let Err(error) = self.admit(endpoint, &routed.target, asked, known).await {
            body::discard(headers, body);
            return Err(error);
        }
        let caller = known.caller.as_ref();
        let input = self.read(endpoint, routed, asked, body, caller).await?;
        let deadline = asked.started + self.limits.request_timeout;
        let reply = Box::pin(idempotency::once(self, endpoint, &input, caller, deadline)).await?;
        let reply = prefer::answer(self, headers, reply).await;
        if let Some(follow) = reply.follow.as_ref().filter(|_| method == Method::GET) {
            known.frames = Some(sse::open(self, follow).await?);
        }
        // What probes are told changes by the moment.
        let is_read = matches!(*method, Method::GET | Method::HEAD) && !known.is_probe;
        Ok(if is_read {
            reply.unless_known(headers)
        } else {
            reply
        })
    }

    /// Finds out who asks. Refuses whoever may not ask for this, or not now.
    async fn admit(
        &self,
        endpoint: Endpoint,
        target: &Target,
        asked: &Asked<'_>,
        known: &mut Known,
    ) -> Result<(), ApiError> {
        let caller = auth::authenticate(self.keys.as_ref(), &asked.head.headers, &target.query);
        let Access::Scope(scope) = Access::to(endpoint) else {
            known.caller = caller.ok();
            return Ok(());
        };
        let caller = caller.map_err(|error| self.refused(error, asked.peer))?;
        let counted = self.rate_limits.count(&caller, asked.peer).await;
        known.standing = counted.map(|(Ok(standing) | Err(standing))| standing);
        let caller = known.caller.insert(caller);
        if let Some(Err(standing)) = counted {
            let retry_after = standing.retry_after();
            return Err(ApiError::TooOften { retry_after });
        }
        caller.must_have(scope)
    }

    /// What a caller is told that could not be found out. Guessing keys gets slow.
    fn refused(&self, error: ApiError, peer: IpAddr) -> ApiError {
        metrics::refused();
        if !matches!(error, ApiError::Unauthenticated(Refusal::Wrong)) {
            return error;
        }
        match self.rate_limits.count_wrong_key(peer) {
            Some(left) => ApiError::TooOften {
                retry_after: rate::seconds(left),
            },
            None => error,
        }
    }

    async fn read(
        &self,
        endpoint: Endpoint,
        routed: Routed,
        asked: &Asked<'_>,
        body: Incoming,
        caller: Option<&Caller>,
    ) -> Result<Input, ApiError> {
        let body = if endpoint.takes_body() {
            let limits = &self.limits;
            let within = limits.request_timeout.min(limits.body_timeout);
            let by = asked.started + within;
            body::read(&asked.head.headers, body, limits.body_limit, by).await?
        } else {
            Bytes::new()
        };
        let Target { path, query } = routed.target;
        let method = asked.head.method.as_str();
        let what = [
            method.as_bytes(),
            path.as_bytes(),
            query.as_bytes(),
            body.as_ref(),
        ];
        let memo = idempotency::memo(endpoint, &asked.head.headers, caller, what)?;
        Ok(Input {
            id: routed.id,
            key: routed.key,
            query,
            body,
            memo,
            traceparent: asked.context.traceparent.clone(),
            listens: Listens::of(&asked.head.headers),
        })
    }

    pub(crate) async fn handle(
        &self,
        endpoint: Endpoint,
        input: &Input,
        caller: Option<&Caller>,
    ) -> Result<Reply, ApiError> {
        match endpoint {
            Endpoint::CreateInstance => instances::create(self, input).await,
            Endpoint::ListInstances => instances::list(self, input).await,
            Endpoint::ReadInstance => instances::read(self, input).await,
            Endpoint::ListEvents => events::list(self, input).await,
            Endpoint::ListFleetEvents => events::of_fleet(self, input).await,
            Endpoint::ChangeInstance(wish) => changes::by_id(self, input, wish).await,
            Endpoint::ChangeNamedInstance(wish) => changes::by_name(self, input, wish).await,
            Endpoint::StopAllInstances => changes::stop_all(self, input).await,
            Endpoint::TouchInstance => usage::touch(self, input).await,
            Endpoint::AutoStopStats => usage::stats(self).await,
            Endpoint::TriggerAutoStop => usage::trigger(self, input).await,
            Endpoint::CheckFailedMigrations => migration::check_failed(self, input).await,
            Endpoint::MigrationStatus => migration::status(self).await,
            Endpoint::TriggerMigration => migration::trigger(self).await,
            Endpoint::ListFleet => fleet::comprehensive(self, input).await,
            Endpoint::SyncFleet => fleet::sync(self, input).await,
            Endpoint::ReadOperation => operations::read(self, input).await,
            Endpoint::ListJobs => jobs::list(self, input).await,
            Endpoint::ReadJob => jobs::read(self, input).await,
            Endpoint::RetryJob => jobs::retry(self, input).await,
            Endpoint::RetryDeadJobs => jobs::retry_dead(self, input).await,
            Endpoint::DropJob => jobs::drop_dead(self, input).await,
            Endpoint::QueueStats => queue::stats(self).await,
            Endpoint::PauseQueue => queue::pause(self, input).await,
            Endpoint::ResumeQueue => queue::resume(self, input).await,
            Endpoint::ListDeliveries => webhooks::list(self, input).await,
            Endpoint::ReadDelivery => webhooks::read(self, input).await,
            Endpoint::ReplayDelivery => webhooks::replay(self, input).await,
            Endpoint::ReplayDeliveries => webhooks::replay_range(self, input).await,
            Endpoint::TestWebhook => webhooks::test(self, input).await,
            Endpoint::CacheStats => caches::stats(self).await,
            Endpoint::OneCacheStats => caches::stats_of_one(self, input).await,
            Endpoint::ClearCaches => caches::clear(self, input).await,
            Endpoint::CleanUpCaches => caches::clean_up(self).await,
            Endpoint::RemoveCacheEntry => caches::remove(self, input).await,
            Endpoint::ResetCaches => caches::reset(self, input).await,
            Endpoint::CacheSchedule => Ok(caches::schedule()),
            Endpoint::RunCacheSchedule => caches::run_schedule(self).await,
            Endpoint::Health => Ok(health::health(self, caller).await),
            Endpoint::Live => Ok(health::live()),
            Endpoint::Ready => health::ready(self).await,
            Endpoint::OpenApi => Ok(self.openapi.clone()),
            Endpoint::Page(asset) => Ok(asset.reply()),
        }
    }
}

/// A panic costs one request, not the connection and its other requests.
async fn or_panic<T>(work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(ApiError::Panicked(text.unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_that_tells_the_caller_nothing() {
        let result: Result<(), _> = or_panic(async { panic!("secret {}", 1) }).await;
        let error = result.unwrap_err();
        assert!(error.to_string().contains("secret 1"));
        let face = error.face();
        assert_eq!(face.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!face.message.contains("secret"));
    }
}
