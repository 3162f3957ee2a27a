//! The runner when jobs, workers and Redis misbehave, against a real `redis-server`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say so"
)]

mod log;
mod pause;
mod periodic;
mod poison;
mod process;
mod rig;
mod shutdown;
