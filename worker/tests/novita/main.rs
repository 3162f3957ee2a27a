//! The provider client against a real HTTP server that gives the documented answers.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so"
)]

mod calls;
mod failures;
mod listing;
mod provider;
