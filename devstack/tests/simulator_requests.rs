//! What create accepts, and how reads filter, page and authenticate.
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

fn names(list: &Value) -> Vec<&str> {
    list["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn lists_page_with_a_total_and_count_pages_from_zero_or_one() {
    let sim = Sim::start().await;
    for i in 0..12 {
        sim.create(order_with(&json!({ "name": format!("job-{i}") })))
            .await;
    }
    let first = sim.get("/gpu/instances").await.ok();
    assert_eq!((names(&first).len(), &first["total"]), (10, &json!(12)));
    for same in [
        "pageNum=0",
        "pageNum=1&pageSize=0",
        "pageNumber=2",
        "page=2&page_size=3",
    ] {
        assert_eq!(
            names(&sim.get(&format!("/gpu/instances?{same}")).await.ok()),
            names(&first)
        );
    }
    let mut seen = HashSet::new();
    for page in 1..=3 {
        let list = sim
            .get(&format!("/gpu/instances?pageSize=5&pageNum={page}"))
            .await
            .ok();
        assert_eq!(list["total"], 12);
        seen.extend(names(&list).into_iter().map(str::to_owned));
    }
    assert_eq!(seen.len(), 12);
    let beyond = sim.get("/gpu/instances?pageSize=5&pageNum=4").await.ok();
    assert_eq!(
        (&beyond["instances"], &beyond["total"]),
        (&json!([]), &json!(12))
    );
    sim.set("settings", json!({ "maxPageSize": 7 })).await;
    assert_eq!(
        names(&sim.get("/gpu/instances?pageSize=500").await.ok()).len(),
        7
    );
    sim.get("/gpu/instances?pageSize=many")
        .await
        .refused(400, "VALIDATOR_PARAM");
}

#[tokio::test]
async fn names_match_fuzzily_and_statuses_exactly() {
    let sim = Sim::start().await;
    for name in ["Render-A", "render-ab", "train"] {
        sim.create(order_with(&json!({ "name": name }))).await;
    }
    let total = async |query: &str| {
        sim.get(&format!("/gpu/instances?{query}")).await.ok()["total"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(total("name=render-a").await, 2);
    assert_eq!(total("name=ENDER-AB").await, 1);
    assert_eq!(total("productName=4090&name=train").await, 1);
    assert_eq!(total("productName=h100").await, 0);
    assert_eq!(total("status=pending").await, 3);
    assert_eq!(total("status=pend").await, 0);
}

#[tokio::test]
async fn lists_leak_passwords_and_can_be_sparse() {
    let sim = Sim::start().await;
    let id = sim.running(order()).await;
    let item = sim.get("/gpu/instances").await.ok()["instances"][0].clone();
    let password = sim.instance(&id).await["connectComponentSSH"]["password"].clone();
    assert_eq!(item["sshPassword"], password);
    assert_ne!(password, "");
    assert_eq!(item["envs"][0]["value"], "batch-42");
    assert!(
        item.get("connectComponentSSH").is_none() && item.get("jobs").is_none(),
        "{item}"
    );
    assert_ne!(item["portMappings"][0]["endpoint"], "");

    sim.set("settings", json!({ "sparseList": true })).await;
    let sparse = sim.get("/gpu/instances").await.ok()["instances"][0].clone();
    assert_eq!(sparse["portMappings"][0]["endpoint"], "");
    assert!(sparse.get("sshPassword").is_none(), "{sparse}");
}

#[tokio::test]
async fn zero_values_are_emitted_omitted_or_null() {
    let sim = Sim::start().await;
    let id = sim.create(order()).await;
    assert_eq!(sim.instance(&id).await["spotStatus"], "");
    sim.set("settings", json!({ "zeroValues": "omit" })).await;
    let omitted = sim.instance(&id).await;
    assert!(
        omitted.get("spotStatus").is_none() && omitted.get("jobs").is_none(),
        "{omitted}"
    );
    assert_eq!(omitted["gpuNum"], "1");
    sim.set("settings", json!({ "zeroValues": "null" })).await;
    assert_eq!(
        sim.instance(&id).await.get("spotStatus"),
        Some(&Value::Null)
    );
}

#[tokio::test]
async fn action_bodies_can_be_as_documented_or_missing() {
    let sim = Sim::start().await;
    sim.set("settings", json!({ "actionBody": "object" })).await;
    let id = sim.running(order()).await;
    assert_eq!(sim.act("stop", &id).await.ok(), json!({}));
    sim.set("settings", json!({ "actionBody": "empty" })).await;
    sim.advance(5).await;
    let started = sim.act("start", &id).await;
    assert_eq!((started.status, started.body.as_str()), (200, ""));
}

#[tokio::test]
async fn products_show_the_prices_and_the_stock_of_the_cluster_asked_for() {
    let sim = Sim::start().await;
    let price = async |query: &str| {
        let products = sim.get(&format!("/products?{query}")).await.ok();
        let mut found = products["data"].as_array().unwrap().clone();
        found.retain(|product| product["id"] == "4090.16c62g");
        found
            .first()
            .map(|p| (p["price"].clone(), p["spotPrice"].clone()))
    };
    assert_eq!(price("").await, Some((json!("35000"), json!("18000"))));
    assert_eq!(
        price("clusterId=as-sgp-2").await,
        Some((json!("36000"), json!("17500")))
    );
    assert_eq!(price("clusterId=eu-de-1").await, None);
    assert_eq!(
        price("clusterId=oc-au-1&gpuNum=4").await.unwrap().0,
        "34500"
    );
    assert_eq!(price("clusterId=oc-au-1&gpuNum=5").await, None);
    assert_eq!(
        price("productName=rtx%204090&minRootFSSize=1900")
            .await
            .unwrap()
            .0,
        "35000"
    );
    assert_eq!(price("minRootFSSize=1901").await, None);
    assert_eq!(price("minMemoryPerGpu=63").await, None);
    sim.get("/products?billingMethod=on-demand")
        .await
        .refused(400, "VALIDATOR_PARAM");
    sim.get("/products?gpuNum=9")
        .await
        .refused(400, "VALIDATOR_PARAM");

    let monthly = sim.get("/products?billingMethod=monthly").await.ok();
    let ids: Vec<&Value> = monthly["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["id"])
        .collect();
    assert_eq!(ids, ["4090.16c62g", "h100.26c200g"]);
}

#[tokio::test]
async fn products_follow_the_stock() {
    let sim = Sim::start().await;
    let product = async || {
        let products = sim.get("/products?productName=3090").await.ok();
        products["data"][0].clone()
    };
    let before = product().await;
    assert_eq!(
        before["regions"],
        json!(["US-01 (Oregon)", "EU-01 (Amsterdam)"])
    );
    assert_eq!(
        (&before["inventoryState"], &before["availableDeploy"]),
        (&json!("high"), &json!(true))
    );
    for cluster in ["us-west-1", "eu-west-1"] {
        let stock = json!({ "productId": "3090.16c92g", "clusterId": cluster, "available": 0 });
        sim.set("stock", stock).await;
    }
    let after = product().await;
    assert_eq!(after["regions"], json!([]));
    assert_eq!(
        (&after["inventoryState"], &after["availableDeploy"]),
        (&json!("none"), &json!(false))
    );
}

#[tokio::test]
async fn clusters_templates_and_auths_fit_together() {
    let sim = Sim::start().await;
    let clusters = sim.get("/clusters").await.ok();
    let hong_kong = clusters["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["id"] == "cn-hongkong-1");
    assert_eq!(hong_kong.unwrap()["name"], "CN-HK-01 (Hong Kong)");
    assert_eq!(
        hong_kong.unwrap()["availableGpuType"],
        json!(["RTX 4090 24GB"])
    );

    let template = sim.get("/template?templateId=100777").await.ok()["template"].clone();
    assert_eq!(template["Id"], "100777");
    assert_eq!(
        template["ports"],
        json!([{ "type": "http", "ports": [8000, 9090] }])
    );
    let auths = sim.get("/repository/auths").await.ok();
    assert_eq!(auths["data"][0]["id"], template["imageAuth"]);
    assert_eq!(auths["data"][0]["username"], "acme-pull");

    sim.get("/template?templateId=1")
        .await
        .refused(400, "TEMPLATE_NOT_FOUND");
    sim.get("/template").await.refused(400, "VALIDATOR_PARAM");
    let listed = sim
        .get("/templates?channel=official,private&pageSize=1&pageNum=2")
        .await
        .ok();
    assert_eq!(
        (&listed["total"], &listed["template"][0]["Id"]),
        (&json!(2), &json!("100777"))
    );
    assert_eq!(
        sim.get("/templates?name=nothing").await.ok()["template"],
        Value::Null
    );
}

#[tokio::test]
async fn a_missing_or_wrong_key_is_refused_and_changes_nothing() {
    let sim = Sim::start().await;
    let url = format!("{}/v1/gpu/instance/create", sim.simulator.base_url());
    let send = async |authorization: Option<&str>| {
        let mut request = sim.http.post(&url).json(&order());
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let response = request.send().await.unwrap();
        (
            response.status().as_u16(),
            response.json::<Value>().await.unwrap(),
        )
    };
    let refused = json!({ "code": 403, "reason": "INVALID_API_KEY", "message": "invalid api-key" });
    for authorization in [
        None,
        Some("Bearer wrong"),
        Some("simulated-novita-key"),
        Some("Bearer "),
    ] {
        assert_eq!(
            send(authorization).await,
            (403, refused.clone()),
            "{authorization:?}"
        );
    }
    sim.set("settings", json!({ "authError": "UNAUTHORIZED" }))
        .await;
    let (status, envelope) = send(None).await;
    assert_eq!((status, &envelope["reason"]), (401, &json!("UNAUTHORIZED")));
    assert_eq!(sim.show("ledger").await["instances"], json!([]));
}

#[tokio::test]
async fn unknown_paths_and_methods_get_no_envelope() {
    let sim = Sim::start().await;
    let lost = sim.get("/gpu/instance/list").await;
    assert_eq!(
        (lost.status, lost.body.as_str()),
        (404, "404 page not found\n")
    );
    assert_eq!(sim.get("/gpu/instance/create").await.status, 405);
    assert_eq!(sim.post("/gpu/instances", json!({})).await.status, 405);
}
