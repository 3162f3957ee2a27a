//! The HTTP front door: validates, writes what is wanted into Redis, and reads what is.
//!
//! Stateless: any number of replicas answer alike. It never talks to the provider.

#![forbid(unsafe_code)]

mod access_log;
mod app;
mod auth;
mod bill;
mod body;
mod budget;
mod caches;
mod config;
mod connection;
mod context;
mod cors;
mod create;
mod error;
mod etag;
mod handlers;
mod health_check;
mod hex;
mod idempotency;
mod json;
mod listed;
mod live;
mod metrics;
mod openapi;
mod options;
mod page;
mod prefer;
mod price;
mod process;
mod rate;
mod reply;
mod router;
mod security;
mod server;
mod sse;
mod system;
mod target;
mod traffic;
mod validate;
mod view;
pub mod webhooks_cli;
mod wish;

pub use auth::{KeyRing, NewKey, Scope, Scopes};
pub use config::{ApiArgs, ApiConfig, CacheConfig, Cli, CliCommand, Edge};
pub use cors::Cors;
pub use process::{Listeners, StartError, run, start};
