//! What a caller may ask of a create beyond the necessary.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::policy::AutoStop;

/// Everything optional that a caller asked for; the default asks for nothing.
///
/// The values of environment variables are secrets and are not here: they are kept encrypted, see
/// [`crate::envs`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateOptions {
    /// The most that the whole instance may cost per hour, disk included, in 1/100 000 US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_price_per_hour: Option<u64>,
    /// The only regions to try, in this order; empty leaves them to the worker's configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// On-demand offers count once no spot offer can be had.
    #[serde(skip_serializing_if = "is_false")]
    pub on_demand_fallback: bool,
    /// Which of several offers is the best.
    #[serde(skip_serializing_if = "is_default")]
    pub prefer: Prefer,
    /// Ports to publish instead of the template's; an empty list publishes none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<PublishedPort>>,
    /// The container's command instead of the template's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The entry point instead of the template's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<String>,
    /// The provider's id of a registry login, instead of the template's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_auth_id: Option<String>,
    /// How its endpoints are checked, at every boot that does not say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Whether it is stopped when nobody uses it, where the worker's rules are not to count.
    #[serde(skip_serializing_if = "is_default")]
    pub auto_stop: AutoStop,
    /// The longest time it runs after its create or last start, in hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime_hours: Option<u32>,
    /// No rule of ours ever stops or deletes it.
    #[serde(skip_serializing_if = "is_false")]
    pub protected: bool,
    /// Environment variables of the caller's are stored beside this spec.
    #[serde(skip_serializing_if = "is_false")]
    pub has_envs: bool,
}

impl CreateOptions {
    /// Nothing was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        is_default(self)
    }
}

/// Which of several offers is the best.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Prefer {
    /// The cheapest, strictly.
    #[default]
    Price,
    /// The best stocked of those that cost at most 5 % more than the cheapest.
    Steady,
}

impl Prefer {
    /// Our callers' word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Steady => "steady",
        }
    }
}

/// A port of the instance that callers can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedPort {
    /// 1 to 65535, except 2222 to 2224, which the provider keeps for itself.
    pub port: u16,
    /// How it is published.
    #[serde(rename = "type")]
    pub kind: PortKind,
}

/// How a port is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PortKind {
    /// Through the provider's HTTPS proxy.
    Http,
    /// At a high port of a proxy host.
    Tcp,
}

/// How the endpoints of a running instance are checked; what is absent is the worker's to decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HealthCheckConfig)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// The only port to check, instead of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_port: Option<u16>,
    /// Longest wait for one endpoint, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// Checks whose waits still grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_attempts: Option<u32>,
    /// First wait between checks, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_delay_ms: Option<u32>,
    /// Longest time from running to ready, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait_time_ms: Option<u32>,
}

impl HealthCheck {
    /// These settings where they say something, else `other`'s.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            target_port: self.target_port.or(other.target_port),
            timeout_ms: self.timeout_ms.or(other.timeout_ms),
            retry_attempts: self.retry_attempts.or(other.retry_attempts),
            retry_delay_ms: self.retry_delay_ms.or(other.retry_delay_ms),
            max_wait_time_ms: self.max_wait_time_ms.or(other.max_wait_time_ms),
        }
    }
}

/// An environment variable. `Debug` shows the name alone: values are the users' secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// The name.
    pub key: String,
    /// The value, in clear.
    pub value: String,
}

impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvVar({}=***)", self.key)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes members by reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_for_is_nothing_stored() {
        let stored = serde_json::to_string(&CreateOptions::default()).unwrap();
        assert_eq!(stored, "{}");
        let read: CreateOptions = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, CreateOptions::default());
    }

    #[test]
    fn a_value_of_a_variable_never_shows() {
        let env = EnvVar {
            key: "TOKEN".into(),
            value: "hunter2".into(),
        };
        assert_eq!(format!("{env:?}"), "EnvVar(TOKEN=***)");
    }
}
