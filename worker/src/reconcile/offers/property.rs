//! Ten thousand generated catalogues: the choice against one made by looking at every pair.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shared::clock::Millis;
use shared::model::{BillingMode, Desired, Offer, Prefer, Spec};

use super::{NovitaBilling, Past, Shelf, rank};
use crate::novita::{HundredThousandthsUsd, Inventory, Product};
use crate::reconcile::testing::spec;

const CATALOGUES: u64 = 10_000;
const REGIONS: [&str; 5] = ["CN-HK-01", "AS-SGP-02", "US-CA-06", "EU-DE-01", "OC-AU-01"];
const NAME: &str = "RTX 4090 24GB";

/// What is asked for, what there is, and what is remembered.
struct Case {
    spec: Spec,
    shelves: Vec<Shelf>,
    past: HashMap<(String, String), Past>,
}

fn one_of<T: Clone>(rng: &mut StdRng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())].clone()
}

fn price(rng: &mut StdRng) -> Option<HundredThousandthsUsd> {
    let price = one_of(rng, &[0, 1000, 1000, 1049, 1050, 1051, 1100, 2000]);
    (rng.random_range(0..10) > 0).then_some(HundredThousandthsUsd(price))
}

fn product(rng: &mut StdRng) -> Product {
    let words = ["none", "low", "normal", "high", "", "plenty"];
    let name = one_of(rng, &[NAME, NAME, "rtx 4090 24gb", "RTX 4090 24GB OC"]);
    Product {
        id: format!("p{}", rng.random_range(0..6)),
        name: name.into(),
        cpu_per_gpu: one_of(rng, &[8, 16]),
        memory_per_gpu: one_of(rng, &[48, 62]),
        available_deploy: rng.random_range(0..9) > 0,
        inventory_state: Inventory::from(one_of(rng, &words).to_owned()),
        min_root_fs: one_of(rng, &[0, 10, 10, 80]),
        max_root_fs: one_of(rng, &[0, 60, 200, 400]),
        regions: one_of(
            rng,
            &[
                vec![],
                REGIONS.map(|region| format!("{region} (Place)")).to_vec(),
                vec![],
                vec!["CN-HK-01".to_owned()],
            ],
        ),
        price: price(rng),
        spot_price: price(rng),
        billing_methods: one_of(
            rng,
            &[
                vec![],
                vec![NovitaBilling::Spot, NovitaBilling::OnDemand],
                vec![NovitaBilling::OnDemand, NovitaBilling::Monthly],
            ],
        ),
        ..Product::default()
    }
}

fn case(seed: u64) -> Case {
    let rng = &mut StdRng::seed_from_u64(seed);
    let mut spec = spec(Desired::Running);
    spec.product_name = NAME.into();
    spec.gpu_num = one_of(rng, &[1, 2, 8]);
    spec.rootfs_size = one_of(rng, &[20, 60, 100]);
    spec.billing_mode = one_of(rng, &[BillingMode::Spot, BillingMode::OnDemand]);
    spec.options.prefer = one_of(rng, &[Prefer::Price, Prefer::Steady]);
    spec.options.max_price_per_hour =
        one_of(rng, &[None, None, Some(1050), Some(2934), Some(9000)]);
    let has_order = rng.random_bool(0.5);
    let mut shelves = Vec::new();
    let mut past = HashMap::new();
    for (position, region) in REGIONS.iter().enumerate() {
        let mut products: Vec<Product> = Vec::new();
        for _ in 0..rng.random_range(0..7) {
            let product = product(rng);
            if products.iter().all(|known| known.id != product.id) {
                products.push(product);
            }
        }
        for product in &products {
            let pasts = [
                Past::Clean,
                Past::Clean,
                Past::Clean,
                Past::Failed,
                Past::Refused,
                Past::StockedOut(Millis(9)),
            ];
            past.insert(
                ((*region).to_owned(), product.id.clone()),
                one_of(rng, &pasts),
            );
        }
        shelves.push(Shelf {
            region: (*region).to_owned(),
            group: if has_order { position } else { 0 },
            cluster_id: format!("cluster-{position}"),
            billing: spec.billing_mode,
            products: Arc::new(products),
        });
    }
    Case {
        spec,
        shelves,
        past,
    }
}

/// A product where it is, with its price in the wanted billing mode.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    shelf: &'a Shelf,
    position: usize,
    product: &'a Product,
    price: u64,
    failed: bool,
}

impl Case {
    fn past(&self, region: &str, product: &str) -> Past {
        self.past[&(region.to_owned(), product.to_owned())]
    }

    /// Everything that could be ordered, found by the rules as they are written down and not by the code.
    fn candidates(&self) -> Vec<Candidate<'_>> {
        let all = || self.shelves.iter().flat_map(|shelf| shelf.products.iter());
        let same_name = |product: &Product| product.name.to_lowercase() == NAME.to_lowercase();
        let has_exact = all().any(same_name);
        let mut candidates = Vec::new();
        for (position, shelf) in self.shelves.iter().enumerate() {
            for product in shelf.products.iter() {
                let is_spot = self.spec.billing_mode == BillingMode::Spot;
                let (price, method) = if is_spot {
                    (product.spot_price, NovitaBilling::Spot)
                } else {
                    (product.price, NovitaBilling::OnDemand)
                };
                let price = price.map_or(0, |price| price.0);
                let past = self.past(&shelf.region, &product.id);
                let forbidden = (has_exact && !same_name(product))
                    || !product.available_deploy
                    || product.inventory_state.as_str() == "none"
                    || (!product.billing_methods.is_empty()
                        && !product.billing_methods.contains(&method))
                    || price == 0
                    || self.spec.rootfs_size < product.min_root_fs
                    || (product.max_root_fs > 0 && self.spec.rootfs_size > product.max_root_fs)
                    || (!product.regions.is_empty()
                        && !product
                            .regions
                            .iter()
                            .any(|it| it.starts_with(&shelf.region)))
                    || matches!(past, Past::Refused | Past::StockedOut(_));
                let candidate = Candidate {
                    shelf,
                    position,
                    product,
                    price,
                    failed: past == Past::Failed,
                };
                let limit = self.spec.options.max_price_per_hour;
                let too_dear = limit.is_some_and(|limit| self.cost(&candidate) > 24 * limit);
                if !forbidden && !too_dear {
                    candidates.push(candidate);
                }
            }
        }
        candidates
    }

    /// Of a day, in 1/100 000 US dollars.
    fn cost(&self, candidate: &Candidate<'_>) -> u64 {
        let disk = u64::from(self.spec.rootfs_size.max(60) - 60) * 500;
        24 * u64::from(self.spec.gpu_num) * candidate.price + disk
    }

    /// Whether one is to be ordered rather than another.
    fn is_better(&self, all: &[Candidate<'_>], one: &Candidate<'_>, other: &Candidate<'_>) -> bool {
        let class = |it: &Candidate<'_>| (it.failed, it.shelf.group);
        if class(one) != class(other) {
            return class(one) < class(other);
        }
        if self.spec.options.prefer == Prefer::Steady {
            let peers = all.iter().filter(|it| class(it) == class(one));
            let least = peers.map(|it| self.cost(it)).min().unwrap();
            let close = |it: &Candidate<'_>| self.cost(it) * 100 <= least * 105;
            match (close(one), close(other)) {
                (true, false) => return true,
                (false, true) => return false,
                (true, true) if stock(one) != stock(other) => return stock(one) > stock(other),
                _ => {}
            }
        }
        let order = self
            .cost(one)
            .cmp(&self.cost(other))
            .then(stock(other).cmp(&stock(one)))
            .then(
                other
                    .product
                    .memory_per_gpu
                    .cmp(&one.product.memory_per_gpu),
            )
            .then(other.product.cpu_per_gpu.cmp(&one.product.cpu_per_gpu))
            .then(one.position.cmp(&other.position))
            .then(one.product.id.cmp(&other.product.id));
        order == Ordering::Less
    }
}

fn stock(candidate: &Candidate<'_>) -> usize {
    let words = ["low", "normal", "high"];
    let word = candidate.product.inventory_state.as_str();
    words.iter().position(|it| *it == word).map_or(0, |n| n + 1)
}

#[test]
fn the_choice_of_ten_thousand_catalogues_is_that_of_brute_force() {
    let (mut empty, mut full) = (0, 0);
    for seed in 0..CATALOGUES {
        let case = case(seed);
        let past = |offer: &Offer| case.past(&offer.region, &offer.product_id);
        let ranking = rank(&case.spec, &case.shelves, past);
        let mut left = case.candidates();
        let listed: usize = case.shelves.iter().map(|it| it.products.len()).sum();
        assert_eq!(
            ranking.offers.len() + ranking.rejected.len(),
            listed,
            "every product has a place or a reason: {seed}"
        );
        assert_eq!(ranking.offers.len(), left.len(), "{seed}");
        if left.is_empty() {
            empty += 1;
        } else {
            full += 1;
        }
        // The whole order: the best of what is left, again and again.
        let all = left.clone();
        for ranked in &ranking.offers {
            let beats_all = |one: &&Candidate<'_>| {
                let mut others = left.iter();
                others.all(|other| {
                    std::ptr::eq(one.product, other.product) || case.is_better(&all, one, other)
                })
            };
            let best = *left.iter().find(beats_all).expect("one is the best");
            let offer = &ranked.offer;
            assert_eq!(
                (&offer.region, &offer.product_id, offer.unit_price),
                (&best.shelf.region, &best.product.id, best.price),
                "{seed}"
            );
            assert_eq!(offer.cluster_id, best.shelf.cluster_id);
            left.retain(|it| !std::ptr::eq(it.product, best.product));
        }
    }
    assert!(empty > 500 && full > 6_000, "{empty} {full}");
}
