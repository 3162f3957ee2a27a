//! One request from its head to its answer, its log line and its metrics.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use shared::admin::Readiness;
use shared::model::{PolicyRules, Rate, SpotRules};
use shared::queue::QueueAdmin;
use shared::store::Store;
use shared::webhooks::DeliveryLog;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{ApiConfig, Limits, Listing};
use crate::context::Context;
use crate::error::ApiError;
use crate::handlers::health::Health;
use crate::handlers::{
    Input, changes, events, fleet, health, instances, jobs, migration, operations, queue, usage,
    webhooks,
};
use crate::reply::{self, Reply};
use crate::router::{Endpoint, Resource, Router};
use crate::target::Target;
use crate::traffic::Traffic;
use crate::{body, metrics};

/// The name of what no route matches, in metrics and logs.
const NO_ROUTE: &str = "none";
/// Longest path in a message or a log line.
const MAX_SHOWN_PATH: usize = 256;

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
    router: Router,
    draining: CancellationToken,
}

/// A request that leads somewhere.
struct Routed {
    target: Target,
    resource: &'static Resource,
    id: String,
}

impl App {
    pub(crate) fn new(
        store: Store,
        readiness: Readiness,
        router: Router,
        config: &ApiConfig,
        draining: CancellationToken,
    ) -> Self {
        Self {
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
            router,
            draining,
        }
    }

    /// Answers a request; every failure becomes an answer too.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let context = Context::of(&head.headers);
        let routed = self.route(&head);
        let route = routed.as_ref().map_or(NO_ROUTE, |r| r.resource.pattern);
        let endpoint = routed.and_then(|routed| {
            let endpoint = routed.resource.endpoint(&head.method)?;
            Ok((endpoint, routed))
        });
        let mut is_probe = false;
        let result = match endpoint {
            Ok((endpoint, routed)) => {
                is_probe = endpoint.is_probe();
                let done = self.serve(endpoint, routed, &head, body, started);
                or_panic(done).await
            }
            Err(error) => Err(error),
        };
        let response = reply::response(&result, &context, self.draining.is_cancelled());
        let status = response.status();
        metrics::answered(route, &head.method, status, started.elapsed());
        if !is_probe {
            let is_failure = status.is_server_error();
            self.traffic.record(started.elapsed(), is_failure);
        }
        Access {
            head: &head,
            route,
            status,
            started,
            context: &context,
            error: result.err(),
            is_probe,
        }
        .log();
        response
    }

    fn route(&self, head: &Parts) -> Result<Routed, ApiError> {
        let target = Target::of(head)?;
        match self.router.find(&target.path) {
            Some((resource, id)) => Ok(Routed {
                target,
                resource,
                id,
            }),
            None => Err(ApiError::NoRoute {
                method: head.method.to_string(),
                path: shown(head.uri.path()),
            }),
        }
    }

    async fn serve(
        &self,
        endpoint: Endpoint,
        routed: Routed,
        head: &Parts,
        body: Incoming,
        started: Instant,
    ) -> Result<Reply, ApiError> {
        let deadline = started + self.limits.request_timeout;
        let body = if endpoint.takes_body() {
            let by = deadline.min(started + self.limits.body_timeout);
            body::read(&head.headers, body, self.limits.body_limit, by).await?
        } else {
            Bytes::new()
        };
        let input = Input {
            id: routed.id,
            query: routed.target.query,
            body,
        };
        timeout_at(deadline, self.handle(endpoint, &input))
            .await
            .unwrap_or(Err(ApiError::Overdue))
    }

    async fn handle(&self, endpoint: Endpoint, input: &Input) -> Result<Reply, ApiError> {
        match endpoint {
            Endpoint::CreateInstance => instances::create(self, input).await,
            Endpoint::ListInstances => instances::list(self, input).await,
            Endpoint::ReadInstance => instances::read(self, input).await,
            Endpoint::ListEvents => events::list(self, input).await,
            Endpoint::ChangeInstance(wish) => changes::by_id(self, input, wish).await,
            Endpoint::ChangeNamedInstance(wish) => changes::by_name(self, input, wish).await,
            Endpoint::StopAllInstances => changes::stop_all(self).await,
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
            Endpoint::Health => Ok(health::health(self).await),
            Endpoint::Live => Ok(health::live()),
            Endpoint::Ready => health::ready(self).await,
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

/// One line of the access log.
struct Access<'a> {
    head: &'a Parts,
    route: &'static str,
    status: StatusCode,
    started: Instant,
    context: &'a Context,
    error: Option<ApiError>,
    is_probe: bool,
}

impl Access<'_> {
    fn log(&self) {
        let method = self.head.method.as_str();
        let path = shown(self.head.uri.path());
        let (route, status) = (self.route, self.status.as_u16());
        let duration_ms = self.started.elapsed().as_micros() as f64 / 1000.0;
        let request_id = self.context.request_id.as_str();
        let correlation_id = self.context.correlation_id.as_str();
        let error = self.error.as_ref().map(chain);
        // The macro wants its level at compile time, so the fields stand here three times.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method,
                    path,
                    route,
                    status,
                    duration_ms,
                    request_id,
                    correlation_id,
                    error,
                    "request"
                )
            };
        }
        if self.status.is_server_error() && !self.is_probe {
            line!(error);
        } else if self.is_probe {
            line!(debug);
        } else {
            line!(info);
        }
    }
}

/// An error with everything that caused it.
fn chain(error: &ApiError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn shown(path: &str) -> String {
    path.chars().take(MAX_SHOWN_PATH).collect()
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
