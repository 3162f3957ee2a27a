//! Webhook delivery: signing, one attempt, and when the next one is due.
//!
//! At least once and unordered: a receiver drops repeats by `webhook-id` and sorts by the
//! `sequence` in the body. The state machine around the attempts lives with the queue.

mod deliver;
mod endpoints;
mod schedule;
mod sign;

pub use deliver::{Attempt, Deliverer, DelivererOptions, Delivery, Failure, Outcome};
pub(crate) use endpoints::{Endpoints, NotYet};
pub use schedule::{MAX_ATTEMPTS, next_attempt};
pub use sign::{
    InvalidSecret, InvalidWebhookId, Secret, legacy_signature, signed_headers, standard_signature,
};
