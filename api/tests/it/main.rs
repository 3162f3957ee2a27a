//! The API as its callers, its operators and its attackers meet it: real sockets, a real Redis.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests state expectations too, and clippy only spares the tests"
)]

mod accept;
mod budget;
mod change;
mod drain;
mod events;
mod framing;
mod harness;
mod health;
mod jobs;
mod migration;
mod options;
mod pause;
mod read;
mod redis_down;
mod reject;
mod start;
mod usage;
mod webhooks;
mod worker;
