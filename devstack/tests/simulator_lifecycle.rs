//! What an instance goes through, and what that costs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod simulator_support;

use devstack::novita::SimulatorOptions;
use serde_json::json;
use simulator_support::{Sim, UNTIL_PULLING, UNTIL_RUNNING, eventually, order, order_with};

#[tokio::test]
async fn a_new_instance_is_visible_at_once_and_walks_to_running() {
    let sim = Sim::start().await;
    let id = sim.create(order()).await;
    assert_eq!(id.len(), 16);
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        "{id}"
    );
    let mut seen = vec![sim.status(&id).await];
    for delay in [1, 2, 5, 20] {
        sim.advance(delay).await;
        seen.push(sim.status(&id).await);
    }
    assert_eq!(
        seen,
        ["pending", "toCreate", "creating", "pulling", "running"]
    );
}

#[tokio::test]
async fn the_clock_keeps_its_speed() {
    let options = SimulatorOptions {
        speed: 500.0,
        ..SimulatorOptions::default()
    };
    let sim = Sim::with(options).await;
    let id = sim.create(order()).await;
    eventually(async || sim.status(&id).await, |status| status == "running").await;
    sim.set("clock", json!({ "speed": 0 })).await;
    let stopped = sim.show("clock").await;
    assert_eq!(stopped["speed"], 0.0);
    sim.advance(3600).await;
    let jumped = sim.show("clock").await["now"].as_f64().unwrap();
    assert!((jumped - stopped["now"].as_f64().unwrap() - 3600.0).abs() < 0.001);
}

#[tokio::test]
async fn instances_carry_the_documented_types() {
    let sim = Sim::start().await;
    let id = sim
        .create(order_with(&json!({ "gpuNum": 2, "surprise": true })))
        .await;
    let before = sim.instance(&id).await;
    assert_eq!(before["portMappings"][0]["endpoint"], "");
    assert_eq!(before["connectComponentSSH"]["sshCommand"], "");
    assert_eq!(before["lastStartedAt"], "0");
    sim.advance(UNTIL_RUNNING).await;
    let running = sim.instance(&id).await;
    assert_eq!(running["cpuNum"], "32");
    assert_eq!(running["memory"], "124");
    assert_eq!(running["gpuNum"], "2");
    assert_eq!(running["rootfsSize"], 60);
    assert_eq!(running["endTime"], "-1");
    assert_eq!(running["spotReclaimTime"], "0");
    assert_eq!(running["billingMode"], "onDemand");
    assert_eq!(running["clusterName"], "US-CA-06 (California)");
    assert_eq!(
        running["statusError"],
        json!({ "state": "", "message": "" })
    );
    assert_eq!(
        running["envs"],
        json!([{ "key": "OWNER", "value": "batch-42" }])
    );
    assert_eq!(running["portMappings"][0]["port"], 8000);
    assert_eq!(running["portMappings"][0]["type"], "http");
    assert!(
        running["createdAt"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .is_ok()
    );
}

#[tokio::test]
async fn billing_runs_from_pulling_to_the_end_of_the_stop_and_until_removal() {
    let sim = Sim::start().await;
    let id = sim.create(order()).await;
    sim.advance(UNTIL_PULLING).await;
    assert_eq!(sim.billed(&id).await, 0);
    sim.advance(20 + 100).await;
    assert_eq!(sim.billed(&id).await, 120_000);

    assert_eq!(
        sim.act("stop", &id).await.ok(),
        json!({ "instanceId": id, "state": "toStop" })
    );
    sim.advance(2).await;
    assert_eq!(sim.status(&id).await, "stopping");
    sim.advance(1000).await;
    assert_eq!(sim.status(&id).await, "exited");
    assert_eq!(sim.billed(&id).await, 125_000);

    assert_eq!(sim.act("start", &id).await.ok()["state"], "toStart");
    sim.advance(1).await;
    assert_eq!(sim.status(&id).await, "starting");
    sim.advance(5 + 50).await;
    assert_eq!(sim.act("delete", &id).await.ok(), json!({}));
    sim.advance(2).await;
    assert_eq!(sim.status(&id).await, "removing");
    sim.advance(500).await;
    let entry = sim.ledger_entry(&id).await;
    assert_eq!(entry["billedSeconds"], 181.0);
    assert_eq!(entry["status"], "removed");
    assert_eq!(entry["name"], "worker-1");
    assert_eq!(
        entry["envs"],
        json!([{ "key": "OWNER", "value": "batch-42" }])
    );
    let expected = 0.35 * 181.0 / 3600.0;
    assert!(
        (entry["costUsd"].as_f64().unwrap() - expected).abs() < 1e-9,
        "{entry}"
    );
}

#[tokio::test]
async fn one_long_jump_and_many_small_steps_cost_the_same() {
    let sim = Sim::start().await;
    let jumped = sim.create(order()).await;
    sim.advance(UNTIL_RUNNING + 500).await;
    let total = sim.billed(&jumped).await;
    sim.set("reset", json!({})).await;
    let stepped = sim.create(order()).await;
    for _ in 0..UNTIL_RUNNING + 500 {
        sim.advance(1).await;
    }
    assert_eq!(stepped, jumped, "the seed decides the ids");
    assert_eq!(sim.billed(&stepped).await, total);
}

#[tokio::test]
async fn a_removed_instance_is_shown_for_a_minute_and_then_absent() {
    let sim = Sim::start().await;
    let id = sim.running(order()).await;
    sim.act("delete", &id).await.ok();
    sim.advance(4).await;
    assert_eq!(sim.status(&id).await, "removed");
    assert_eq!(
        sim.get("/gpu/instances?status=removed").await.ok()["total"],
        1
    );
    sim.advance(60).await;
    sim.get(&format!("/gpu/instance?instanceId={id}"))
        .await
        .refused(404, "RESOURCE_NOT_FOUND");
    assert_eq!(sim.get("/gpu/instances").await.ok()["total"], 0);
}

#[tokio::test]
async fn deleting_twice_is_not_found_in_each_of_its_forms() {
    let sim = Sim::start().await;
    let id = sim.create(order()).await;
    sim.act("delete", &id).await.ok();
    for (mode, status, message) in [
        ("404", 404, "instance not found"),
        ("not_found", 400, "instance not found"),
        ("not_fount", 400, "instance not fount"),
    ] {
        sim.set("settings", json!({ "notFound": mode })).await;
        for id in [id.as_str(), "0123456789abcdef"] {
            let refusal = sim.act("delete", id).await;
            assert_eq!(refusal.refused(status, "RESOURCE_NOT_FOUND"), message);
        }
    }
}

#[tokio::test]
async fn actions_out_of_place_are_invalid_state_changes() {
    let sim = Sim::start().await;
    let id = sim.create(order()).await;
    let refuse = async |action: &str| {
        let message = sim.act(action, &id).await.refused(400, "CONFLICT");
        assert_eq!(message, "invalid state change", "{action}");
    };
    for action in ["start", "stop", "restart", "migrate"] {
        refuse(action).await;
    }
    sim.advance(UNTIL_RUNNING).await;
    refuse("start").await;
    sim.act("stop", &id).await.ok();
    refuse("stop").await;
    sim.advance(5).await;
    refuse("stop").await;
    refuse("restart").await;
    sim.set("settings", json!({ "wrongStateReason": "OPERATION_LIMIT" }))
        .await;
    sim.act("stop", &id).await.refused(400, "OPERATION_LIMIT");
}

#[tokio::test]
async fn ssh_access_changes_with_every_start() {
    let sim = Sim::start().await;
    let id = sim.running(order()).await;
    let first = sim.instance(&id).await["connectComponentSSH"].clone();
    assert_eq!(first["isRunning"], true);
    assert!(
        first["sshCommand"].as_str().unwrap().starts_with("ssh -p "),
        "{first}"
    );
    assert_eq!(sim.act("restart", &id).await.ok(), json!({}));
    assert_eq!(
        sim.instance(&id).await["connectComponentSSH"]["password"],
        ""
    );
    sim.advance(6).await;
    let second = sim.instance(&id).await["connectComponentSSH"].clone();
    assert_eq!(second["isRunning"], true);
    assert_ne!(first["password"], second["password"]);
}

#[tokio::test]
async fn a_stop_gives_the_gpu_back_and_the_start_after_it_may_fail() {
    let sim = Sim::start().await;
    let stock = json!({ "productId": "4090.16c62g", "clusterId": "us-ca-6", "available": 1 });
    sim.set("stock", stock.clone()).await;
    let first = sim.running(order()).await;
    let sold_out = sim.post("/gpu/instance/create", order()).await;
    sold_out.refused(400, "INSUFFICIENT_RESOURCE");

    sim.act("stop", &first).await.ok();
    sim.post("/gpu/instance/create", order())
        .await
        .refused(400, "INSUFFICIENT_RESOURCE");
    sim.advance(5).await;
    let second = sim.create(order()).await;
    sim.act("start", &first)
        .await
        .refused(400, "INSUFFICIENT_RESOURCE");
    assert_eq!(sim.status(&first).await, "exited");

    sim.act("delete", &second).await.ok();
    sim.advance(4).await;
    sim.act("start", &first).await.ok();
    let free = sim.show("stock").await["stock"].as_array().unwrap().clone();
    assert!(free.contains(&json!({
        "productId": "4090.16c62g", "clusterId": "us-ca-6", "available": 0,
    })));
}

#[tokio::test]
async fn a_migration_is_a_job_that_blocks_other_actions() {
    let sim = Sim::start().await;
    let id = sim.running(order()).await;
    let job = sim.act("migrate", &id).await.ok()["jobId"]
        .as_str()
        .unwrap()
        .to_owned();
    let migrating = sim.instance(&id).await;
    assert_eq!(migrating["status"], "migrating");
    assert_eq!(
        migrating["jobs"],
        json!([{ "id": job, "type": "instanceMigrate" }])
    );
    sim.act("stop", &id).await.refused(400, "CONFLICT");
    assert_eq!(
        sim.get("/jobs?state=running").await.ok()["jobs"][0]["Id"],
        job.as_str()
    );

    sim.advance(20).await;
    let moved = sim.instance(&id).await;
    assert_eq!(
        (&moved["status"], &moved["jobs"]),
        (&json!("running"), &json!([]))
    );
    let listed = sim
        .get(&format!("/jobs?jobId={job}&type=instanceMigrate"))
        .await
        .ok();
    assert_eq!(listed["total"], 1);
    assert_eq!(listed["jobs"][0]["state"]["state"], "success");
    assert_eq!(listed["jobs"][0]["instanceId"], id.as_str());
    assert_eq!(sim.get("/jobs?type=saveImage").await.ok()["total"], 0);
    sim.get("/jobs?state=done")
        .await
        .refused(400, "VALIDATOR_PARAM");
}

#[tokio::test]
async fn a_migration_needs_a_host_and_may_fail() {
    let sim = Sim::start().await;
    let id = sim.running(order()).await;
    let stock = |available: u32| json!({ "productId": "4090.16c62g", "clusterId": "us-ca-6", "available": available });
    sim.set("stock", stock(0)).await;
    sim.act("migrate", &id)
        .await
        .refused(400, "MIGRATE_INSUFFICIENT_RESOURCE");
    sim.set("stock", stock(1)).await;
    sim.set("settings", json!({ "migrationFails": true })).await;
    sim.act("migrate", &id).await.ok();
    sim.advance(20).await;
    assert_eq!(sim.status(&id).await, "exited");
    assert_eq!(
        sim.get("/jobs").await.ok()["jobs"][0]["state"]["state"],
        "fail"
    );
}

#[tokio::test]
async fn a_failed_pull_stays_in_pulling_costs_money_and_can_be_deleted() {
    let sim = Sim::start().await;
    let private = order_with(&json!({ "imageUrl": "registry.acme.example/team/infer:1.4" }));
    let id = sim.create(private.clone()).await;
    sim.advance(UNTIL_PULLING + 3600).await;
    let stuck = sim.instance(&id).await;
    assert_eq!(stuck["status"], "pulling");
    assert_eq!(stuck["statusError"]["state"], "imagePullFailed");
    assert_eq!(sim.billed(&id).await, 3_600_000);
    sim.act("delete", &id).await.ok();

    let mut saved = private.clone();
    saved["imageAuthId"] = json!("6f1c2b0e-4a51-4a7e-9c39-0d5f0f5f7a11");
    let mut inline = private;
    inline["imageAuth"] = json!("acme-pull:pull-secret");
    for order in [saved, inline] {
        sim.running(order).await;
    }
}

#[tokio::test]
async fn a_monthly_instance_is_paid_ahead_and_cannot_be_deleted() {
    let sim = Sim::start().await;
    let id = sim.running(order_with(&json!({ "month": 2 }))).await;
    let instance = sim.instance(&id).await;
    assert_eq!(instance["billingMode"], "monthly");
    assert_ne!(instance["endTime"], "-1");
    sim.act("delete", &id)
        .await
        .refused(400, "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE");
    assert_eq!(sim.ledger_entry(&id).await["costUsd"], 400.0);
}

#[tokio::test]
async fn disk_beyond_the_free_part_costs_until_removal_even_while_stopped() {
    let sim = Sim::start().await;
    let id = sim.running(order_with(&json!({ "rootfsSize": 160 }))).await;
    sim.act("stop", &id).await.ok();
    sim.advance(5).await;
    let stopped = sim.ledger_entry(&id).await["costUsd"].as_f64().unwrap();
    sim.advance(86_400).await;
    let day_later = sim.ledger_entry(&id).await["costUsd"].as_f64().unwrap();
    assert!(
        (day_later - stopped - 0.5).abs() < 1e-9,
        "{stopped} {day_later}"
    );
}
