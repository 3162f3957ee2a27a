//! The provider as the reconciler sees it: the same calls, watched.

use std::time::Instant;

use crate::novita::{
    self, CallContext, Cluster, CreateRequest, Instance, Listing, Novita, NovitaError, Product,
    ProductQuery, ProviderId, RegistryAuth, Template,
};
use crate::pulse::ProviderHealth;

/// Calls the provider and remembers how that went, for the worker's heartbeat.
pub(crate) struct Provider<N> {
    novita: N,
    health: ProviderHealth,
    context: CallContext,
}

impl<N: Novita> Provider<N> {
    pub(crate) fn new(novita: N, health: ProviderHealth) -> Self {
        Self {
            novita,
            health,
            context: CallContext::default(),
        }
    }

    async fn watched<T>(
        &self,
        call: impl Future<Output = Result<T, NovitaError>>,
    ) -> Result<T, NovitaError> {
        let started = Instant::now();
        let result = call.await;
        let answered = !matches!(
            &result,
            Err(NovitaError::NotSent(_) | NovitaError::Unclear(_))
        );
        self.health.note(answered, started.elapsed());
        result
    }

    pub(crate) async fn clusters(&self) -> Result<Vec<Cluster>, NovitaError> {
        self.watched(self.novita.clusters(&self.context)).await
    }

    pub(crate) async fn products(&self, query: &ProductQuery) -> Result<Vec<Product>, NovitaError> {
        self.watched(self.novita.products(query, &self.context))
            .await
    }

    pub(crate) async fn template(&self, id: &str) -> Result<Template, NovitaError> {
        self.watched(self.novita.template(id, &self.context)).await
    }

    pub(crate) async fn registry_auths(&self) -> Result<Vec<RegistryAuth>, NovitaError> {
        self.watched(self.novita.registry_auths(&self.context))
            .await
    }

    pub(crate) async fn create(&self, request: &CreateRequest) -> Result<ProviderId, NovitaError> {
        self.watched(self.novita.create(request, &self.context))
            .await
    }

    pub(crate) async fn get(&self, id: &ProviderId) -> Result<Instance, NovitaError> {
        self.watched(self.novita.get(id, &self.context)).await
    }

    pub(crate) async fn start(&self, id: &ProviderId) -> Result<(), NovitaError> {
        self.watched(self.novita.start(id, &self.context)).await
    }

    pub(crate) async fn stop(&self, id: &ProviderId) -> Result<(), NovitaError> {
        self.watched(self.novita.stop(id, &self.context)).await
    }

    pub(crate) async fn restart(&self, id: &ProviderId) -> Result<(), NovitaError> {
        self.watched(self.novita.restart(id, &self.context)).await
    }

    pub(crate) async fn delete(&self, id: &ProviderId) -> Result<(), NovitaError> {
        self.watched(self.novita.delete(id, &self.context)).await
    }

    /// Every instance whose name contains `name`, and whether that is all of them.
    pub(crate) async fn list_all(&self, name: &str) -> Listing {
        novita::list_all(&self.novita, Some(name), &self.context).await
    }
}
