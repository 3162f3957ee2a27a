//! The sweeper's decisions: each rule by itself, and all of them over generated fleets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say so"
)]

mod age;
mod fleets;
mod guards;
mod ownership;
mod quarantine;
mod rebuild;
mod records;
mod recovery;
mod scene;
