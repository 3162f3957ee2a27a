//! The provider as the rest of the worker calls it: the same calls, each in its lane.
//!
//! A call goes out when its lane's breaker lets it (`breaker`), no 429 holds it back (`hold`), and the
//! pace that all replicas share has a token for it (`gate`, `lot`), for which it waits a little. What may
//! not go out comes back as [`NovitaError::Held`], which says when to try again and is nobody's failure.

mod gate;
mod health;
mod hold;
mod lot;
mod spare;

use std::time::Duration;

use shared::pace::{Lane, Pace};
use tokio::time::{Instant, sleep};

use self::gate::{Gate, Pass};
pub use self::health::ProviderHealth;
use crate::metrics;
use crate::novita::{
    CallContext, Cluster, CreateRequest, Held, Instance, InstancePage, ListQuery, Listing, Novita,
    NovitaError, Pages, Product, ProductQuery, ProviderId, RegistryAuth, Template,
};

/// How long a list that has begun waits for further pages that are held back. To begin anew would take
/// more calls than to go on.
const LIST_PATIENCE: Duration = Duration::from_secs(60);
/// Before a page that was held back is asked for again.
const HELD_AT_LEAST: Duration = Duration::from_millis(100);

/// Something that is asked of the provider, and the lane it takes.
#[derive(Debug, Clone, Copy)]
struct Operation {
    name: &'static str,
    lane: Lane,
}

impl Operation {
    const CLUSTERS: Self = Self::new("clusters", Lane::Observe);
    const PRODUCTS: Self = Self::new("products", Lane::Observe);
    const TEMPLATE: Self = Self::new("template", Lane::Observe);
    const REGISTRY_AUTHS: Self = Self::new("registry_auths", Lane::Observe);
    const GET: Self = Self::new("get", Lane::Observe);
    const LIST: Self = Self::new("list", Lane::Observe);
    const CREATE: Self = Self::new("create", Lane::Create);
    const START: Self = Self::new("start", Lane::Create);
    const RESTART: Self = Self::new("restart", Lane::Create);
    const MIGRATE: Self = Self::new("migrate", Lane::Create);
    const STOP: Self = Self::new("stop", Lane::Save);
    const DELETE: Self = Self::new("delete", Lane::Save);

    const fn new(name: &'static str, lane: Lane) -> Self {
        Self { name, lane }
    }
}

/// Calls the provider at the pace of the deployment, and remembers how that went.
pub struct Provider<N> {
    novita: N,
    gate: Gate,
    health: ProviderHealth,
}

/// The right to order one instance now: a token that is paid for, and a breaker that lets it pass.
#[must_use = "an order that is not sent should not have been paid for"]
pub struct CreatePermit(Pass);

impl<N: Novita> Provider<N> {
    /// Calls `novita`, at the pace that all who share the same keys keep together.
    pub fn new(novita: N, health: ProviderHealth, pace: Pace) -> Self {
        Self {
            novita,
            gate: Gate::new(pace, health.clone()),
            health,
        }
    }

    async fn call<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, NovitaError>>,
    ) -> Result<T, NovitaError> {
        let pass = self.gate.admit(operation.lane).await?;
        self.send(operation, pass, call).await
    }

    async fn send<T>(
        &self,
        operation: Operation,
        pass: Pass,
        call: impl Future<Output = Result<T, NovitaError>>,
    ) -> Result<T, NovitaError> {
        let started = Instant::now();
        let result = call.await;
        let took = started.elapsed();
        let failure = result.as_ref().err();
        let outcome = failure.map_or("ok", NovitaError::outcome);
        metrics::provider_called(operation.lane, operation.name, outcome, took);
        let is_answered = !matches!(
            failure,
            Some(NovitaError::NotSent(_) | NovitaError::Unclear(_))
        );
        self.health.note(is_answered, took);
        pass.conclude(is_answered);
        if let Some(NovitaError::RateLimited { retry_after, .. }) = failure {
            self.gate.limited(*retry_after).await;
        }
        result
    }

    /// All clusters.
    ///
    /// # Errors
    /// Those of [`Novita::clusters`], or the call was held back.
    pub async fn clusters(&self) -> Result<Vec<Cluster>, NovitaError> {
        let context = CallContext::current();
        let call = self.novita.clusters(&context);
        self.call(Operation::CLUSTERS, call).await
    }

    /// The GPU products that match.
    ///
    /// # Errors
    /// Those of [`Novita::products`], or the call was held back.
    pub async fn products(&self, query: &ProductQuery) -> Result<Vec<Product>, NovitaError> {
        let context = CallContext::current();
        let call = self.novita.products(query, &context);
        self.call(Operation::PRODUCTS, call).await
    }

    /// One template.
    ///
    /// # Errors
    /// Those of [`Novita::template`], or the call was held back.
    pub async fn template(&self, id: &str) -> Result<Template, NovitaError> {
        let context = CallContext::current();
        let call = self.novita.template(id, &context);
        self.call(Operation::TEMPLATE, call).await
    }

    /// The stored registry logins, without their secrets.
    ///
    /// # Errors
    /// Those of [`Novita::registry_auths`], or the call was held back.
    pub async fn registry_auths(&self) -> Result<Vec<RegistryAuth>, NovitaError> {
        let context = CallContext::current();
        let call = self.novita.registry_auths(&context);
        self.call(Operation::REGISTRY_AUTHS, call).await
    }

    /// Waits until an order may be sent. To be asked for before the intent is written down: an order
    /// must never stay unclear only because it was held back. Nothing holds back the permitted order.
    ///
    /// # Errors
    /// It may not be sent soon.
    pub async fn admit_create(&self) -> Result<CreatePermit, Held> {
        self.gate.admit(Lane::Create).await.map(CreatePermit)
    }

    /// Creates a new, paid instance each time it is called; sent in any case.
    ///
    /// # Errors
    /// Those of [`Novita::create`].
    pub async fn create(
        &self,
        permit: CreatePermit,
        request: &CreateRequest,
    ) -> Result<ProviderId, NovitaError> {
        let context = CallContext::current();
        let call = self.novita.create(request, &context);
        self.send(Operation::CREATE, permit.0, call).await
    }

    /// One instance, with connection data.
    ///
    /// # Errors
    /// Those of [`Novita::get`], or the call was held back.
    pub async fn get(&self, id: &ProviderId) -> Result<Instance, NovitaError> {
        let context = CallContext::current();
        let call = self.novita.get(id, &context);
        self.call(Operation::GET, call).await
    }

    /// Asks for a stopped instance to be started.
    ///
    /// # Errors
    /// Those of [`Novita::start`], or the call was held back.
    pub async fn start(&self, id: &ProviderId) -> Result<(), NovitaError> {
        let context = CallContext::current();
        let call = self.novita.start(id, &context);
        self.call(Operation::START, call).await
    }

    /// Asks for a running instance to be stopped.
    ///
    /// # Errors
    /// Those of [`Novita::stop`], or the call was held back.
    pub async fn stop(&self, id: &ProviderId) -> Result<(), NovitaError> {
        let context = CallContext::current();
        let call = self.novita.stop(id, &context);
        self.call(Operation::STOP, call).await
    }

    /// Asks for a running instance to be restarted. Not safe to repeat blindly.
    ///
    /// # Errors
    /// Those of [`Novita::restart`], or the call was held back.
    pub async fn restart(&self, id: &ProviderId) -> Result<(), NovitaError> {
        let context = CallContext::current();
        let call = self.novita.restart(id, &context);
        self.call(Operation::RESTART, call).await
    }

    /// Asks for an instance to be moved to another machine. Not safe to repeat blindly.
    ///
    /// # Errors
    /// Those of [`Novita::migrate`], or the call was held back.
    pub async fn migrate(&self, id: &ProviderId) -> Result<(), NovitaError> {
        let context = CallContext::current();
        let call = self.novita.migrate(id, &context);
        self.call(Operation::MIGRATE, call).await
    }

    /// Asks for an instance to be deleted, irreversibly.
    ///
    /// # Errors
    /// Those of [`Novita::delete`], or the call was held back.
    pub async fn delete(&self, id: &ProviderId) -> Result<(), NovitaError> {
        let context = CallContext::current();
        let call = self.novita.delete(id, &context);
        self.call(Operation::DELETE, call).await
    }

    /// Every instance whose name contains `name`, and whether that is all of them. Each page is a call.
    pub async fn list_all(&self, name: &str) -> Listing {
        let query = ListQuery {
            name: Some(name.to_owned()),
            ..ListQuery::default()
        };
        self.list_each(query, |instance| instance).await
    }

    /// Of every instance that matches `query` what `keep` makes of it, and whether that is all of them.
    /// Each page is a call, and none is kept longer than it takes.
    pub async fn list_each<T>(
        &self,
        query: ListQuery,
        mut keep: impl FnMut(Instance) -> T,
    ) -> Listing<T> {
        let mut pages = Pages::new(query);
        let mut patience = LIST_PATIENCE;
        loop {
            let page = self.page(pages.query()).await;
            if let (Err(NovitaError::Held(held)), Some(_)) = (&page, pages.total())
                && let Some(left) = patience.checked_sub(held.wait.max(HELD_AT_LEAST))
            {
                sleep(held.wait.max(HELD_AT_LEAST)).await;
                patience = left;
                continue;
            }
            if let Some(listing) = pages.take(page, &mut keep) {
                return listing;
            }
        }
    }

    /// The same of a list that changes while it is read, unless there are more than `most`: `None` then.
    pub(crate) async fn list_few<T>(
        &self,
        query: ListQuery,
        most: u64,
        mut keep: impl FnMut(Instance) -> T,
    ) -> Option<Listing<T>> {
        let mut pages = Pages::moving(query);
        loop {
            let page = self.page(pages.query()).await;
            if let Some(listing) = pages.take(page, &mut keep) {
                return Some(listing);
            }
            if pages.total().is_some_and(|total| total > most) {
                return None;
            }
        }
    }

    async fn page(&self, query: &ListQuery) -> Result<InstancePage, NovitaError> {
        let context = CallContext::current();
        let call = self.novita.list(query, &context);
        self.call(Operation::LIST, call).await
    }
}
