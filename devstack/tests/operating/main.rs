//! What operators rely on, asked of the real processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests state expectations"
)]

mod configuration;
mod metrics;
mod page;
mod probes;
