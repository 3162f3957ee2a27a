//! A ranking as the event log keeps it: every offer with its place or with the reason against it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Ranked, Ranking, Rejected, Why};

/// Entries in one event; of the others only the number is kept.
const MAX_ENTRIES: usize = 50;

impl Why {
    /// The word for it.
    pub(in crate::reconcile) fn as_str(self) -> &'static str {
        match self {
            Self::OtherName => "other_name",
            Self::RegionNotAllowed => "region_not_allowed",
            Self::NoCluster => "no_cluster",
            Self::NotListed => "not_listed",
            Self::NotDeployable => "not_deployable",
            Self::NoStock => "no_stock",
            Self::WrongBilling => "wrong_billing",
            Self::NoPrice => "no_price",
            Self::DiskTooSmall => "disk_too_small",
            Self::DiskTooLarge => "disk_too_large",
            Self::TooExpensive => "too_expensive",
            Self::RefusedBefore => "refused_before",
            Self::StockedOutUntil(_) => "stocked_out_until",
        }
    }
}

impl Ranking {
    /// Adds what a further search found, behind what is known.
    pub(in crate::reconcile) fn extend(&mut self, other: Self) {
        self.offers.extend(other.offers);
        self.rejected.extend(other.rejected);
    }

    /// The members of an event that tell of it.
    pub(in crate::reconcile) fn log(&self) -> Map<String, Value> {
        let ranked: Vec<Value> = self.offers.iter().take(MAX_ENTRIES).map(entry).collect();
        let room = MAX_ENTRIES - ranked.len();
        let rejected: Vec<Value> = self.rejected.iter().take(room).map(reason).collect();
        let shown = ranked.len() + rejected.len();
        let omitted = self.offers.len() + self.rejected.len() - shown;
        let mut log = Map::new();
        log.insert("ranked".to_owned(), ranked.into());
        log.insert("rejected".to_owned(), rejected.into());
        if omitted > 0 {
            log.insert("omitted".to_owned(), omitted.into());
        }
        log
    }

    /// The reasons against offers, each with its number, for a sentence.
    pub(in crate::reconcile) fn reasons(&self) -> String {
        let mut counts = BTreeMap::new();
        for rejected in &self.rejected {
            *counts.entry(rejected.why.as_str()).or_insert(0) += 1;
        }
        let counts: Vec<String> = counts
            .into_iter()
            .map(|(word, count): (_, u32)| format!("{word} {count}"))
            .collect();
        if counts.is_empty() {
            "nothing was listed".to_owned()
        } else {
            counts.join(", ")
        }
    }
}

fn entry(ranked: &Ranked) -> Value {
    let offer = &ranked.offer;
    let stock = match ranked.stock {
        0 => "unknown",
        1 => "low",
        2 => "normal",
        _ => "high",
    };
    let mut entry = json!({
        "productId": offer.product_id,
        "region": offer.region,
        "billingMode": offer.billing_mode,
        "unitPrice": offer.unit_price,
        "stock": stock,
    });
    if ranked.has_failed {
        entry["failedBefore"] = true.into();
    }
    entry
}

fn reason(rejected: &Rejected) -> Value {
    let mut entry = json!({
        "region": rejected.region,
        "billingMode": rejected.billing,
        "reason": rejected.why.as_str(),
    });
    if let Some(product_id) = &rejected.product_id {
        entry["productId"] = product_id.as_str().into();
    }
    if let Why::StockedOutUntil(until) = rejected.why {
        entry["until"] = until.iso().into();
    }
    entry
}
