//! Who is asked for the addresses of a name.

use std::fmt;
use std::io;
use std::net::IpAddr;

use futures_util::future::BoxFuture;
use tokio::net::lookup_host;

/// Looks names up. What it answers is vetted by whoever asks, so it need not be trusted.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of a host name, which ends with a dot when it must be taken as it is.
    ///
    /// # Errors
    /// The name does not exist, or nobody who knows could be asked.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver, which knows `/etc/hosts` and caches as the system does.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let answer = lookup_host((name, 0)).await?;
            Ok(answer.map(|address| address.ip()).collect())
        })
    }
}
