//! The whole system on one machine, with no accounts: for tests and demonstrations.

pub mod http;
mod input;
pub mod novita;
pub mod sink;
