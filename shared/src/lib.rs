//! What two or more of the binaries need: the model, Redis and the queue, configuration, telemetry.

#![forbid(unsafe_code)]

pub mod admin;
pub mod backoff;
pub mod cache;
pub mod changes;
pub mod clock;
pub mod config;
pub mod envs;
pub mod fail_point;
pub mod feed;
pub mod fleet;
pub mod model;
pub mod pace;
pub mod probe;
pub mod queue;
pub mod rate;
pub mod redis;
pub mod schema;
pub mod shutdown;
pub mod stock;
pub mod store;
pub mod telemetry;
mod tls;
pub mod webhooks;

/// The version of this build, with the commit where the builder named it (`GIT_COMMIT`).
pub const VERSION: &str = env!("BUILD_VERSION");
