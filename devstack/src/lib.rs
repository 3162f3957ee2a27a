//! The whole system on one machine, with no accounts: for tests and demonstrations.

pub mod audit;
pub mod bench;
pub mod benchmarks;
pub mod bridge;
pub mod delay;
pub mod demo;
pub mod http;
mod input;
pub mod machine;
pub mod novita;
pub mod outside;
mod process;
pub mod receiver;
pub mod redis;
pub mod screen;
pub mod service;
pub mod sink;
pub mod stack;
