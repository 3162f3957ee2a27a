//! Spot, health endpoints, forced states, and the control surface itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod simulator_support;

use reqwest::Method;
use serde_json::{Value, json};
use simulator_support::{Sim, UNTIL_PULLING, eventually, order, order_with};
use tokio::net::TcpStream;

async fn spot(sim: &Sim) -> String {
    sim.running(order_with(&json!({ "billingMode": "spot" })))
        .await
}

fn reclaim_time(instance: &Value) -> u64 {
    instance["spotReclaimTime"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_spot_instance_gets_an_hours_notice_and_ends_exited() {
    let sim = Sim::start().await;
    let id = spot(&sim).await;
    let healthy = sim.instance(&id).await;
    assert_eq!(
        (&healthy["spotStatus"], reclaim_time(&healthy)),
        (&json!(""), 0)
    );

    sim.set(&format!("instances/{id}"), json!({ "spot": "notice" }))
        .await;
    let now = sim.show("clock").await["now"].as_f64().unwrap() as u64;
    let notified = sim.instance(&id).await;
    assert_eq!(
        (&notified["status"], &notified["spotStatus"]),
        (&json!("running"), &json!("notified"))
    );
    assert_eq!(reclaim_time(&notified), now + 3600);
    sim.act("migrate", &id).await.refused(400, "CONFLICT");

    sim.advance(3600).await;
    assert_eq!(sim.instance(&id).await["spotStatus"], "reclaiming");
    sim.advance(10).await;
    let ended = sim.instance(&id).await;
    assert_eq!(ended["status"], "exited");
    assert_eq!(reclaim_time(&ended), now + 3600);

    sim.act("start", &id).await.ok();
    sim.advance(6).await;
    let again = sim.instance(&id).await;
    assert_eq!(
        (&again["status"], reclaim_time(&again)),
        (&json!("running"), 0)
    );
}

#[tokio::test]
async fn a_reclaim_can_begin_without_notice() {
    let sim = Sim::start().await;
    let id = spot(&sim).await;
    sim.set(&format!("instances/{id}"), json!({ "spot": "reclaim" }))
        .await;
    assert_eq!(sim.instance(&id).await["spotStatus"], "reclaiming");
    sim.advance(10).await;
    let ended = sim.instance(&id).await;
    assert_eq!(ended["status"], "exited");
    assert_ne!(reclaim_time(&ended), 0);
}

#[tokio::test]
async fn no_notice_comes_by_itself_within_the_protected_hour() {
    let sim = Sim::start().await;
    sim.set("settings", json!({ "spot": { "noticeAfter": 60 } }))
        .await;
    let id = spot(&sim).await;
    sim.advance(3599).await;
    assert_eq!(sim.instance(&id).await["spotStatus"], "");
    sim.advance(1).await;
    assert_eq!(sim.instance(&id).await["spotStatus"], "notified");
}

#[tokio::test]
async fn only_running_spot_instances_are_called_back() {
    let sim = Sim::start().await;
    let on_demand = sim.running(order()).await;
    let early = sim
        .create(order_with(&json!({ "billingMode": "spot" })))
        .await;
    for id in [on_demand, early] {
        let path = format!("instances/{id}");
        let refused = sim
            .control(Method::POST, &path, Some(json!({ "spot": "notice" })))
            .await;
        assert_eq!(refused.status, 400);
        assert!(
            refused.json()["error"]
                .as_str()
                .unwrap()
                .starts_with("spot"),
            "{refused:?}"
        );
    }
}

async fn health(sim: &Sim, endpoint: &str) -> Option<u16> {
    let fresh = sim.http.get(endpoint).header("connection", "close");
    fresh
        .send()
        .await
        .ok()
        .map(|response| response.status().as_u16())
}

#[tokio::test]
async fn http_ports_answer_502_then_200_and_close_with_the_stop() {
    let sim = Sim::start().await;
    let id = sim.running(order()).await;
    let ports = sim.instance(&id).await["portMappings"].clone();
    let http = ports[0]["endpoint"].as_str().unwrap().to_owned();
    let tcp = ports[1]["endpoint"].as_str().unwrap().to_owned();
    assert!(http.starts_with("http://127.0.0.1:"), "{http}");
    assert!(tcp.starts_with("127.0.0.1:"), "{tcp}");
    TcpStream::connect(&tcp).await.unwrap();

    assert_eq!(health(&sim, &http).await, Some(502));
    sim.advance(1).await;
    assert_eq!(health(&sim, &http).await, Some(200));
    assert_eq!(
        sim.http
            .get(&http)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "ok"
    );

    sim.act("stop", &id).await.ok();
    assert_eq!(sim.instance(&id).await["portMappings"][0]["endpoint"], "");
    eventually(async || health(&sim, &http).await, Option::is_none).await;
    eventually(
        async || TcpStream::connect(&tcp).await.is_err(),
        |closed| *closed,
    )
    .await;
}

#[tokio::test]
async fn an_application_can_be_kept_unhealthy() {
    let sim = Sim::start().await;
    sim.set(
        "settings",
        json!({ "apps": { "startDelay": 0, "healthy": false } }),
    )
    .await;
    let id = sim.running(order()).await;
    let endpoint = sim.instance(&id).await["portMappings"][0]["endpoint"].clone();
    let endpoint = endpoint.as_str().unwrap();
    assert_eq!(health(&sim, endpoint).await, Some(502));
    let path = format!("instances/{id}");
    sim.set(&path, json!({ "healthy": true })).await;
    assert_eq!(health(&sim, endpoint).await, Some(200));
    sim.set(&path, json!({ "healthy": false })).await;
    assert_eq!(health(&sim, endpoint).await, Some(502));
}

#[tokio::test]
async fn listeners_follow_the_clock_without_being_asked() {
    let sim = Sim::start().await;
    sim.set("settings", json!({ "apps": { "startDelay": 0 } }))
        .await;
    let id = spot(&sim).await;
    let endpoint = sim.instance(&id).await["portMappings"][0]["endpoint"].clone();
    let endpoint = endpoint.as_str().unwrap();
    assert_eq!(health(&sim, endpoint).await, Some(200));
    sim.set(&format!("instances/{id}"), json!({ "spot": "reclaim" }))
        .await;
    sim.set("clock", json!({ "speed": 1000 })).await;
    eventually(async || health(&sim, endpoint).await, Option::is_none).await;
}

#[tokio::test]
async fn any_status_can_be_forced_and_an_error_holds_it_back() {
    let sim = Sim::start().await;
    let id = sim.create(order()).await;
    let path = format!("instances/{id}");
    sim.set(&path, json!({ "status": "hibernating" })).await;
    sim.advance(1000).await;
    assert_eq!(sim.status(&id).await, "hibernating");
    assert_eq!(sim.billed(&id).await, 1_000_000);

    let failed = json!({ "status": "pulling", "statusError": { "state": "oom", "message": "m" } });
    sim.set(&path, failed).await;
    sim.advance(1000).await;
    let stuck = sim.instance(&id).await;
    assert_eq!(
        (&stuck["status"], &stuck["statusError"]["state"]),
        (&json!("pulling"), &json!("oom"))
    );
    sim.set(&path, json!({ "statusError": { "state": "" } }))
        .await;
    sim.advance(20).await;
    assert_eq!(sim.status(&id).await, "running");

    sim.set(&path, json!({ "status": "exited" })).await;
    assert_eq!(sim.instance(&id).await["portMappings"][0]["endpoint"], "");
}

#[tokio::test]
async fn shorter_delays_apply_from_now_and_never_to_the_past() {
    let sim = Sim::start().await;
    sim.set("settings", json!({ "delays": { "pulling": 10_000 } }))
        .await;
    let id = sim.create(order()).await;
    sim.advance(UNTIL_PULLING + 500).await;
    sim.set("settings", json!({ "delays": { "pulling": 1 } }))
        .await;
    let instance = sim.instance(&id).await;
    assert_eq!(instance["status"], "running");
    let started: u64 = instance["lastStartedAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        started,
        sim.show("clock").await["now"].as_f64().unwrap() as u64
    );
}

#[tokio::test]
async fn bad_control_input_names_the_field() {
    let sim = Sim::start().await;
    let id = sim.create(order()).await;
    for (path, body, field) in [
        ("clock", json!({ "speed": -1 }), "speed"),
        (
            "clock",
            json!({ "advanceSeconds": "long" }),
            "advanceSeconds",
        ),
        ("clock", json!({ "jump": 3 }), "jump"),
        (
            "settings",
            json!({ "delays": { "pulling": [] } }),
            "delays.pulling",
        ),
        ("settings", json!({ "delays": { "waiting": 1 } }), "waiting"),
        (
            "stock",
            json!({ "productId": "4090.16c62g", "clusterId": "us-ca-6" }),
            "available",
        ),
        (
            "stock",
            json!({ "productId": "4090.16c62g", "clusterId": "nowhere", "available": 1 }),
            "clusterId",
        ),
        (
            "products",
            json!({ "products": [{ "id": 7 }] }),
            "products[0].id",
        ),
        (
            "faults",
            json!({ "route": "create", "kind": "explode" }),
            "kind",
        ),
        (
            &format!("instances/{id}"),
            json!({ "status": "" }),
            "status",
        ),
        (
            &format!("instances/{id}"),
            json!({ "health": true }),
            "health",
        ),
    ] {
        let refused = sim.control(Method::POST, path, Some(body.clone())).await;
        assert_eq!(refused.status, 400, "{path} {body}: {refused:?}");
        let error = refused.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(field), "{path} {body}: {error}");
    }
    let unknown = sim
        .control(Method::POST, "instances/none", Some(json!({})))
        .await;
    assert_eq!(unknown.status, 404);
    assert_eq!(sim.control(Method::GET, "reset", None).await.status, 405);
    assert_eq!(
        sim.control(Method::DELETE, "ledger", None).await.status,
        405
    );
    assert_eq!(sim.control(Method::GET, "nothing", None).await.status, 404);
}

#[tokio::test]
async fn the_catalogue_can_be_replaced_and_reset_brings_everything_back() {
    let sim = Sim::start().await;
    let original = sim.show("products").await;
    let mut products = original["products"].clone();
    products[0]["offers"][0]["price"] = json!("12345");
    products[0]["offers"][0]["stock"] = json!(1);
    let rented = sim.running(order()).await;
    sim.set("products", json!({ "products": products })).await;
    let offered = sim
        .get("/products?clusterId=us-ca-6&productName=4090")
        .await
        .ok();
    assert_eq!(offered["data"][0]["price"], "12345");
    assert_eq!(sim.instance(&rented).await["instancePrice"], "35000");

    sim.set("faults", json!({ "route": "*", "kind": "reset" }))
        .await;
    assert_eq!(sim.set("reset", json!({})).await, json!({ "status": "ok" }));
    assert_eq!(sim.show("products").await, original);
    assert_eq!(sim.show("ledger").await["instances"], json!([]));
    assert_eq!(sim.show("faults").await, json!({ "faults": [] }));
    assert_eq!(sim.show("requests").await, json!({ "requests": [] }));
    assert_eq!(sim.show("health").await, json!({ "status": "ok" }));
}
