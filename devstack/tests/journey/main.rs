//! Whole stories through every process, over both transports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests state expectations"
)]

mod books;
mod crash;
mod create;
mod drift;
mod edge;
mod failover;
mod offers;
mod options;
mod orphans;
mod past;
mod policy;
mod power;
mod spot;
mod support;
mod traffic;
