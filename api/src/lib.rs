//! The HTTP front door: validates, writes what is wanted into Redis, and reads what is.
//!
//! Stateless: any number of replicas answer alike. It never talks to the provider.

#![forbid(unsafe_code)]

mod app;
mod bill;
mod body;
mod budget;
mod config;
mod connection;
mod context;
mod create;
mod error;
mod handlers;
mod health_check;
mod json;
mod metrics;
mod options;
mod price;
mod process;
mod reply;
mod router;
mod server;
mod system;
mod target;
mod traffic;
mod validate;
mod view;
pub mod webhooks_cli;
mod wish;

pub use config::{ApiArgs, ApiConfig, Cli, CliCommand};
pub use process::{Listeners, StartError, run, start};
