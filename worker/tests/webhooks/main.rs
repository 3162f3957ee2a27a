//! Deliveries by a real worker process: what receivers get, what the log says, what nobody may see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod gone;
mod killed;
mod patience;
mod retries;
mod rig;
mod secrets;
