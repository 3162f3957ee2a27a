//! The calls to the provider in their lanes: a real `redis-server`, a simulated provider.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say so"
)]

mod breakers;
mod pacing;
mod rig;
