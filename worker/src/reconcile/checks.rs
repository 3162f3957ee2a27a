//! How the endpoints of an instance are checked: as its caller said, else as this worker was told.

use std::time::Duration;

use shared::model::{Spec, Status};

use crate::config::ReconcileConfig;
use crate::health::{Endpoint, EndpointKind};

/// The longest wait between two health checks.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest wait for one endpoint: while it lasts, no other wish about the instance is heard.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// The checks of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checks {
    /// The only port to check.
    target: Option<u16>,
    /// For one endpoint.
    pub(super) timeout: Duration,
    /// From running to ready.
    pub(super) max_wait: Duration,
    attempts: u32,
    delay: Duration,
}

impl Checks {
    pub(super) fn of(spec: &Spec, config: &ReconcileConfig) -> Self {
        let asked = spec.health_check();
        let millis = |asked: Option<u32>, default| {
            asked.map_or(default, |ms| Duration::from_millis(ms.into()))
        };
        Self {
            target: asked.target_port,
            timeout: millis(asked.timeout_ms, config.health_timeout).min(TIMEOUT_MAX),
            max_wait: millis(asked.max_wait_time_ms, config.health_max),
            attempts: asked.retry_attempts.unwrap_or(config.health_attempts),
            delay: millis(asked.retry_delay_ms, config.health_delay),
        }
    }

    /// The endpoints to check, of those that show.
    pub(super) fn endpoints(&self, status: &Status) -> Vec<Endpoint> {
        let mappings = status.provider.as_ref().map(|facts| &facts.port_mappings);
        let mappings = mappings.into_iter().flatten();
        mappings
            .filter(|mapping| self.target.is_none_or(|target| mapping.port == target))
            .map(|mapping| Endpoint {
                port: mapping.port,
                kind: if mapping.kind == "http" {
                    EndpointKind::Http
                } else {
                    EndpointKind::Tcp
                },
                endpoint: mapping.endpoint.clone(),
            })
            .collect()
    }

    /// How many of them there have to be, of so many ordered ports.
    pub(super) fn wanted(&self, ordered: u32) -> usize {
        self.target.map_or(ordered as usize, |_| 1)
    }

    /// Before the next check, after so many.
    pub(super) fn wait(&self, checks: u32) -> Duration {
        let doublings = checks.min(self.attempts).saturating_sub(1);
        (self.delay * 2_u32.pow(doublings)).min(WAIT_MAX)
    }
}
