//! The provider's answer, reduced to what is kept. Passwords and variables stay behind.

use shared::clock::Millis;
use shared::model::{PortMapping, ProviderFacts};

use crate::novita::{Instance, ProviderStatus, StatusError};

/// The provider's words are kept short: they travel through statuses, events and webhooks.
const MAX_PROBLEM_CHARS: usize = 300;

/// What is kept of an instance, as it was at `now`.
pub(crate) fn of(instance: &Instance, now: Millis) -> ProviderFacts {
    ProviderFacts {
        status: instance.status.as_str().to_owned(),
        status_error: describe(&instance.status_error),
        port_mappings: instance
            .port_mappings
            .iter()
            .map(|mapping| PortMapping {
                port: mapping.port,
                endpoint: mapping.endpoint.clone(),
                kind: mapping.protocol.as_str().to_owned(),
            })
            .collect(),
        spot_status: instance.spot_status.as_str().to_owned(),
        spot_reclaim_at: instance
            .spot_reclaim_time
            .and_then(|at| u64::try_from(at).ok()),
        last_started: instance
            .last_started_at
            .and_then(|at| u64::try_from(at).ok()),
        last_stopped: instance
            .last_stopped_at
            .and_then(|at| u64::try_from(at).ok()),
        release_data_at: instance
            .release_data_at
            .and_then(|at| u64::try_from(at).ok()),
        keep_data_days: Some(instance.keep_data_day).filter(|days| *days > 0),
        seen_at: now,
    }
}

/// `oom: killed by the host`; empty when nothing is wrong.
pub(super) fn describe(error: &StatusError) -> String {
    match (error.state.as_str(), error.message.as_str()) {
        (state, "") => state.to_owned(),
        ("", message) => message.to_owned(),
        (state, message) => format!("{state}: {message}"),
    }
    .chars()
    .take(MAX_PROBLEM_CHARS)
    .collect()
}

/// The provider's word, as a decision needs it.
pub(super) trait Word {
    /// The word.
    fn word(&self) -> ProviderStatus;
}

impl Word for ProviderFacts {
    fn word(&self) -> ProviderStatus {
        ProviderStatus::from(self.status.clone())
    }
}
