//! `healthCheckConfig`, as creates, starts and restarts take it.

use shared::model::HealthCheck;

use crate::validate::{Fields, Whole};

pub(crate) const TIMEOUT: Whole = Whole {
    name: "timeoutMs",
    label: "Health check timeout",
    units: ["ms", "ms"],
    range: 1000..=300_000,
    default: 30_000,
};
pub(crate) const RETRY_ATTEMPTS: Whole = Whole {
    name: "retryAttempts",
    label: "Retry attempts",
    units: ["", ""],
    range: 0..=10,
    default: 3,
};
pub(crate) const RETRY_DELAY: Whole = Whole {
    name: "retryDelayMs",
    label: "Retry delay",
    units: ["ms", "ms"],
    range: 100..=30_000,
    default: 2000,
};
pub(crate) const MAX_WAIT_TIME: Whole = Whole {
    name: "maxWaitTimeMs",
    label: "Max wait time",
    units: ["ms (30 seconds)", "ms (30 minutes)"],
    range: 30_000..=1_800_000,
    default: 600_000,
};
pub(crate) const TARGET_PORT: Whole = Whole {
    name: "targetPort",
    label: "Target port",
    units: ["", ""],
    range: 1..=65535,
    default: 1,
};

/// What `healthCheckConfig` says; once it is given, what it leaves out has the predecessor's defaults.
pub(crate) fn config(fields: &mut Fields) -> Option<HealthCheck> {
    fields.object("healthCheckConfig", |config| HealthCheck {
        timeout_ms: Some(config.whole(&TIMEOUT)),
        retry_attempts: Some(config.whole(&RETRY_ATTEMPTS)),
        retry_delay_ms: Some(config.whole(&RETRY_DELAY)),
        max_wait_time_ms: Some(config.whole(&MAX_WAIT_TIME)),
        target_port: target_port(config),
    })
}

/// The same for one boot, where `targetPort` may also stand for itself, and then wins.
pub(crate) fn of_boot(fields: &mut Fields) -> Option<HealthCheck> {
    let config = config(fields);
    let Some(target_port) = target_port(fields) else {
        return config;
    };
    let target = HealthCheck {
        target_port: Some(target_port),
        ..HealthCheck::default()
    };
    Some(target.or(config.unwrap_or_default()))
}

fn target_port(fields: &mut Fields) -> Option<u16> {
    fields.optional_whole(&TARGET_PORT).map(|port| port as u16)
}
