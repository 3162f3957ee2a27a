//! What create accepts and what it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod simulator_support;

use std::collections::HashSet;

use serde_json::{Value, json};
use simulator_support::{Sim, order, order_with};

#[tokio::test]
async fn create_refuses_what_breaks_a_limit() {
    let sim = Sim::start().await;
    let ports = |count: u16| {
        let ports: Vec<String> = (1..=count).map(|port| format!("{port}/http")).collect();
        json!({ "ports": ports.join(",") })
    };
    let env = |key: usize, value: usize| json!({ "envs": [{ "key": "k".repeat(key), "value": "v".repeat(value) }] });
    let many_envs: Vec<Value> = (0..101).map(|i| json!({ "key": i.to_string() })).collect();
    for (changes, field) in [
        (json!({ "productId": null }), "productId"),
        (json!({ "productId": "x".repeat(256) }), "productId"),
        (json!({ "kind": "" }), "kind"),
        (json!({ "kind": "tpu" }), "kind"),
        (json!({ "gpuNum": 0 }), "gpuNum"),
        (json!({ "gpuNum": 9 }), "gpuNum"),
        (json!({ "rootfsSize": null }), "rootfsSize"),
        (json!({ "rootfsSize": -1 }), "rootfsSize"),
        (json!({ "rootfsSize": 6145 }), "rootfsSize"),
        (json!({ "rootfsSize": 1901 }), "rootfsSize"),
        (json!({ "imageUrl": "" }), "imageUrl"),
        (json!({ "imageUrl": "x".repeat(501) }), "imageUrl"),
        (json!({ "name": "x".repeat(256) }), "name"),
        (json!({ "imageAuth": "no-colon" }), "imageAuth"),
        (
            json!({ "imageAuth": format!("u:{}", "x".repeat(10_239)) }),
            "imageAuth",
        ),
        (json!({ "ports": "80" }), "ports"),
        (json!({ "ports": "80:http" }), "ports"),
        (json!({ "ports": "80/udp" }), "ports"),
        (json!({ "ports": "80/http, 81/http" }), "ports"),
        (json!({ "ports": "0/http" }), "ports"),
        (json!({ "ports": "65536/http" }), "ports"),
        (json!({ "ports": "+80/http" }), "ports"),
        (json!({ "ports": "2222/tcp" }), "ports"),
        (json!({ "ports": "2224/http" }), "ports"),
        (json!({ "ports": "80/http,80/tcp" }), "ports"),
        (ports(16), "ports"),
        (
            json!({ "tools": [{ "name": "Emacs", "port": "8888", "type": "http" }] }),
            "tools.name",
        ),
        (json!({ "envs": many_envs }), "envs"),
        (env(0, 1), "envs.key"),
        (env(512, 1), "envs.key"),
        (env(1, 4096), "envs.value"),
        (json!({ "command": "x".repeat(2048) }), "command"),
        (json!({ "entrypoint": "x".repeat(2048) }), "entrypoint"),
        (json!({ "billingMode": "on-demand" }), "billingMode"),
        (json!({ "billingMode": "monthly" }), "month"),
        (json!({ "month": -1 }), "month"),
        (
            json!({ "autoRenew": true, "autoRenewMonth": 13 }),
            "autoRenewMonth",
        ),
        (json!({ "minCudaVersion": "new" }), "minCudaVersion"),
    ] {
        let refusal = sim.post("/gpu/instance/create", order_with(&changes)).await;
        let message = refusal.refused(400, "VALIDATOR_PARAM");
        assert!(
            message.starts_with(&format!("{field}: ")),
            "{changes}: {message}"
        );
    }
    assert_eq!(sim.show("ledger").await["instances"], json!([]));
}

#[tokio::test]
async fn create_accepts_what_just_keeps_the_limits() {
    let sim = Sim::start().await;
    let ports: Vec<String> = (1..=14).map(|port| format!("{port}/tcp")).collect();
    let envs: Vec<Value> = (0..100)
        .map(|i| json!({ "key": format!("{i:k>511}"), "value": "v".repeat(4095) }))
        .collect();
    let largest = order_with(&json!({
        "name": "n".repeat(255), "imageUrl": "i".repeat(500), "rootfsSize": 1900, "gpuNum": 8,
        "ports": ports.join(","), "envs": envs, "command": "c".repeat(2047),
        "tools": [{ "name": "Jupyter", "port": "8888", "type": "http" }],
    }));
    let id = sim.create(largest).await;
    assert_eq!(
        sim.instance(&id).await["portMappings"]
            .as_array()
            .unwrap()
            .len(),
        15
    );
    let smallest = json!({
        "productId": "4090.16c62g", "kind": "gpu", "gpuNum": 1, "rootfsSize": 3, "imageUrl": "i",
    });
    let id = sim.create(smallest).await;
    let instance = sim.instance(&id).await;
    assert_eq!(
        (&instance["rootfsSize"], &instance["name"]),
        (&json!(10), &json!(""))
    );
}

#[tokio::test]
async fn create_refuses_what_is_not_on_offer() {
    let sim = Sim::start().await;
    for (changes, reason) in [
        (json!({ "productId": "nothing" }), "RESOURCE_NOT_FOUND"),
        (json!({ "kind": "cpu" }), "RESOURCE_NOT_FOUND"),
        (json!({ "clusterId": "us-ca-06" }), "RESOURCE_NOT_FOUND"),
        (
            json!({ "clusterId": "US-CA-06 (California)" }),
            "RESOURCE_NOT_FOUND",
        ),
        (json!({ "clusterId": "eu-de-1" }), "INSUFFICIENT_RESOURCE"),
        (
            json!({ "productId": "4090.16c62g.os" }),
            "INSUFFICIENT_RESOURCE",
        ),
        (json!({ "minCudaVersion": "13.0" }), "INSUFFICIENT_RESOURCE"),
        (
            json!({ "productId": "h100.26c200g", "clusterId": "eu-de-1", "gpuNum": 2 }),
            "INSUFFICIENT_RESOURCE",
        ),
        (
            json!({ "productId": "3090.16c92g", "clusterId": "us-west-1", "month": 1 }),
            "UNSUPPORTED_BILLING_MODE",
        ),
        (
            json!({ "productId": "4090.16c96g.v2", "clusterId": "eu-de-1", "rootfsSize": 60, "billingMode": "spot" }),
            "UNSUPPORTED_BILLING_MODE",
        ),
        (json!({ "imageAuthId": "unknown" }), "RESOURCE_NOT_FOUND"),
        (json!({ "networkId": "net-1" }), "NETWORK_NOT_FOUND"),
        (
            json!({ "networkStorages": [{ "Id": "ns-1", "mountPoint": "/n" }] }),
            "NETWORK_STORAGE_NOT_FOUND",
        ),
    ] {
        let refusal = sim.post("/gpu/instance/create", order_with(&changes)).await;
        refusal.refused(400, reason);
    }
}

#[tokio::test]
async fn bodies_must_be_json_of_the_right_types() {
    let sim = Sim::start().await;
    let wrong = sim
        .post(
            "/gpu/instance/create",
            order_with(&json!({ "gpuNum": "1" })),
        )
        .await;
    assert!(
        wrong
            .refused(400, "INVALID_REQUEST_BODY")
            .contains("gpuNum")
    );
    let positional = order_with(&json!({ "envs": [["KEY", "value"]] }));
    let refusal = sim.post("/gpu/instance/create", positional).await;
    assert!(
        refusal
            .refused(400, "INVALID_REQUEST_BODY")
            .contains("envs")
    );
    for positional in [json!(["nobody"]), json!("nobody"), json!(null)] {
        sim.post("/gpu/instance/start", positional)
            .await
            .refused(400, "INVALID_REQUEST_BODY");
    }
    sim.post("/gpu/instance/start", json!({}))
        .await
        .refused(400, "VALIDATOR_PARAM");
    let url = format!("{}/v1/gpu/instance/start", sim.simulator.base_url());
    let send = async |kind: Option<&str>, body: &'static str| {
        let mut request = sim
            .http
            .post(&url)
            .bearer_auth(devstack::novita::DEFAULT_API_KEY);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        request.body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        send(Some("application/json"), "{\"instanceId\":").await,
        400
    );
    assert_eq!(send(None, "{\"instanceId\":\"x\"}").await, 400);
    assert_eq!(
        send(Some("application/json"), "{\"instanceId\":\"x\"}").await,
        404
    );
}

#[tokio::test]
async fn an_empty_cluster_is_filled_in_by_the_server() {
    let sim = Sim::start().await;
    let mut clusters = HashSet::new();
    for _ in 0..20 {
        let id = sim.create(order_with(&json!({ "clusterId": "" }))).await;
        clusters.insert(
            sim.instance(&id).await["clusterId"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert!(clusters.len() > 1, "{clusters:?}");
    let offered: HashSet<String> = ["us-ca-6", "as-sgp-2", "oc-au-1"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert!(clusters.is_subset(&offered), "{clusters:?}");
}

#[tokio::test]
async fn nothing_is_deduplicated() {
    let sim = Sim::start().await;
    assert_ne!(sim.create(order()).await, sim.create(order()).await);
    assert_eq!(
        sim.get("/gpu/instances?name=worker-1").await.ok()["total"],
        2
    );
}
