//! Instances that no record accounts for, because Redis forgot them or somebody made them up.

use std::collections::BTreeMap;
use std::time::Duration;

use devstack::stack::{Stack, StackOptions, Transport, eventually};
use redis::from_redis_value;
use serde_json::{Value, json};
use shared::model::InstanceId;
use shared::redis::Keys;

use crate::support::{Caller, PATIENCE, started};

crate::journeys!(
    a_fleet_of_two_hundred_is_known_again_after_redis_lost_everything,
    what_only_looks_like_ours_is_never_touched,
    an_instance_whose_deleted_record_still_has_it_is_deleted_again,
    a_sync_shows_what_somebody_else_made_and_removed,
    what_nobody_accounts_for_is_stopped_kept_for_a_day_and_deleted,
    a_dry_run_stops_and_deletes_nothing_however_old,
    more_than_a_few_at_once_are_a_matter_for_people,
);

const FLEET: usize = 200;

async fn fleet_stack(transport: Transport, env: &[(&str, &str)]) -> Stack {
    let mut all = vec![("INSTANCE_POLL_INTERVAL".to_owned(), "10".to_owned())];
    all.extend(
        env.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    started(StackOptions {
        transport,
        env: all,
        ..StackOptions::default()
    })
    .await
}

/// The ids of all instances that the API lists in this phase.
async fn listed(caller: &Caller, phase: &str) -> Vec<String> {
    let list = caller.list().await;
    let instances = list["instances"].as_array().unwrap().iter();
    let mut ids: Vec<String> = instances
        .filter(|instance| instance["status"] == phase)
        .map(|instance| instance["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

async fn until_listed(caller: &Caller, phase: &str, ids: &[String], within: Duration) {
    eventually("the whole fleet in the list", within, async || {
        let seen = listed(caller, phase).await;
        if seen == ids {
            Ok(())
        } else {
            Err(format!("{} of {}", seen.len(), ids.len()))
        }
    })
    .await
    .unwrap();
}

/// Waits until the log of each of them begins with its rebuilding: lists may be told from a cache.
async fn until_rebuilt(caller: &Caller, ids: &[String], within: Duration) {
    eventually("the whole fleet rebuilt", within, async || {
        let mut missing = 0;
        for id in ids {
            let events = caller.events(id).await;
            missing += usize::from(events["events"][0]["type"] != "record.rebuilt");
        }
        if missing == 0 {
            Ok(())
        } else {
            Err(format!("{missing} are not"))
        }
    })
    .await
    .unwrap();
}

/// Everything at the provider, with its state.
async fn at_the_provider(caller: &Caller) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ledger = caller.ledger().await;
    let entries = ledger.iter();
    entries
        .map(|entry| (text(&entry["id"]), text(&entry["status"])))
        .collect()
}

async fn a_fleet_of_two_hundred_is_known_again_after_redis_lost_everything(transport: Transport) {
    let mut stack = fleet_stack(transport, &[]).await;
    let caller = Caller::of(&stack);
    caller.make_room(FLEET).await;
    let mut ids = Vec::new();
    for n in 0..FLEET {
        ids.push(caller.create(&format!("fleet-{n}")).await);
    }
    ids.sort();
    until_listed(&caller, "ready", &ids, 3 * PATIENCE).await;
    let before = at_the_provider(&caller).await;
    let empty = stack.redis().command(&["FLUSHALL"]).await;
    empty.unwrap();
    until_rebuilt(&caller, &ids, Duration::from_secs(120)).await;
    until_listed(&caller, "ready", &ids, PATIENCE).await;
    assert_eq!(at_the_provider(&caller).await, before);
    for route in ["stop", "delete"] {
        assert_eq!(caller.calls(route).await, Vec::<Value>::new());
    }
    assert_eq!(caller.calls("create").await.len(), FLEET);
    // It is an instance like any other again.
    caller.delete(&ids[0]).await;
    caller.until(&ids[0], "terminated").await;
}

async fn what_only_looks_like_ours_is_never_touched(transport: Transport) {
    let stack = fleet_stack(
        transport,
        &[
            ("ORPHAN_POLICY", "adopt"),
            ("MARKER_SECRET", "sweeper-secret"),
        ],
    )
    .await;
    let caller = Caller::of(&stack);
    caller.make_room(10).await;
    let id = caller.create("ours").await;
    let ready = caller.until(&id, "ready").await;
    let ours = caller.ledger().await[0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    // The same marker with another attempt, without the signature; and two that are nobody's.
    let twin = format!("{}7", ours.strip_suffix('1').unwrap());
    for name in [
        twin.as_str(),
        "somebody-elses",
        "x-nga-zzzzzz-01JD3Q5V8M0000000000000000-1",
    ] {
        caller.make_elsewhere(name).await;
    }
    let calls = caller.calls("list").await.len();
    eventually("three more passes", PATIENCE, async || {
        let seen = caller.calls("list").await.len();
        if seen >= calls + 3 {
            Ok(())
        } else {
            Err(seen.to_string())
        }
    })
    .await
    .unwrap();
    for route in ["stop", "delete", "start"] {
        assert_eq!(caller.calls(route).await, Vec::<Value>::new());
    }
    let list = caller.list().await;
    assert_eq!(list["total"], 1, "{list}");
    let still = caller.until(&id, "ready").await;
    assert_eq!(still["novitaInstanceId"], ready["novitaInstanceId"]);
}

async fn a_sync_shows_what_somebody_else_made_and_removed(transport: Transport) {
    let stack = fleet_stack(transport, &[("INSTANCE_POLL_INTERVAL", "300")]).await;
    let caller = Caller::of(&stack);
    caller.make_room(10).await;
    let id = caller.create("ours").await;
    let ready = caller.until(&id, "ready").await;
    let foreign = caller.make_elsewhere("somebody-elses").await;
    let synced = caller.sync().await;
    assert_eq!(synced["success"], true, "{synced}");
    assert_eq!(synced["data"]["mergedInstances"], 1, "{synced}");
    assert_eq!(synced["data"]["novitaInstances"], 1, "{synced}");
    let all = caller.comprehensive("").await;
    let entries = all["instances"].as_array().unwrap();
    let sources: Vec<_> = entries
        .iter()
        .map(|entry| (entry["id"].clone(), entry["source"].clone()))
        .collect();
    assert_eq!(
        sources,
        [
            (json!(id), json!("merged")),
            (json!(foreign), json!("novita"))
        ]
    );
    assert!(all["dataAge"].as_u64().unwrap() < 10_000, "{all}");
    let own = caller.comprehensive("?includeNovitaOnly=false").await;
    assert_eq!(own["total"], 1, "{own}");
    let provider_id = ready["novitaInstanceId"].as_str().unwrap();
    caller.remove_elsewhere(provider_id).await;
    eventually("the record's end", 2 * PATIENCE, async || {
        caller.sync().await;
        let all = caller.comprehensive("").await;
        if all["total"] == 1 {
            Ok(())
        } else {
            Err(all.to_string())
        }
    })
    .await
    .unwrap();
    caller.until(&id, "terminated").await;
    assert_eq!(caller.ledger().await.len(), 2, "nothing was ordered anew");
}

async fn an_instance_whose_deleted_record_still_has_it_is_deleted_again(transport: Transport) {
    let stack = fleet_stack(transport, &[]).await;
    let caller = Caller::of(&stack);
    let id = caller.create("undead").await;
    caller.until(&id, "ready").await;
    let name = caller.ledger().await[0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    caller.delete(&id).await;
    caller.until(&id, "terminated").await;
    let again = caller.make_elsewhere(&name).await;
    eventually("its removal", Duration::from_secs(240), async || {
        let ledger = caller.ledger().await;
        let entry = ledger.iter().find(|entry| entry["id"] == again.as_str());
        match entry.map(|entry| entry["status"].clone()) {
            Some(status) if status == json!("removed") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    caller.until(&id, "terminated").await;
}

/// Instances that bear our marker for records that never were, beside one that is ours; that one's id at the
/// provider, and theirs. They are running and known to be suspect.
async fn with_orphans(caller: &Caller, stack: &mut Stack, count: usize) -> (String, Vec<String>) {
    caller.make_room(count + 1).await;
    let id = caller.create("ours").await;
    let ours = caller.until(&id, "ready").await;
    let name = caller.ledger().await[0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut orphans = Vec::new();
    for _ in 0..count {
        let other = InstanceId::generate();
        let (known, other) = (id.parse::<InstanceId>().unwrap(), other.ulid().unwrap());
        let name = name.replace(&known.ulid().unwrap().to_string(), &other.to_string());
        orphans.push(caller.make_elsewhere(&name).await);
    }
    eventually("them among the suspects", PATIENCE, async || {
        let known = suspects(stack).await;
        let is_known = |orphan: &String| known.contains_key(orphan);
        let states = at_the_provider(caller).await;
        if orphans.iter().all(is_known) && states.iter().all(|(_, state)| state == "running") {
            Ok(())
        } else {
            Err(format!("{known:?} {states:?}"))
        }
    })
    .await
    .unwrap();
    let ours = ours["novitaInstanceId"].as_str().unwrap().to_owned();
    (ours, orphans)
}

fn suspects_key() -> String {
    Keys::new("novita_api").suspects()
}

async fn suspects(stack: &mut Stack) -> BTreeMap<String, String> {
    let all = stack.redis().command(&["HGETALL", &suspects_key()]).await;
    from_redis_value(all.unwrap()).unwrap()
}

/// So many minutes pass for all suspects.
async fn let_pass(stack: &mut Stack, minutes: u64) {
    for (id, stored) in suspects(stack).await {
        let mut suspect: Value = serde_json::from_str(&stored).unwrap();
        for time in ["firstSeen", "lastSeen", "since"] {
            if let Some(at) = suspect[time].as_u64() {
                suspect[time] = json!(at - minutes * 60_000);
            }
        }
        let aged = suspect.to_string();
        let words = ["HSET", &suspects_key(), &id, &aged];
        stack.redis().command(&words).await.unwrap();
    }
}

async fn until_state(caller: &Caller, provider_id: &str, state: &str) {
    eventually(
        &format!("{provider_id} {state}"),
        2 * PATIENCE,
        async || {
            let states = at_the_provider(caller).await;
            let it = states.into_iter().find(|(id, _)| id == provider_id);
            match it {
                Some((_, now)) if now == state => Ok(()),
                other => Err(format!("{other:?}")),
            }
        },
    )
    .await
    .unwrap();
}

/// Waits for three more passes, which are half a minute apart at least.
async fn more_passes(caller: &Caller) {
    let passes = async || {
        let path = "instances/migration/scheduler/status";
        caller.read(path).await["status"]["totalExecutions"].as_u64()
    };
    let before = passes().await.unwrap();
    eventually("three more passes", 2 * PATIENCE, async || {
        match passes().await {
            Some(now) if now >= before + 3 => Ok(()),
            now => Err(format!("{now:?}")),
        }
    })
    .await
    .unwrap();
}

async fn what_nobody_accounts_for_is_stopped_kept_for_a_day_and_deleted(transport: Transport) {
    let mut stack = fleet_stack(transport, &[("ORPHAN_POLICY", "quarantine")]).await;
    let caller = Caller::of(&stack);
    let (ours, orphans) = with_orphans(&caller, &mut stack, 1).await;
    let_pass(&mut stack, 16).await;
    until_state(&caller, &orphans[0], "exited").await;
    assert_eq!(caller.calls("delete").await, Vec::<Value>::new());
    let_pass(&mut stack, 25 * 60).await;
    until_state(&caller, &orphans[0], "removed").await;
    until_state(&caller, &ours, "running").await;
}

async fn a_dry_run_stops_and_deletes_nothing_however_old(transport: Transport) {
    let env = [("ORPHAN_POLICY", "quarantine"), ("ORPHAN_DRY_RUN", "true")];
    let mut stack = fleet_stack(transport, &env).await;
    let caller = Caller::of(&stack);
    let (_, orphans) = with_orphans(&caller, &mut stack, 1).await;
    let_pass(&mut stack, 48 * 60).await;
    more_passes(&caller).await;
    for route in ["stop", "delete"] {
        assert_eq!(caller.calls(route).await, Vec::<Value>::new());
    }
    until_state(&caller, &orphans[0], "running").await;
}

async fn more_than_a_few_at_once_are_a_matter_for_people(transport: Transport) {
    let mut stack = fleet_stack(transport, &[("ORPHAN_POLICY", "quarantine")]).await;
    let caller = Caller::of(&stack);
    let (ours, orphans) = with_orphans(&caller, &mut stack, 6).await;
    let_pass(&mut stack, 16).await;
    more_passes(&caller).await;
    assert_eq!(caller.calls("stop").await, Vec::<Value>::new());
    for one in orphans.iter().chain([&ours]) {
        until_state(&caller, one, "running").await;
    }
}
