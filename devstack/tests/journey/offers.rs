//! Which offer is ordered, and what becomes of it when it cannot be had.

use devstack::stack::{StackOptions, Transport, eventually};
use serde_json::{Value, json};

use crate::support::{Caller, PATIENCE, stack, started};

crate::journeys!(
    regions_are_tried_in_the_callers_order_and_no_others,
    f19_an_offer_that_is_out_of_stock_is_left_for_the_next_and_by_later_creates_too,
    f20_eight_regions_and_many_creates_share_one_catalogue,
    f21_the_cluster_of_an_order_comes_from_the_providers_list,
    f22_on_demand_is_ordered_at_its_own_cheapest_price,
    on_demand_is_ordered_once_no_spot_offer_can_be_had,
    nothing_dearer_than_allowed_is_ordered,
    a_cluster_whose_offers_cannot_be_read_delays_and_does_not_stop_a_create,
);

/// Where an order went: product, cluster, billing mode.
fn offer(order: &Value) -> [&str; 3] {
    ["productId", "clusterId", "billingMode"].map(|member| order[member].as_str().unwrap())
}

/// Waits until the last step of an instance did not get on, for a reason that has these words in it.
async fn until_stuck(caller: &Caller, id: &str, words: &str) {
    eventually(&format!("{id} stuck: {words}"), PATIENCE, async || {
        let instance = caller.instance(id).await;
        let error = instance["lastError"]["message"].as_str();
        match error.filter(|error| error.contains(words)) {
            Some(_) => Ok(()),
            None => Err(instance.to_string()),
        }
    })
    .await
    .unwrap();
}

async fn regions_are_tried_in_the_callers_order_and_no_others(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    // The first one has no spot price, and what is cheaper is not in the list.
    let wish = json!({"regions": ["EU-DE-01", "US-CA-06", "AS-SGP-02"]});
    let id = caller.create_with("ordered", &wish).await;
    let ready = caller.until(&id, "ready").await;
    assert_eq!(ready["region"], "US-CA-06");
    assert_eq!(ready["regions"], wish["regions"]);
    let one = caller
        .create_with("one", &json!({"region": "OC-AU-01"}))
        .await;
    assert_eq!(caller.until(&one, "ready").await["region"], "OC-AU-01");
    let orders = caller.orders().await;
    let clusters: Vec<_> = orders.iter().map(|order| offer(order)[1]).collect();
    assert_eq!(clusters, ["us-ca-6", "oc-au-1"]);
}

async fn f19_an_offer_that_is_out_of_stock_is_left_for_the_next_and_by_later_creates_too(
    transport: Transport,
) {
    let options = StackOptions {
        transport,
        workers: 2,
        ..StackOptions::default()
    };
    let stack = started(options).await;
    let caller = Caller::of(&stack);
    caller
        .fault(json!({
            "route": "create", "kind": "status", "when": "before", "count": 1,
            "status": 400, "reason": "INSUFFICIENT_RESOURCE"
        }))
        .await;
    let first = caller.create("first").await;
    caller.until(&first, "ready").await;
    for name in ["second", "third"] {
        let id = caller.create(name).await;
        caller.until(&id, "ready").await;
    }
    let orders = caller.orders().await;
    let offers: Vec<_> = orders.iter().map(offer).collect();
    let (cheapest, next) = (offers[0], offers[1]);
    assert_ne!(cheapest, next);
    assert_eq!(offers, [cheapest, next, next, next]);
}

async fn f20_eight_regions_and_many_creates_share_one_catalogue(transport: Transport) {
    let options = StackOptions {
        transport,
        env: vec![("PRODUCT_CACHE_TTL".to_owned(), "300".to_owned())],
        ..StackOptions::default()
    };
    let stack = started(options).await;
    let caller = Caller::of(&stack);
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(caller.create(&format!("sharing-{n}")).await);
    }
    for id in &ids {
        caller.until(id, "ready").await;
    }
    assert_eq!(caller.calls("clusters").await.len(), 1);
    let calls = caller.calls("products").await;
    let mut questions: Vec<String> = calls.iter().map(|call| call["query"].to_string()).collect();
    let asked = questions.len();
    questions.sort();
    questions.dedup();
    assert_eq!(questions.len(), asked, "no question is asked twice");
    assert!((1..=8).contains(&asked), "{asked} questions");
}

async fn f21_the_cluster_of_an_order_comes_from_the_providers_list(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let mut clusters = caller.shown("products").await["clusters"].clone();
    for cluster in clusters.as_array_mut().unwrap() {
        if cluster["id"] == "us-west-1" {
            cluster["name"] = json!("US-WEST-01 (Oregon)");
        }
    }
    caller
        .control("products", json!({ "clusters": clusters }))
        .await;
    let wish = json!({"regions": ["US-WEST-01"], "billingMode": "onDemand"});
    let id = caller.create_with("west", &wish).await;
    assert_eq!(caller.until(&id, "ready").await["region"], "US-WEST-01");
    let orders = caller.orders().await;
    assert_eq!(offer(&orders[0])[1], "us-west-1", "not us-west-01");
}

async fn f22_on_demand_is_ordered_at_its_own_cheapest_price(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    // The cheapest spot offer becomes the dearest one on demand, and one without a spot price the cheapest.
    let mut products = caller.shown("products").await["products"].clone();
    for product in products.as_array_mut().unwrap() {
        match product["id"].as_str().unwrap() {
            "4090.12c48g.hk" => product["offers"][1]["price"] = json!("99000"),
            "4090.16c96g.v2" => product["offers"][0]["price"] = json!("30500"),
            _ => {}
        }
    }
    caller
        .control("products", json!({ "products": products }))
        .await;
    let on_demand = json!({"billingMode": "onDemand"});
    let id = caller.create_with("on-demand", &on_demand).await;
    let ready = caller.until(&id, "ready").await;
    assert_eq!(
        (&ready["region"], &ready["spotPrice"]),
        (&json!("EU-DE-01"), &json!("0.305"))
    );
    let id = caller.create("spot").await;
    let ready = caller.until(&id, "ready").await;
    assert_eq!(
        (&ready["region"], &ready["spotPrice"]),
        (&json!("AS-IN-01"), &json!("0.15"))
    );
    let orders = caller.orders().await;
    assert_eq!(offer(&orders[0]), ["4090.16c96g.v2", "eu-de-1", "onDemand"]);
    assert_eq!(offer(&orders[1]), ["4090.12c48g.hk", "as-in-1", "spot"]);
}

async fn on_demand_is_ordered_once_no_spot_offer_can_be_had(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let spot_alone = json!({"regions": ["EU-DE-01"]});
    let waiting = caller.create_with("spot-alone", &spot_alone).await;
    until_stuck(&caller, &waiting, "no_price").await;
    let too_little = json!({
        "regions": ["EU-DE-01"], "onDemandFallback": true, "maxPricePerHour": "0.32999"
    });
    let poor = caller.create_with("too-little", &too_little).await;
    until_stuck(&caller, &poor, "too_expensive").await;
    assert!(caller.orders().await.is_empty());

    let enough =
        json!({"regions": ["EU-DE-01"], "onDemandFallback": true, "maxPricePerHour": 0.33});
    let id = caller.create_with("enough", &enough).await;
    let ready = caller.until(&id, "ready").await;
    assert_eq!(ready["billingMode"], "onDemand");
    assert_eq!(ready["unitPrice"], 33_000);
    // Where there is a spot offer, it is taken.
    let id = caller
        .create_with("both", &json!({"onDemandFallback": true}))
        .await;
    assert_eq!(caller.until(&id, "ready").await["billingMode"], "spot");
}

async fn nothing_dearer_than_allowed_is_ordered(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    // Two cards, and 24 GB beyond the free ones: 2 × 0.15 + 24 × 0.005 ÷ 24 = 0.305.
    let wish = |limit| json!({"gpuNum": 2, "rootfsSize": 84, "maxPricePerHour": limit});
    let dear = caller.create_with("dear", &wish(0.304_99)).await;
    until_stuck(&caller, &dear, "too_expensive").await;
    assert!(caller.orders().await.is_empty());
    let (_, deleted) = caller.delete(&dear).await;
    assert_eq!(deleted["status"], "deleting", "{deleted}");
    let id = caller.create_with("fitting", &wish(0.305)).await;
    let ready = caller.until(&id, "ready").await;
    assert_eq!(ready["region"], "AS-IN-01");
    assert_eq!(ready["maxPricePerHour"], "0.305");
}

async fn a_cluster_whose_offers_cannot_be_read_delays_and_does_not_stop_a_create(
    transport: Transport,
) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    caller
        .fault(json!({"route": "products", "kind": "status", "status": 500, "probability": 0.5}))
        .await;
    let id = caller.create("unlucky").await;
    caller.until(&id, "ready").await;
    assert_eq!(caller.ledger().await.len(), 1);
}
