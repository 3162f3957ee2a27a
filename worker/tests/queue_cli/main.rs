//! `novita-worker queue`, the real binary over a real Redis.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod bench;
mod look;
mod refuse;
mod steer;
mod watch;
