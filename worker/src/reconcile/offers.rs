//! Which offer to order: the best that really fits, and the same one every time.

mod log;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::sync::Arc;

use shared::clock::Millis;
use shared::model::{BillingMode, Offer, Prefer, Rate, Spec};

use crate::novita::{BillingMode as NovitaBilling, Cluster, Inventory, Product};

/// What a steadier offer may cost, in percent of the cheapest.
const STEADY_PERCENT: u128 = 105;

/// The region code in a cluster's or product's region name: `US-CA-06 (California)` → `US-CA-06`.
pub(crate) fn region_code(name: &str) -> &str {
    name.split_whitespace().next().unwrap_or_default()
}

/// The cluster of a region; ids cannot be derived from names, so this list is the only way.
pub(super) fn cluster_of<'a>(region: &str, clusters: &'a [Cluster]) -> Option<&'a Cluster> {
    clusters
        .iter()
        .find(|cluster| region_code(&cluster.name) == region || cluster.id == region)
}

/// The provider's word for how a spec is paid for.
pub(super) fn billing(mode: BillingMode) -> NovitaBilling {
    match mode {
        BillingMode::Spot => NovitaBilling::Spot,
        BillingMode::OnDemand => NovitaBilling::OnDemand,
    }
}

/// What one allowed region has.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    /// Its code.
    pub(super) region: String,
    /// Regions of a lower group are preferred, whatever they cost.
    pub(super) group: usize,
    /// The provider's cluster there.
    pub(super) cluster_id: String,
    /// How what is asked for is paid for.
    pub(super) billing: BillingMode,
    /// What the provider listed.
    pub(super) products: Arc<Vec<Product>>,
}

/// What is remembered of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// Nothing bad.
    Clean,
    /// It was ordered for this instance and never got ready: the last to be tried again.
    Failed,
    /// It was refused to this instance a moment ago.
    Refused,
    /// Nobody is to ask for it before this time.
    StockedOut(Millis),
}

/// Why an offer does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    OtherName,
    RegionNotAllowed,
    NoCluster,
    NotListed,
    NotDeployable,
    NoStock,
    WrongBilling,
    NoPrice,
    DiskTooSmall,
    DiskTooLarge,
    TooExpensive,
    RefusedBefore,
    StockedOutUntil(Millis),
}

/// An offer that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ranked {
    pub(super) offer: Offer,
    /// What an hour costs in all, disk included.
    total: Rate,
    stock: u8,
    memory: u32,
    cpu: u32,
    has_failed: bool,
    group: usize,
    /// Of its region, in the order of the shelves.
    position: usize,
}

/// An offer that does not count, or a region without any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) region: String,
    pub(super) billing: BillingMode,
    pub(super) product_id: Option<String>,
    pub(super) why: Why,
}

/// All offers of a search, best first, and why the others are not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ranking {
    pub(super) offers: Vec<Ranked>,
    pub(super) rejected: Vec<Rejected>,
}

/// Ranks what is on the shelves.
///
/// The provider's name filter is fuzzy: when any product has exactly the wanted name, only those
/// count. Order: what never failed here, the caller's order of regions, total price, stock, memory,
/// CPUs, order of regions, ids; so that equals are always decided alike. Who prefers it steady gets the
/// best stocked of those that cost hardly more than the cheapest.
pub(super) fn rank(spec: &Spec, shelves: &[Shelf], past: impl Fn(&Offer) -> Past) -> Ranking {
    let has_name = |product: &Product| product.name.eq_ignore_ascii_case(&spec.product_name);
    let is_exact = shelves
        .iter()
        .any(|shelf| shelf.products.iter().any(has_name));
    let mut ranking = Ranking::default();
    for (position, shelf) in shelves.iter().enumerate() {
        for product in shelf.products.iter() {
            let judged = if is_exact && !has_name(product) {
                Err(Why::OtherName)
            } else {
                judge(spec, shelf, product, &past)
            };
            match judged {
                Ok(ranked) => ranking.offers.push(Ranked { position, ..ranked }),
                Err(why) => ranking.rejected.push(Rejected {
                    region: shelf.region.clone(),
                    billing: shelf.billing,
                    product_id: Some(product.id.clone()),
                    why,
                }),
            }
        }
    }
    sort(&mut ranking.offers, spec.options.prefer);
    ranking
}

/// Whether a product can be ordered as it is wanted.
fn judge(
    spec: &Spec,
    shelf: &Shelf,
    product: &Product,
    past: impl Fn(&Offer) -> Past,
) -> Result<Ranked, Why> {
    let unit_price = fits(spec, shelf, product)?;
    let total = Rate::of_gpus(spec.gpu_num, unit_price).plus(Rate::of_disk(spec.rootfs_size));
    let limit = spec.options.max_price_per_hour;
    if limit.is_some_and(|limit| total > Rate::of_units(limit)) {
        return Err(Why::TooExpensive);
    }
    let offer = Offer {
        product_id: product.id.clone(),
        product_name: product.name.clone(),
        cluster_id: shelf.cluster_id.clone(),
        region: shelf.region.clone(),
        billing_mode: shelf.billing,
        unit_price,
    };
    let has_failed = match past(&offer) {
        Past::Clean => false,
        Past::Failed => true,
        Past::Refused => return Err(Why::RefusedBefore),
        Past::StockedOut(until) => return Err(Why::StockedOutUntil(until)),
    };
    Ok(Ranked {
        offer,
        total,
        stock: stock(product),
        memory: product.memory_per_gpu,
        cpu: product.cpu_per_gpu,
        has_failed,
        group: shelf.group,
        position: 0,
    })
}

/// The unit price of a product that the provider would sell as it is wanted.
fn fits(spec: &Spec, shelf: &Shelf, product: &Product) -> Result<u64, Why> {
    let is_sold_so = product.billing_methods.is_empty()
        || product.billing_methods.contains(&billing(shelf.billing));
    let is_here = product.regions.is_empty()
        || product
            .regions
            .iter()
            .any(|name| region_code(name) == shelf.region);
    let disk = spec.rootfs_size;
    let rules = [
        (is_here, Why::RegionNotAllowed),
        (product.available_deploy, Why::NotDeployable),
        (product.inventory_state != Inventory::None, Why::NoStock),
        (is_sold_so, Why::WrongBilling),
        (disk >= product.min_root_fs, Why::DiskTooSmall),
        (
            product.max_root_fs == 0 || disk <= product.max_root_fs,
            Why::DiskTooLarge,
        ),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, why)) => Err(why),
        None => unit_price(shelf.billing, product).ok_or(Why::NoPrice),
    }
}

/// The price of the wanted billing mode, never that of another; a price of zero is no price.
fn unit_price(mode: BillingMode, product: &Product) -> Option<u64> {
    let price = match mode {
        BillingMode::Spot => product.spot_price,
        BillingMode::OnDemand => product.price,
    };
    price.map(|price| price.0).filter(|price| *price > 0)
}

fn stock(product: &Product) -> u8 {
    match product.inventory_state {
        Inventory::High => 3,
        Inventory::Normal => 2,
        Inventory::Low => 1,
        Inventory::None | Inventory::Unknown(_) => 0,
    }
}

fn sort(offers: &mut [Ranked], prefer: Prefer) {
    let class = |ranked: &Ranked| (ranked.has_failed, ranked.group);
    let mut cheapest = std::collections::BTreeMap::new();
    for ranked in &*offers {
        let least = cheapest.entry(class(ranked)).or_insert(ranked.total);
        *least = (*least).min(ranked.total);
    }
    let is_close = |ranked: &Ranked| {
        let least = cheapest.get(&class(ranked)).copied().unwrap_or_default();
        u128::from(ranked.total.units()) * 100 <= u128::from(least.units()) * STEADY_PERCENT
    };
    offers.sort_by_cached_key(|ranked| {
        let steadiness = match prefer {
            Prefer::Price => None,
            Prefer::Steady => Some((!is_close(ranked), steady_stock(ranked, is_close(ranked)))),
        };
        let merits = (
            Reverse(ranked.stock),
            Reverse(ranked.memory),
            Reverse(ranked.cpu),
        );
        let ids = (
            ranked.offer.product_id.clone(),
            ranked.offer.cluster_id.clone(),
        );
        let place = (ranked.position, ids);
        (class(ranked), steadiness, ranked.total, merits, place)
    });
}

/// Beyond the close ones price comes first again.
fn steady_stock(ranked: &Ranked, is_close: bool) -> Reverse<u8> {
    Reverse(if is_close { ranked.stock } else { 0 })
}
