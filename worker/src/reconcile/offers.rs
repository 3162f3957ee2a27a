//! Which product to order: the cheapest that really fits, and the same one every time.

use shared::model::{BillingMode, Offer, Spec};

use crate::novita::{BillingMode as NovitaBilling, Cluster, Inventory, Product};

/// GB of root disk that cost nothing extra.
const FREE_DISK_GB: u64 = 60;
/// Price of one more GB for one day, in 1/100 000 US dollars (Novita pricing guide: $0.005).
const DISK_GB_DAY: u64 = 500;

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

/// The offers for a spec among a cluster's products, best first.
///
/// The provider's name filter is fuzzy: when any product has exactly the wanted name, only those
/// count. Order: total price, stock, memory, CPUs, id; so that equals are always decided alike.
pub(super) fn rank(
    spec: &Spec,
    region: &str,
    cluster: &Cluster,
    products: &[Product],
) -> Vec<Offer> {
    let exact: Vec<&Product> = products
        .iter()
        .filter(|p| p.name.eq_ignore_ascii_case(&spec.product_name))
        .collect();
    let candidates = if exact.is_empty() {
        products.iter().collect()
    } else {
        exact
    };
    let mut fitting: Vec<(&Product, u64)> = candidates
        .into_iter()
        .filter(|product| fits(spec, region, product))
        .filter_map(|product| Some((product, unit_price(spec.billing_mode, product)?)))
        .collect();
    fitting.sort_by(|(a, a_price), (b, b_price)| {
        hourly(spec, *a_price)
            .cmp(&hourly(spec, *b_price))
            .then(stock(b).cmp(&stock(a)))
            .then(b.memory_per_gpu.cmp(&a.memory_per_gpu))
            .then(b.cpu_per_gpu.cmp(&a.cpu_per_gpu))
            .then_with(|| a.id.cmp(&b.id))
    });
    fitting
        .into_iter()
        .map(|(product, unit_price)| Offer {
            product_id: product.id.clone(),
            product_name: product.name.clone(),
            cluster_id: cluster.id.clone(),
            region: region.to_owned(),
            billing_mode: spec.billing_mode,
            unit_price,
        })
        .collect()
}

fn fits(spec: &Spec, region: &str, product: &Product) -> bool {
    let disk = spec.rootfs_size;
    let is_sold_so = product.billing_methods.is_empty()
        || product
            .billing_methods
            .contains(&billing(spec.billing_mode));
    let is_here = product.regions.is_empty()
        || product
            .regions
            .iter()
            .any(|name| region_code(name) == region);
    product.available_deploy
        && product.inventory_state != Inventory::None
        && is_sold_so
        && is_here
        && disk >= product.min_root_fs
        && (product.max_root_fs == 0 || disk <= product.max_root_fs)
}

/// The price of the wanted billing mode, never that of another; a price of zero is no price.
fn unit_price(mode: BillingMode, product: &Product) -> Option<u64> {
    let price = match mode {
        BillingMode::Spot => product.spot_price,
        BillingMode::OnDemand => product.price,
    };
    price.map(|price| price.0).filter(|price| *price > 0)
}

/// What an hour costs in all, in 1/2 400 000 US dollars: exact in integers, disk included.
fn hourly(spec: &Spec, unit_price: u64) -> u64 {
    let disk = u64::from(spec.rootfs_size).saturating_sub(FREE_DISK_GB);
    u64::from(spec.gpu_num) * unit_price * 24 + disk * DISK_GB_DAY
}

fn stock(product: &Product) -> u8 {
    match product.inventory_state {
        Inventory::High => 3,
        Inventory::Normal => 2,
        Inventory::Low => 1,
        Inventory::None | Inventory::Unknown(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use shared::model::Desired;

    use super::*;
    use crate::novita::HundredThousandthsUsd;
    use crate::reconcile::testing::spec;

    fn product(id: &str, spot: u64) -> Product {
        Product {
            id: id.into(),
            name: "RTX 4090 24GB".into(),
            available_deploy: true,
            inventory_state: Inventory::Normal,
            min_root_fs: 10,
            max_root_fs: 1900,
            regions: vec!["CN-HK-01 (Hong Kong)".into()],
            price: Some(HundredThousandthsUsd(spot * 2)),
            spot_price: Some(HundredThousandthsUsd(spot)).filter(|price| price.0 > 0),
            billing_methods: vec![NovitaBilling::OnDemand, NovitaBilling::Spot],
            memory_per_gpu: 62,
            cpu_per_gpu: 16,
            ..Product::default()
        }
    }

    fn ranked(products: &[Product]) -> Vec<String> {
        let cluster = Cluster {
            id: "cn-hongkong-1".into(),
            name: "CN-HK-01 (Hong Kong)".into(),
            ..Cluster::default()
        };
        let offers = rank(&spec(Desired::Running), "CN-HK-01", &cluster, products);
        offers.into_iter().map(|offer| offer.product_id).collect()
    }

    #[test]
    fn the_cheapest_wins_and_equals_are_decided_by_stock_then_size_then_id() {
        let high = Product {
            inventory_state: Inventory::High,
            ..product("high", 20)
        };
        let roomy = Product {
            memory_per_gpu: 96,
            ..product("roomy", 20)
        };
        let order = ranked(&[
            product("b", 20),
            product("a", 20),
            roomy,
            high,
            product("dear", 30),
        ]);
        assert_eq!(order, ["high", "roomy", "a", "b", "dear"]);
    }

    #[test]
    fn what_cannot_be_had_never_wins_however_cheap() {
        let gone = Product {
            available_deploy: false,
            ..product("undeployable", 1)
        };
        let empty = Product {
            inventory_state: Inventory::None,
            ..product("empty", 1)
        };
        let unsold = Product {
            billing_methods: vec![NovitaBilling::OnDemand],
            ..product("unsold", 1)
        };
        let elsewhere = Product {
            regions: vec!["US-CA-06".into()],
            ..product("elsewhere", 1)
        };
        let small = Product {
            max_root_fs: 20,
            ..product("small", 1)
        };
        let free = product("free", 0);
        let order = ranked(&[
            gone,
            empty,
            unsold,
            elsewhere,
            small,
            free,
            product("real", 50),
        ]);
        assert_eq!(order, ["real"]);
    }

    #[test]
    fn a_variant_of_the_name_counts_only_when_nothing_has_the_name_itself() {
        let variant = Product {
            name: "RTX 4090 24GB OC".into(),
            ..product("variant", 1)
        };
        assert_eq!(ranked(&[variant.clone(), product("exact", 50)]), ["exact"]);
        assert_eq!(ranked(&[variant]), ["variant"]);
    }

    #[test]
    fn a_cluster_is_found_by_its_name_and_never_made_from_it() {
        let cluster = |id: &str, name: &str| Cluster {
            id: id.into(),
            name: name.into(),
            ..Cluster::default()
        };
        let clusters = [
            cluster("cn-hongkong-1", "CN-HK-01 (Hong Kong)"),
            cluster("us-ca-6", "US-CA-06"),
        ];
        assert_eq!(
            cluster_of("CN-HK-01", &clusters).unwrap().id,
            "cn-hongkong-1"
        );
        assert_eq!(cluster_of("US-CA-06", &clusters).unwrap().id, "us-ca-6");
        assert!(cluster_of("EU-DE-01", &clusters).is_none());
    }
}
