//! Webhook delivery: signing, one attempt, and when the next one is due.
//!
//! At least once and unordered: a receiver drops repeats by `webhook-id` and sorts by the
//! `sequence` in the body. The state machine around the attempts lives with the queue; what became of
//! each is in the log of deliveries (`shared::webhooks`).

mod deliver;
mod endpoints;
mod gone;
mod schedule;
mod sign;
mod work;

pub use deliver::{Attempt, Deliverer, DelivererOptions, Delivery, Failure, Outcome};
pub(crate) use endpoints::{Endpoints, NotYet, Turn};
pub(crate) use gone::GoneReceivers;
pub use schedule::{MAX_ATTEMPTS, next_attempt};
pub use sign::{
    InvalidSecret, InvalidWebhookId, Secret, legacy_signature, signed_headers, standard_signature,
};
pub(crate) use work::Webhooks;
