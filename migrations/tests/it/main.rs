//! `redis-migration` as an operator runs it: the built binary, a real `redis-server`, over both transports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

#[macro_use]
mod rig;

mod backup;
mod kills;
mod layout;
mod lock;
mod node;
mod stack;
