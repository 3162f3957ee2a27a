//! Offers that could not be had lately, shared by all workers so that none asks for them in vain.
//!
//! `redis/lua/stock.lua` keeps the hash; here is what goes into it and what it means.

use std::collections::HashMap;

use crate::clock::Millis;
use crate::model::Offer;
use crate::redis::{Command, Keys, Redis, RedisError, Repeat};

/// What a worker learned about an offer; takes effect with a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockNote {
    pub(crate) word: &'static str,
    pub(crate) field: String,
}

impl StockNote {
    /// The provider has no room for it: nobody asks for 3 minutes, doubling to 15.
    #[must_use]
    pub fn sold_out(offer: &Offer) -> Self {
        Self::new("out", offer_field(offer))
    }

    /// The provider takes no orders for its cluster: the same for all that it has.
    #[must_use]
    pub fn closed(offer: &Offer) -> Self {
        Self::new("out", cluster_field(offer))
    }

    /// What was ordered never got to run: counts from the second time within half an hour.
    #[must_use]
    pub fn boot_failed(offer: &Offer) -> Self {
        Self::new("boot", boot_field(offer))
    }

    /// What was ordered got ready: earlier boots count no more.
    #[must_use]
    pub fn booted(offer: &Offer) -> Self {
        Self::new("clear", boot_field(offer))
    }

    fn new(word: &'static str, field: String) -> Self {
        Self { word, field }
    }
}

/// What could not be had lately, as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StockOuts(HashMap<String, Millis>);

impl StockOuts {
    /// All of them, in one command.
    pub async fn read(redis: &Redis, keys: &Keys) -> Result<Self, RedisError> {
        let command = Command::new("HGETALL").arg(keys.stock_outs());
        let pairs = redis.run(command, Repeat::Harmless).await?.pairs()?;
        Ok(pairs
            .into_iter()
            .map(|(field, value)| (field, until(&value)))
            .collect::<HashMap<_, _>>()
            .into())
    }

    /// Until when nobody is to ask for this offer; `None` when it may be asked for.
    #[must_use]
    pub fn until(&self, offer: &Offer, now: Millis) -> Option<Millis> {
        let fields = [offer_field(offer), cluster_field(offer), boot_field(offer)];
        let ends = fields.iter().filter_map(|field| self.0.get(field)).max();
        ends.copied().filter(|until| *until > now)
    }

    /// What is to be noted when this offer was delivered after all: its stock-outs are over.
    #[must_use]
    pub fn delivered(&self, offer: &Offer) -> Vec<StockNote> {
        [offer_field(offer), cluster_field(offer)]
            .into_iter()
            .filter(|field| self.0.contains_key(field))
            .map(|field| StockNote::new("clear", field))
            .collect()
    }
}

impl From<HashMap<String, Millis>> for StockOuts {
    fn from(ends: HashMap<String, Millis>) -> Self {
        Self(ends)
    }
}

fn until(value: &str) -> Millis {
    let until = value.split('|').next().and_then(|text| text.parse().ok());
    Millis(until.unwrap_or(0))
}

fn offer_field(offer: &Offer) -> String {
    let billing = offer.billing_mode.as_str();
    format!("o:{}|{}|{billing}", offer.product_id, offer.cluster_id)
}

fn cluster_field(offer: &Offer) -> String {
    format!("c:{}", offer.cluster_id)
}

fn boot_field(offer: &Offer) -> String {
    let billing = offer.billing_mode.as_str();
    format!("b:{}|{}|{billing}", offer.product_id, offer.cluster_id)
}
