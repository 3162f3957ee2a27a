//! The API as its callers, its operators and its attackers meet it: real sockets, a real Redis.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests state expectations too, and clippy only spares the tests"
)]

mod accept;
mod auth;
mod budget;
mod caches;
mod change;
mod drain;
mod edge;
mod events;
mod framing;
mod harness;
mod health;
mod idempotency;
mod jobs;
mod migration;
mod options;
mod page;
mod pause;
mod rate;
mod read;
mod redis_down;
mod reject;
mod replicas;
mod start;
mod stream;
mod usage;
mod wait;
mod webhooks;
mod worker;
