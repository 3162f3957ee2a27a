//! What an instance's fortune tells about an offer, for all who might order it next.

use shared::model::operation::Failure;
use shared::model::{AttemptState, Offer};
use shared::queue::Write;
use shared::stock::{StockNote, StockOuts};

use super::draft::Draft;
use super::offers::Past;
use crate::novita::Reason;

/// How long an offer that was refused is not tried again for the same instance, whatever the reason.
const REFUSED_FOR_MS: u64 = 180_000;

impl Draft<'_> {
    /// The provider refused the current attempt's order.
    pub(super) fn note_refusal(&mut self, reason: &Reason) {
        match reason {
            Reason::InsufficientResource | Reason::GpuSpecUsed => self.note(StockNote::sold_out),
            Reason::ClusterStatus | Reason::NodeStatus => self.note(StockNote::closed),
            // The others may lie in this order alone, in its image for one.
            _ => {}
        }
    }

    /// What the current attempt made is discarded.
    pub(super) fn note_failed_boot(&mut self, reason: &Failure) {
        let is_evidence = match reason.code.as_str() {
            "STARTUP_TIMEOUT" => true,
            // An image that cannot be pulled is its caller's affair.
            "PROVIDER_FAILURE" => !reason.message.to_lowercase().contains("image"),
            _ => false,
        };
        if is_evidence {
            self.note(StockNote::boot_failed);
        }
    }

    /// What the current attempt made got ready.
    pub(super) fn note_boot(&mut self) {
        self.note(StockNote::booted);
    }

    fn note(&mut self, note: impl FnOnce(&Offer) -> StockNote) {
        if let Some(attempt) = self.status.current() {
            let note = note(&attempt.offer);
            self.write(Write::Stock(note));
        }
    }

    /// What is remembered of an offer, by all and by this instance.
    pub(super) fn past(&self, stock_outs: &StockOuts, offer: &Offer) -> Past {
        if let Some(until) = stock_outs.until(offer, self.now) {
            return Past::StockedOut(until);
        }
        let is_same = |known: &Offer| {
            known.product_id == offer.product_id
                && known.cluster_id == offer.cluster_id
                && known.billing_mode == offer.billing_mode
        };
        let attempts = self.status.attempts.iter();
        let mut past = Past::Clean;
        for attempt in attempts.filter(|attempt| is_same(&attempt.offer)) {
            match attempt.state {
                AttemptState::Refused if self.now.since(attempt.intent_at) < REFUSED_FOR_MS => {
                    return Past::Refused;
                }
                AttemptState::Gone => past = Past::Failed,
                _ => {}
            }
        }
        past
    }
}
