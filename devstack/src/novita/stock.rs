//! Free GPUs per product and cluster.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::catalog::Catalog;

/// Counts what can be handed out now; instances take and give back.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    free: BTreeMap<(String, String), u32>,
}

impl Stock {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        let offers = catalog.products.iter().flat_map(|product| {
            product
                .offers
                .iter()
                .map(|offer| ((product.id.clone(), offer.cluster_id.clone()), offer.stock))
        });
        Self {
            free: offers.collect(),
        }
    }

    pub(crate) fn free(&self, product: &str, cluster: &str) -> u32 {
        self.free
            .get(&(product.to_owned(), cluster.to_owned()))
            .copied()
            .unwrap_or(0)
    }

    /// `false` when the product is not offered in the cluster.
    pub(crate) fn set(&mut self, product: &str, cluster: &str, free: u32) -> bool {
        let slot = self.free.get_mut(&(product.to_owned(), cluster.to_owned()));
        slot.map(|slot| *slot = free).is_some()
    }

    /// Takes what is there when there is too little: only a forced status asks for more.
    pub(crate) fn take(&mut self, product: &str, cluster: &str, gpus: u32) {
        if let Some(slot) = self.free.get_mut(&(product.to_owned(), cluster.to_owned())) {
            *slot = slot.saturating_sub(gpus);
        }
    }

    pub(crate) fn give_back(&mut self, product: &str, cluster: &str, gpus: u32) {
        if let Some(slot) = self.free.get_mut(&(product.to_owned(), cluster.to_owned())) {
            *slot = slot.saturating_add(gpus);
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows = self.free.iter().map(|((product, cluster), free)| {
            json!({ "productId": product, "clusterId": cluster, "available": free })
        });
        json!({ "stock": rows.collect::<Vec<_>>() })
    }
}
