//! Connections to addresses that somebody else chose: webhook receivers and instance endpoints.
//!
//! A URL is checked as text ([`Guard::check_url`]), its name is resolved once, every address of
//! the answer is vetted, and only those addresses are dialled: there is no second look-up an
//! attacker could answer differently. One exchange is one request on a connection of its own, so
//! nothing is resent behind the caller's back and no connection is shared between customers.

mod address;
mod dial;
mod exchange;
mod failure;
mod guard;
mod proxy;
mod resolve;
mod retry_after;
mod tls;
mod trace;

use std::sync::Arc;

use tokio_rustls::TlsConnector;

pub use address::is_public;
pub use exchange::Reply;
pub use failure::FailureReason;
pub use guard::{Guard, Target, UrlRefused};
pub use proxy::{InvalidProxy, Proxy};
pub use resolve::{Resolve, SystemResolver};
pub use retry_after::retry_after;
pub use tls::client_config;
pub use trace::CallContext;

/// The way out: a guard and the TLS settings, cheap to clone.
///
/// It follows no redirect, takes no proxy from the environment, keeps no connection and decodes no content
/// coding.
#[derive(Clone)]
pub struct Outbound {
    guard: Guard,
    resolver: Arc<dyn Resolve>,
    proxy: Option<Proxy>,
    tls: TlsConnector,
}

impl Outbound {
    /// TLS by `ring`, trusting the system's certificate authorities.
    ///
    /// Fails when the system has no usable root certificates.
    pub fn new(guard: Guard) -> Result<Self, rustls::Error> {
        Ok(Self::with_tls(guard, client_config()?))
    }

    /// The same with other TLS settings, such as private certificate authorities.
    #[must_use]
    pub fn with_tls(guard: Guard, tls: rustls::ClientConfig) -> Self {
        Self {
            guard,
            resolver: Arc::new(SystemResolver),
            proxy: None,
            tls: TlsConnector::from(Arc::new(tls)),
        }
    }

    /// The same with another resolver.
    #[must_use]
    pub fn resolving_by(self, resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, ..self }
    }

    /// The same by way of a proxy, if there is one: names are looked up and vetted here all the same.
    #[must_use]
    pub fn through(self, proxy: Option<Proxy>) -> Self {
        Self { proxy, ..self }
    }

    /// The rules this way out obeys.
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.guard
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbound")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
