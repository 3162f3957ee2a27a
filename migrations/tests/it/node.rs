//! The predecessor's data: a dump that its service wrote, taken over from a file and from both kinds of
//! Redis.

use std::path::PathBuf;

use devstack::bridge::{Bridge, BridgeOptions};
use devstack::redis::{RedisOptions, RedisServer};
use serde_json::{Value, json};
use shared::model::{Desired, InstanceId, OperationState, Phase, wanted};
use shared::store::{Record, Store};

use crate::rig::{Rig, Said, TOKEN, ask, client, everything};

over_both_transports!(
    the_dump_is_taken_over_without_a_loss_and_only_once,
    a_plan_of_an_import_writes_nothing,
    a_rollback_leaves_nothing_behind,
    what_was_worked_on_since_is_taken_back_only_by_force,
    every_instance_goes_on_where_it_stood,
    all_that_is_damaged_is_put_aside_with_its_reason,
    a_redis_is_read_over_either_transport_and_never_written,
    the_source_goes_only_after_a_clean_verification,
    environments_are_kept_encrypted_when_there_is_a_secret,
);

pub(crate) fn dump() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/node-redis-dump.json"
    ))
}

fn dump_keys() -> Vec<Value> {
    let text = std::fs::read_to_string(dump()).unwrap();
    let dump: Value = serde_json::from_str(&text).unwrap();
    dump["keys"].as_array().unwrap().clone()
}

async fn import(rig: &Rig, rest: &[&str]) -> Said {
    let path = dump();
    let mut args = vec!["--json", "import-node", "--from", path.to_str().unwrap()];
    args.extend(rest);
    rig.tool(&args).await
}

async fn record(rig: &Rig, id: &str) -> Record {
    let store = Store::new(rig.redis.clone(), rig.keys.clone());
    let id: InstanceId = id.parse().unwrap();
    store.record(&id).await.unwrap().unwrap()
}

async fn the_dump_is_taken_over_without_a_loss_and_only_once(rig: Rig) {
    let first = import(&rig, &[]).await.ending(0).json();
    let states = &first["found"];
    let found = states["instance states"].as_u64().unwrap()
        + states["orphaned states"].as_u64().unwrap_or(0);
    assert_eq!(first["instances"]["new"], found, "{first}");
    assert_eq!(first["webhooks"]["new"], 1, "{first}");
    assert_eq!(first["quarantined"], 0, "{first}");
    let all: u64 = states
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(all, dump_keys().len() as u64, "every key is counted");
    let before = rig.everything().await;
    let again = import(&rig, &[]).await.ending(0).json();
    assert_eq!(again["instances"]["known"], found, "{again}");
    assert_eq!(again["instances"]["new"], 0);
    let now = rig.everything().await;
    assert_eq!(now.changed_since(&before), [""; 0]);
    let verified = import(&rig, &["verify"]).await.ending(0).json();
    assert_eq!(verified["differences"], 0, "{verified}");
    assert_eq!(verified["movedOn"], 0, "{verified}");
}

async fn a_plan_of_an_import_writes_nothing(rig: Rig) {
    for args in [&["plan"][..], &["--dry-run"]] {
        let planned = import(&rig, args).await.ending(0).json();
        assert!(
            planned["instances"]["new"].as_u64().unwrap() > 10,
            "{planned}"
        );
        assert!(rig.everything().await.is_empty());
    }
    import(&rig, &[]).await.ending(0);
    let planned = import(&rig, &["plan"]).await.ending(0).json();
    assert_eq!(planned["instances"]["new"], 0, "{planned}");
}

async fn a_rollback_leaves_nothing_behind(rig: Rig) {
    rig.ask(["SET", "somebody's", "own"]).await;
    let before = rig.everything().await;
    import(&rig, &[]).await.ending(0);
    let would = import(&rig, &["rollback", "--dry-run"])
        .await
        .ending(0)
        .json();
    let undone = import(&rig, &["rollback"]).await.ending(0).json();
    assert_eq!(would["removed"], undone["removed"]);
    let now = rig.everything().await;
    assert_eq!(now.changed_since(&before), [""; 0]);
    import(&rig, &["rollback"]).await.ending(0);
    import(&rig, &[]).await.ending(0);
}

async fn what_was_worked_on_since_is_taken_back_only_by_force(rig: Rig) {
    const ID: &str = "inst_1795380825385_zi93spx";
    import(&rig, &[]).await.ending(0);
    let mut status = record(&rig, ID).await.status.unwrap();
    status.events += 1;
    let text = serde_json::to_string(&status).unwrap();
    rig.ask(["HSET", &rig.keys.status(), ID, &text]).await;
    let budget = rig.keys.budget();
    rig.ask(["HSET", &budget, ID, "70|1", "total", "70"]).await;
    import(&rig, &["verify"]).await.ending(0);
    let refused = import(&rig, &["rollback"]).await.ending(7).json();
    assert_eq!(refused["kept"], 1, "{refused}");
    assert_eq!(record(&rig, ID).await.status.unwrap(), status);
    import(&rig, &["rollback", "--force"]).await.ending(0);
    assert!(rig.everything().await.is_empty());
}

async fn every_instance_goes_on_where_it_stood(rig: Rig) {
    import(&rig, &[]).await.ending(0);
    for (id, phase) in [
        ("inst_1795300000000_n1ghtly", Phase::Ready),
        ("inst_1795380825385_zi93spx", Phase::Ready),
        ("inst_1795380825690_oydtd3d", Phase::Ready),
        ("inst_1795380825732_2ov94si", Phase::Stopped),
        ("inst_1795380825782_5z8fst4", Phase::Stopped),
        ("inst_1795380825809_tn3gc8l", Phase::Starting),
        ("inst_1795380825838_dqa4que", Phase::Starting),
        ("inst_1795380825902_eu9o5xz", Phase::Terminated),
        ("inst_1795380825923_93i37l8", Phase::Failed),
        ("inst_1795300000001_queued1", Phase::Creating),
    ] {
        let found = record(&rig, id).await;
        let status = found.status.as_ref().unwrap();
        assert_eq!(Phase::of(&found.spec, Some(status)), phase, "{id}");
        assert_eq!(status.logged_phase, phase, "{id}");
    }
    let stopped = record(&rig, "inst_1795380825732_2ov94si").await;
    let status = stopped.status.unwrap();
    assert_eq!(wanted(&stopped.spec, &status), Desired::Stopped);
    assert_eq!(
        stopped.spec.desired,
        Desired::Running,
        "what runs is not stopped"
    );
    let starting = record(&rig, "inst_1795380825838_dqa4que").await;
    let operation = starting.status.unwrap().operation.unwrap();
    assert_eq!(operation.state, OperationState::Pending);
    assert!(
        operation.id.as_str().starts_with("startup_"),
        "{operation:?}"
    );
    let holder = rig
        .ask(["HGET", &rig.keys.bound(), "fd9fe3f42f85d2cff"])
        .await;
    assert_eq!(holder.text().unwrap(), "inst_1795380825385_zi93spx");
}

async fn set_json(server: &RedisServer, key: &str, value: &Value) {
    ask(&client(server), ["SET", key, &value.to_string()]).await;
}

fn state(id: &str, change: impl Fn(&mut Value)) -> Value {
    let mut data = json!({
        "id": id, "name": "train", "status": "running", "productId": "p", "templateId": "1",
        "configuration": { "gpuNum": 1, "rootfsSize": 60, "region": "CN-HK-01" },
        "timestamps": { "created": "__DATE__:2026-11-22T20:53:45.819Z" },
        "novitaInstanceId": format!("gpu-{id}"),
    });
    change(&mut data);
    json!({ "data": data, "timestamp": 1_795_380_863_520_u64, "ttl": 86_400_000 })
}

fn state_key(id: &str) -> String {
    format!("cache:instance-states-persistent:{id}")
}

async fn all_that_is_damaged_is_put_aside_with_its_reason(rig: Rig) {
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let redis = client(&server);
    let put = async |id: &str, value: &str| {
        ask(&redis, ["SET", &state_key(id), value]).await;
    };
    set_json(&server, &state_key("good"), &state("good", |_| {})).await;
    let text = state("cut", |_| {}).to_string();
    put("cut", &text[..text.len() / 2]).await;
    let huge = state("huge", |data| {
        data["lastError"] = json!("x".repeat(2_000_000));
    });
    put("huge", &huge.to_string()).await;
    let later = json!({ "version": 9, "payload": {} });
    put("later", &later.to_string()).await;
    let typed = state("typed", |data| {
        data["configuration"]["gpuNum"] = json!("two");
    });
    put("typed", &typed.to_string()).await;
    let twin = state("twin", |data| data["novitaInstanceId"] = json!("gpu-good"));
    put(
        "orphaned_gpu-good_1",
        &twin
            .to_string()
            .replace("\"twin\"", "\"orphaned_gpu-good_1\""),
    )
    .await;
    ask(&redis, ["RPUSH", &state_key("list"), "x"]).await;
    ask(&redis, ["SET", "something", "else"]).await;
    ask(&redis, ["ZADD", "jobs:queue", "1", "job_lost"]).await;
    let bytes = [
        "redis.call('SET', KEYS[1], '\\255\\254')",
        "1",
        &state_key("bytes"),
    ];
    ask(&redis, ["EVAL", bytes[0], bytes[1], bytes[2]]).await;
    let url = server.url();
    let args = ["--json", "import-node", "--from", &url];
    let said = rig.tool(&args).await.ending(6).json();
    assert_eq!(said["instances"]["new"], 1, "{said}");
    let file = rig.dir.path().join("redis-migration-quarantine.jsonl");
    let aside = std::fs::read_to_string(&file).unwrap();
    let reasons: Vec<Value> = aside
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (key, reason) in [
        (state_key("cut"), "not JSON"),
        (state_key("huge"), "more than any record has"),
        (state_key("later"), "not a wrapped value"),
        (state_key("typed"), "invalid type"),
        (
            state_key("orphaned_gpu-good_1"),
            "good holds the same instance",
        ),
        (state_key("list"), "a list where"),
        (state_key("bytes"), "not UTF-8"),
        ("something".to_owned(), "neither a key"),
        ("jobs:data:job_lost".to_owned(), "jobs:queue names it"),
    ] {
        let line = reasons.iter().find(|line| line["key"] == key.as_str());
        let line = line.unwrap_or_else(|| panic!("{key} is not put aside: {reasons:?}"));
        let told = line["reason"].as_str().unwrap();
        assert!(told.contains(reason), "{key}: {told}");
    }
    assert_eq!(said["quarantined"], reasons.len(), "{reasons:?}");
}

/// The dump in a Redis of its own, half of it under the prefix.
pub(crate) async fn restored_dump() -> RedisServer {
    let server = RedisServer::start(RedisOptions::default()).await.unwrap();
    let redis = client(&server);
    for (at, entry) in dump_keys().iter().enumerate() {
        let key = entry["key"].as_str().unwrap();
        let key = if at % 2 == 0 {
            key.to_owned()
        } else {
            format!("novita_api:{key}")
        };
        let value = &entry["value"];
        match entry["type"].as_str().unwrap() {
            "string" => drop(ask(&redis, ["SET", &key, value.as_str().unwrap()]).await),
            "hash" => {
                for (field, value) in value.as_object().unwrap() {
                    ask(&redis, ["HSET", &key, field, value.as_str().unwrap()]).await;
                }
            }
            "zset" => {
                for pair in value.as_array().unwrap() {
                    let (member, score) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
                    ask(&redis, ["ZADD", &key, score, member]).await;
                }
            }
            other => panic!("a {other}"),
        }
    }
    server
}

async fn a_redis_is_read_over_either_transport_and_never_written(rig: Rig) {
    let server = restored_dump().await;
    let before = everything(&server).await;
    let bridge = Bridge::start(BridgeOptions::new(server.addr(), TOKEN))
        .await
        .unwrap();
    let (url, rest) = (server.url(), bridge.url());
    let first = rig.tool(&["--json", "import-node", "--from", &url]).await;
    let first = first.ending(0).json();
    assert_eq!(first["instances"]["quarantined"], 0);
    assert!(first["prefixed"].as_u64().unwrap() > 10, "{first}");
    let upstash = [
        "--from",
        "upstash",
        "--source-url",
        &rest,
        "--source-token",
        TOKEN,
    ];
    let mut args = vec!["--json", "import-node", "verify"];
    args.extend(upstash);
    let verified = rig.tool(&args).await.ending(0).json();
    assert_eq!(verified["instances"]["known"], first["instances"]["new"]);
    args[2] = "run";
    let again = rig.tool(&args).await.ending(0).json();
    assert_eq!(again["instances"]["new"], 0, "{again}");
    let now = everything(&server).await;
    assert_eq!(now.changed_since(&before), [""; 0]);
}

async fn the_source_goes_only_after_a_clean_verification(rig: Rig) {
    let server = restored_dump().await;
    let redis = client(&server);
    let url = server.url();
    let args = ["--json", "import-node", "--from", &url, "--delete-source"];
    ask(&redis, ["SET", "something", "else"]).await;
    let before = everything(&server).await;
    rig.tool(&args).await.ending(7);
    let now = everything(&server).await;
    assert_eq!(now.changed_since(&before), [""; 0]);
    ask(&redis, ["DEL", "something"]).await;
    rig.tool(&args).await.ending(0);
    assert!(everything(&server).await.is_empty());
}

async fn environments_are_kept_encrypted_when_there_is_a_secret(rig: Rig) {
    const ID: &str = "inst_1795380825385_zi93spx";
    const SECRET: &str = "a secret of sixteen or more";
    let tool = async |action: &str| -> Said {
        let path = dump();
        let mut command = rig.command(&["import-node", action, "--from"]);
        let output = command.arg(&path).env("ENVS_SECRET", SECRET).output();
        output.await.unwrap().into()
    };
    tool("run").await.ending(0);
    let key = shared::envs::EnvsKey::derive(SECRET);
    let store = Store::new(rig.redis.clone(), rig.keys.clone()).with_envs_key(key);
    let envs = store.envs(&ID.parse().unwrap()).await.unwrap();
    assert_eq!(
        (envs[0].key.as_str(), envs[0].value.as_str()),
        ("MODEL", "qwen2.5-7b")
    );
    tool("verify").await.ending(0);
    for (key, value) in rig.everything().await.0 {
        let text = String::from_utf8_lossy(&value).into_owned();
        assert!(!text.contains("t0k3n"), "{key} has a secret in clear");
    }
}
