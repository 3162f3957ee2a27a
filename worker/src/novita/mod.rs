//! The GPU provider, Novita: the operations we use, their wire format, and what each failure
//! allows us to conclude.
//!
//! Nothing here retries. A create that was sent and not answered clearly may have made a paid
//! instance, so what to do next is always the caller's decision; see
//! [`NovitaError::may_have_applied`].

mod base_url;
mod client;
mod error;
mod lenient;
mod listing;
mod reason;
mod wire;
mod words;

pub use base_url::InvalidBaseUrl;
pub use client::{ApiKey, InvalidApiKey, NovitaClient, NovitaOptions, SetupError};
pub use error::{Held, HeldBy, NovitaError, Refusal, Unclear};
pub use listing::{Gap, Listing, PAGE_SIZE, Pages};
pub use reason::{Reason, ReasonClass};
pub use wire::{
    BillingMode, Cluster, CreateRequest, Env, HundredThousandthsUsd, Instance, InstancePage,
    Inventory, ListQuery, Port, PortMapping, Product, ProductQuery, Protocol, ProviderId,
    ProviderJob, ProviderStatus, RegistryAuth, SpotStatus, StatusError, Template, Tool,
};

pub use crate::outbound::CallContext;

/// The operations of the provider that we use; its second API version will be another
/// implementation.
///
/// Every call is one request within a time limit. `context` passes the trace of its cause on.
pub trait Novita: Send + Sync {
    /// All clusters.
    fn clusters(
        &self,
        context: &CallContext,
    ) -> impl Future<Output = Result<Vec<Cluster>, NovitaError>> + Send;

    /// The GPU products that match.
    fn products(
        &self,
        query: &ProductQuery,
        context: &CallContext,
    ) -> impl Future<Output = Result<Vec<Product>, NovitaError>> + Send;

    /// One template.
    fn template(
        &self,
        id: &str,
        context: &CallContext,
    ) -> impl Future<Output = Result<Template, NovitaError>> + Send;

    /// The stored registry logins, without their secrets.
    fn registry_auths(
        &self,
        context: &CallContext,
    ) -> impl Future<Output = Result<Vec<RegistryAuth>, NovitaError>> + Send;

    /// Creates a new, paid instance each time it is called.
    fn create(
        &self,
        request: &CreateRequest,
        context: &CallContext,
    ) -> impl Future<Output = Result<ProviderId, NovitaError>> + Send;

    /// One instance, with connection data.
    fn get(
        &self,
        id: &ProviderId,
        context: &CallContext,
    ) -> impl Future<Output = Result<Instance, NovitaError>> + Send;

    /// One page of the account's instances.
    fn list(
        &self,
        query: &ListQuery,
        context: &CallContext,
    ) -> impl Future<Output = Result<InstancePage, NovitaError>> + Send;

    /// Asks for a stopped instance to be started. Success means accepted, not started.
    fn start(
        &self,
        id: &ProviderId,
        context: &CallContext,
    ) -> impl Future<Output = Result<(), NovitaError>> + Send;

    /// Asks for a running instance to be stopped. Success means accepted, not stopped.
    fn stop(
        &self,
        id: &ProviderId,
        context: &CallContext,
    ) -> impl Future<Output = Result<(), NovitaError>> + Send;

    /// Asks for a running instance to be restarted. Not safe to repeat blindly.
    fn restart(
        &self,
        id: &ProviderId,
        context: &CallContext,
    ) -> impl Future<Output = Result<(), NovitaError>> + Send;

    /// Asks for an instance to be moved to another machine; what is on its disks is lost. Not safe to
    /// repeat blindly: a second call may be a second move.
    fn migrate(
        &self,
        id: &ProviderId,
        context: &CallContext,
    ) -> impl Future<Output = Result<(), NovitaError>> + Send;

    /// Asks for an instance to be deleted, irreversibly. Success means accepted, not deleted.
    fn delete(
        &self,
        id: &ProviderId,
        context: &CallContext,
    ) -> impl Future<Output = Result<(), NovitaError>> + Send;
}
