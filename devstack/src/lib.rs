//! The whole system on one machine, with no accounts: for tests and demonstrations.

pub mod bridge;
pub mod http;
mod input;
pub mod novita;
mod process;
pub mod redis;
pub mod sink;
