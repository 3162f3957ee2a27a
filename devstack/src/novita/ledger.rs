//! The billing ledger: what every instance there ever was has cost so far.

use serde::Serialize;
use serde_json::{Value, json};

use super::catalog::Env;
use super::clock::SimTime;
use super::instance::Instance;
use super::world::World;

/// One instance, for ever.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LedgerEntry {
    /// The instance.
    pub id: String,
    /// As given at create.
    pub name: String,
    /// As given at create.
    pub envs: Vec<Env>,
    /// As the API shows it; `removed` once it is absent there.
    pub status: String,
    /// Compute seconds charged, fractions included.
    pub billed_seconds: f64,
    /// Compute, and disk beyond the free 60 GB.
    pub cost_usd: f64,
    /// Unix seconds as a string, as the API shows it.
    pub created_at: String,
    /// What was rented.
    pub product_id: String,
    /// Where.
    pub cluster_id: String,
    /// How many GPUs.
    pub gpu_num: u32,
    /// `onDemand`, `monthly` or `spot`.
    pub billing_mode: String,
}

impl LedgerEntry {
    /// It is there, and not on its way out.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !matches!(self.status.as_str(), "toRemove" | "removing" | "removed")
    }

    fn of(instance: &Instance, now: SimTime) -> Self {
        Self {
            id: instance.id.clone(),
            name: instance.order.name.clone(),
            envs: instance.order.envs.clone(),
            status: instance.status().as_str().to_owned(),
            billed_seconds: instance.billed_seconds(now),
            cost_usd: instance.cost_usd(now),
            created_at: instance.created_at.wire(),
            product_id: instance.order.product_id.clone(),
            cluster_id: instance.hardware.cluster_id.clone(),
            gpu_num: instance.order.gpu_num,
            billing_mode: instance.order.billing.as_str().to_owned(),
        }
    }
}

/// All entries, in order of creation.
pub(crate) fn entries(world: &World, now: SimTime) -> Vec<LedgerEntry> {
    world
        .ever_created()
        .into_iter()
        .map(|instance| LedgerEntry::of(instance, now))
        .collect()
}

/// `GET /_sim/ledger`.
pub(crate) fn to_json(world: &World, now: SimTime) -> Value {
    let entries = entries(world, now);
    let total: f64 = entries.iter().map(|entry| entry.cost_usd).sum();
    json!({ "instances": entries, "totalCostUsd": total, "now": now.unix_seconds() })
}
