use std::sync::Arc;

use serde_json::json;
use shared::clock::Millis;
use shared::model::{BillingMode, Desired, Offer, Prefer, Spec};

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
        price: Some(HundredThousandthsUsd(spot * 2)),
        spot_price: Some(HundredThousandthsUsd(spot)).filter(|price| price.0 > 0),
        billing_methods: vec![NovitaBilling::OnDemand, NovitaBilling::Spot],
        memory_per_gpu: 62,
        cpu_per_gpu: 16,
        ..Product::default()
    }
}

fn shelf(region: &str, group: usize, products: &[Product]) -> Shelf {
    Shelf {
        region: region.into(),
        group,
        cluster_id: region.to_lowercase(),
        billing: BillingMode::Spot,
        products: Arc::new(products.to_vec()),
    }
}

fn clean(_: &Offer) -> Past {
    Past::Clean
}

fn ids(ranking: &Ranking) -> Vec<&str> {
    let offers = ranking.offers.iter();
    offers.map(|it| it.offer.product_id.as_str()).collect()
}

fn whys(ranking: &Ranking) -> Vec<(&str, &str)> {
    let rejected = ranking.rejected.iter();
    let why = |it: &'_ Rejected| it.why.as_str();
    rejected
        .map(|it| (it.product_id.as_deref().unwrap_or_default(), why(it)))
        .collect()
}

fn ranked(spec: &Spec, products: &[Product]) -> Ranking {
    rank(spec, &[shelf("CN-HK-01", 0, products)], clean)
}

fn wish() -> Spec {
    spec(Desired::Running)
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
    let products = [
        product("b", 20),
        product("a", 20),
        roomy,
        high,
        product("dear", 30),
    ];
    let ranking = ranked(&wish(), &products);
    assert_eq!(ids(&ranking), ["high", "roomy", "a", "b", "dear"]);
}

#[test]
fn f22_what_cannot_be_had_never_wins_however_cheap_and_says_why() {
    let change = |id: &str, change: fn(&mut Product)| {
        let mut product = product(id, 1);
        change(&mut product);
        product
    };
    let mut wish = wish();
    wish.options.max_price_per_hour = Some(60);
    let products = [
        change("undeployable", |it| it.available_deploy = false),
        change("empty", |it| it.inventory_state = Inventory::None),
        change("unsold", |it| {
            it.billing_methods = vec![NovitaBilling::OnDemand];
        }),
        change("elsewhere", |it| it.regions = vec!["US-CA-06".into()]),
        change("small", |it| it.max_root_fs = 20),
        change("big", |it| it.min_root_fs = 100),
        product("free", 0),
        product("dear", 61),
        product("real", 60),
    ];
    let ranking = ranked(&wish, &products);
    assert_eq!(ids(&ranking), ["real"]);
    assert_eq!(
        whys(&ranking),
        [
            ("undeployable", "not_deployable"),
            ("empty", "no_stock"),
            ("unsold", "wrong_billing"),
            ("elsewhere", "region_not_allowed"),
            ("small", "disk_too_large"),
            ("big", "disk_too_small"),
            ("free", "no_price"),
            ("dear", "too_expensive"),
        ]
    );
}

#[test]
fn f22_on_demand_is_chosen_by_its_own_price() {
    let mut cheap_spot = product("cheap spot", 10);
    cheap_spot.price = Some(HundredThousandthsUsd(100));
    let mut shelf = shelf("CN-HK-01", 0, &[cheap_spot, product("cheap", 40)]);
    shelf.billing = BillingMode::OnDemand;
    let mut wish = wish();
    wish.billing_mode = BillingMode::OnDemand;
    let ranking = rank(&wish, &[shelf], clean);
    assert_eq!(ids(&ranking), ["cheap", "cheap spot"]);
    let best = &ranking.offers[0].offer;
    assert_eq!(
        (best.unit_price, best.billing_mode),
        (80, BillingMode::OnDemand)
    );
}

#[test]
fn the_limit_is_for_the_whole_instance_disk_included() {
    let mut wish = wish();
    wish.gpu_num = 2;
    wish.rootfs_size = 84;
    // 2 cards and 24 GB: 2 × 100 + 24 × 500 ÷ 24.
    for (limit, expected) in [(700, 1), (699, 0)] {
        wish.options.max_price_per_hour = Some(limit);
        let ranking = ranked(&wish, &[product("a", 100)]);
        assert_eq!(ranking.offers.len(), expected, "{limit}");
    }
    wish.options.max_price_per_hour = Some(u64::MAX);
    assert_eq!(ranked(&wish, &[product("a", 100)]).offers.len(), 1);
}

#[test]
fn a_price_beyond_all_bounds_is_not_a_small_one() {
    let products = [product("absurd", i64::MAX as u64), product("real", 50)];
    let mut wish = wish();
    wish.gpu_num = 8;
    assert_eq!(ids(&ranked(&wish, &products)), ["real", "absurd"]);
}

#[test]
fn a_variant_of_the_name_counts_only_when_no_region_has_the_name_itself() {
    let variant = Product {
        name: "RTX 4090 24GB OC".into(),
        ..product("variant", 1)
    };
    let shelves = [
        shelf("CN-HK-01", 0, std::slice::from_ref(&variant)),
        shelf("US-CA-06", 0, &[product("exact", 50)]),
    ];
    let ranking = rank(&wish(), &shelves, clean);
    assert_eq!(ids(&ranking), ["exact"]);
    assert_eq!(whys(&ranking), [("variant", "other_name")]);
    assert_eq!(ids(&ranked(&wish(), &[variant])), ["variant"]);
}

#[test]
fn the_cheapest_of_all_regions_wins_unless_the_caller_has_an_order() {
    let dear = [product("dear", 30)];
    let cheap = [product("cheap", 20)];
    let alike = [
        shelf("CN-HK-01", 0, &dear),
        shelf("US-CA-06", 0, &cheap),
        shelf("EU-DE-01", 0, &cheap),
    ];
    let ranking = rank(&wish(), &alike, clean);
    let regions: Vec<_> = ranking.offers.iter().map(|it| &it.offer.region).collect();
    assert_eq!(regions, ["US-CA-06", "EU-DE-01", "CN-HK-01"]);
    let ordered = [shelf("CN-HK-01", 0, &dear), shelf("US-CA-06", 1, &cheap)];
    assert_eq!(ids(&rank(&wish(), &ordered, clean)), ["dear", "cheap"]);
}

#[test]
fn steadiness_may_cost_five_percent_and_not_more() {
    let high = |id: &str, price| Product {
        inventory_state: Inventory::High,
        ..product(id, price)
    };
    let products = [
        product("cheap", 1000),
        high("steady", 1050),
        high("dear", 1051),
    ];
    let mut wish = wish();
    assert_eq!(ids(&ranked(&wish, &products)), ["cheap", "steady", "dear"]);
    wish.options.prefer = Prefer::Steady;
    assert_eq!(ids(&ranked(&wish, &products)), ["steady", "cheap", "dear"]);
}

#[test]
fn what_was_refused_or_failed_before_does_not_come_first_again() {
    let products = ["out", "refused", "failed", "fine"].map(|id| product(id, 20));
    let until = Millis(1_000);
    let past = |offer: &Offer| match offer.product_id.as_str() {
        "out" => Past::StockedOut(until),
        "refused" => Past::Refused,
        "failed" => Past::Failed,
        _ => Past::Clean,
    };
    let shelves = [
        shelf("CN-HK-01", 0, &products),
        shelf("US-CA-06", 1, &[product("other", 90)]),
    ];
    let ranking = rank(&wish(), &shelves, past);
    assert_eq!(ids(&ranking), ["fine", "other", "failed"]);
    assert_eq!(
        whys(&ranking),
        [("out", "stocked_out_until"), ("refused", "refused_before")]
    );
}

#[test]
fn the_log_has_every_offer_up_to_fifty_and_counts_the_rest() {
    let mut products: Vec<Product> = (0..40).map(|n| product(&n.to_string(), 20)).collect();
    products.extend((0..40).map(|n| product(&format!("free {n}"), 0)));
    let ranking = ranked(&wish(), &products);
    let log = ranking.log();
    assert_eq!(log["ranked"].as_array().unwrap().len(), 40);
    assert_eq!(log["rejected"].as_array().unwrap().len(), 10);
    assert_eq!(log["omitted"], 30);
    assert_eq!(
        log["ranked"][0],
        json!({"productId": "0", "region": "CN-HK-01", "billingMode": "spot", "unitPrice": 20,
               "stock": "normal"})
    );
    assert_eq!(log["rejected"][0]["reason"], "no_price");
    assert_eq!(ranking.reasons(), "no_price 40");
    assert!(!ranked(&wish(), &[]).log().contains_key("omitted"));
}

#[test]
fn f21_a_cluster_is_found_by_its_name_and_never_made_from_it() {
    let cluster = |id: &str, name: &str| Cluster {
        id: id.into(),
        name: name.into(),
        ..Cluster::default()
    };
    let clusters = [
        cluster("cn-hongkong-1", "CN-HK-01 (Hong Kong)"),
        cluster("us-west-1", "US-WEST-01 (Oregon)"),
        cluster("us-ca-6", "US-CA-06"),
    ];
    for (region, id) in [
        ("CN-HK-01", "cn-hongkong-1"),
        ("US-WEST-01", "us-west-1"),
        ("US-CA-06", "us-ca-6"),
    ] {
        assert_eq!(cluster_of(region, &clusters).unwrap().id, id);
    }
    assert!(cluster_of("EU-DE-01", &clusters).is_none());
}
