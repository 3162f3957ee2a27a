//! The provider's JSON (v1) as structs.
//!
//! Reading is tolerant (see [`lenient`](super::lenient)): unknown fields are skipped, unknown
//! words kept. Passwords are not read at all, and the values of environment variables never show
//! in `Debug`.

mod catalog;
mod create;
mod instance;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use catalog::{Cluster, Inventory, Product, ProductQuery, RegistryAuth, Template};
pub(super) use catalog::{Data, TemplateReply};
pub(super) use create::{CreateBody, Created, InstanceIdBody};
pub use create::{CreateRequest, Port, Protocol, Tool};
pub(super) use instance::InstanceReply;
pub use instance::{
    Instance, InstancePage, ListQuery, PortMapping, ProviderJob, ProviderStatus, SpotStatus,
    StatusError,
};

use super::lenient::or_default;
use super::words::words;

/// The id the provider gave an instance. Opaque and never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ProviderId(String);

impl ProviderId {
    /// `None` for empty text.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        (!id.is_empty()).then_some(Self(id))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An amount in 1/100 000 US dollar, the scale of all GPU prices: 35 000 is $0.35. Amounts of
/// the billing endpoints have another scale and must not be put in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HundredThousandthsUsd(pub u64);

impl TryFrom<i64> for HundredThousandthsUsd {
    type Error = std::num::TryFromIntError;

    fn try_from(value: i64) -> Result<Self, Self::Error> {
        value.try_into().map(Self)
    }
}

words! {
    /// How an instance is paid for.
    BillingMode {
        /// By the second.
        OnDemand = "onDemand",
        /// By the second at the spot price, reclaimable with an hour's notice.
        Spot = "spot",
        /// In advance.
        Monthly = "monthly",
    }
}

/// An environment variable. `Debug` shows the name alone: values are the users' secrets.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Env {
    /// The name.
    #[serde(deserialize_with = "or_default")]
    pub key: String,
    /// The value, in clear.
    #[serde(deserialize_with = "or_default")]
    pub value: String,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Env({}=***)", self.key)
    }
}
