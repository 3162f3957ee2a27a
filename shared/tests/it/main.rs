//! Redis, the queue and the records over both transports, against a real `redis-server`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

#[macro_use]
mod rig;

mod admin;
mod budget;
mod changes;
mod client;
mod cluster;
mod cost;
mod cost_of_settling;
mod deliveries;
mod envs;
mod events;
mod feed;
mod fleet;
mod leases;
mod look;
mod lost_replies;
mod meter;
mod oracle;
mod pace;
mod pause;
mod proxy;
mod prune;
mod queue;
mod recall;
mod schedule;
mod schema;
mod settlements;
mod stock;
mod store;
mod things;
mod usage;
mod waiting;
mod wake_ups;
