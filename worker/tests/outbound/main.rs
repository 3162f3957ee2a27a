//! Webhooks and health checks against receivers that misbehave on real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so"
)]

mod addresses;
mod attempts;
mod health;
mod proxy;
mod support;
mod tls;
mod webhook;
