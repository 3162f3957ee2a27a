//! What is stopped on behalf of its caller, because nobody uses it or because it runs for too long.

use devstack::stack::{Stack, StackOptions, Transport, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::past::Past;
use crate::support::{Caller, PATIENCE, started};

crate::journeys!(
    an_idle_instance_is_announced_stopped_once_and_runs_again_when_it_is_started,
    whoever_uses_it_keeps_it_and_hears_that_its_stop_is_off,
    one_that_was_restarted_is_stopped_like_any_other_and_not_sooner,
    a_decided_stop_survives_its_worker_and_a_use_before_the_call_wins,
    a_later_wish_of_the_caller_wins_over_the_stop_of_a_policy,
    f11_f12_a_stop_that_fails_is_called_again_and_stopped_only_when_confirmed,
    what_somebody_starts_by_hand_is_not_stopped_again_at_once,
    a_dry_run_stops_nothing_tells_nobody_and_counts,
    a_lifetime_ends_what_is_in_use_or_unhealthy_but_not_what_is_protected,
    f15_f25_what_others_made_is_left_alone_and_no_record_expires,
    time_in_which_nobody_watched_does_not_count,
);

const BOOT: [&str; 4] = ["creating", "running", "health_checking", "ready"];

async fn strict(transport: Transport, more: &[(&str, &str)]) -> Stack {
    let env = [
        ("AUTO_STOP_ENABLED", "true"),
        // Nothing shows in the list before it is looked for.
        ("INSTANCE_POLL_INTERVAL", "10"),
    ];
    let env = env.iter().chain(more);
    started(StackOptions {
        transport,
        env: env
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..StackOptions::default()
    })
    .await
}

/// The events of these kinds.
async fn told(caller: &Caller, id: &str, kind: &str) -> Vec<Value> {
    let log = caller.events(id).await;
    let events = log["events"].as_array().unwrap().iter();
    events
        .filter(|event| event["type"] == kind)
        .cloned()
        .collect()
}

/// Waits until the log has so many events of this kind.
async fn until_logged(caller: &Caller, id: &str, kind: &str, count: usize) -> Value {
    eventually(&format!("{kind} of {id}"), PATIENCE, async || {
        let mut events = told(caller, id, kind).await;
        if events.len() == count {
            Ok(events.remove(count - 1))
        } else {
            Err(format!("{} of them", events.len()))
        }
    })
    .await
    .unwrap()
}

async fn stats(caller: &Caller) -> Value {
    caller.read("instances/auto-stop/stats").await
}

fn by_rule(name: &str) -> Value {
    json!({"kind": "policy", "name": name})
}

async fn an_idle_instance_is_announced_stopped_once_and_runs_again_when_it_is_started(
    transport: Transport,
) {
    let mut stack = strict(transport, &[]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let id = caller.create("idle").await;
    caller.until(&id, "ready").await;
    caller.touch(&id).await;
    past.let_pass(&id, 10).await;
    assert_eq!(stats(&caller).await["watched"], 1);
    assert_eq!(told(&caller, &id, "instance.stop_announced").await.len(), 0);

    past.let_pass(&id, 9).await;
    let warning = until_logged(&caller, &id, "instance.stop_announced", 1).await;
    assert_eq!(warning["cause"], by_rule("AUTO_STOP"), "{warning}");
    assert!(warning["data"]["stopsAt"].is_string(), "{warning}");
    assert_eq!(caller.instance(&id).await["status"], "ready");
    assert!(caller.calls("stop").await.is_empty());

    past.let_pass(&id, 3).await;
    let stopped = caller.until(&id, "stopped").await;
    assert_eq!(stopped["stopReason"], "idle", "{stopped}");
    assert_eq!(stopped["providerStatus"], "exited");
    let mut expected = BOOT.to_vec();
    expected.extend(["stop_announced", "stopped"]);
    let hooks = caller.until_told(&id, &expected).await;
    let last = &hooks[expected.len() - 1];
    assert_eq!(last["data"]["reason"], "idle", "{last}");
    assert!(last["reason"].as_str().unwrap().contains("used"), "{last}");
    for kind in ["instance.stopping", "instance.stopped"] {
        let event = until_logged(&caller, &id, kind, 1).await;
        assert_eq!(event["cause"], by_rule("AUTO_STOP"), "{event}");
    }
    let operation = stopped["operationId"].as_str().unwrap();
    assert_eq!(caller.operation(operation).await["state"], "succeeded");
    let now = stats(&caller).await;
    assert_eq!(
        (&now["watched"], &now["stoppedIdle"]),
        (&json!(0), &json!(1))
    );
    // It stays stopped, for a day if need be.
    past.let_pass(&id, 24 * 60).await;
    assert_eq!(caller.instance(&id).await["status"], "stopped");
    assert_eq!(caller.calls("stop").await.len(), 1);

    let (status, answer) = caller.change(&id, "start").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let again = caller.until(&id, "ready").await;
    assert!(again.get("stopReason").is_none(), "{again}");
    past.let_pass(&id, 40).await;
    assert_eq!(caller.instance(&id).await["status"], "ready");
    assert_eq!(stats(&caller).await["announced"], 0);
    assert_eq!(caller.calls("stop").await.len(), 1);
}

async fn whoever_uses_it_keeps_it_and_hears_that_its_stop_is_off(transport: Transport) {
    let mut stack = strict(transport, &[]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let id = caller.create("used").await;
    caller.until(&id, "ready").await;
    for _ in 0..3 {
        caller.touch(&id).await;
        past.let_pass(&id, 17).await;
    }
    past.let_pass(&id, 2).await;
    until_logged(&caller, &id, "instance.stop_announced", 1).await;
    caller.touch(&id).await;
    past.let_pass(&id, 3).await;
    until_logged(&caller, &id, "instance.stop_called_off", 1).await;
    let mut expected = BOOT.to_vec();
    expected.extend(["stop_announced", "stop_called_off"]);
    caller.until_told(&id, &expected).await;
    let shown = caller.instance(&id).await;
    assert_eq!(shown["status"], "ready", "{shown}");
    assert!(shown["lastUsedAt"].is_string(), "{shown}");
    assert!(caller.calls("stop").await.is_empty());
}

async fn one_that_was_restarted_is_stopped_like_any_other_and_not_sooner(transport: Transport) {
    let mut stack = strict(transport, &[]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let wish = json!({"autoStop": {"idleMinutes": 30}});
    let id = caller.create_with("restarted", &wish).await;
    caller.until(&id, "ready").await;
    past.let_pass(&id, 25).await;
    let (_, restart) = caller.change(&id, "restart").await;
    caller.until_done(&restart).await;
    caller.until(&id, "ready").await;
    past.let_pass(&id, 25).await;
    assert!(
        told(&caller, &id, "instance.stop_announced")
            .await
            .is_empty()
    );
    past.let_pass(&id, 4).await;
    until_logged(&caller, &id, "instance.stop_announced", 1).await;
    past.let_pass(&id, 3).await;
    caller.until(&id, "stopped").await;
    assert_eq!(caller.calls("restart").await.len(), 1);
    assert_eq!(caller.calls("stop").await.len(), 1);
    let off = told(&caller, &id, "instance.stop_called_off").await;
    assert!(off.is_empty(), "{off:?}");
}

/// What a worker leaves behind that is killed when it has decided and not called yet.
async fn a_decided_stop_survives_its_worker_and_a_use_before_the_call_wins(transport: Transport) {
    let mut stack = strict(transport, &[]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let mut ids = Vec::new();
    for name in ["in-use", "idle"] {
        let id = caller.create(name).await;
        caller.until(&id, "ready").await;
        ids.push(id);
    }
    let (used, idle) = (&ids[0], &ids[1]);
    for id in &ids {
        past.let_pass(id, 100).await;
        until_logged(&caller, id, "instance.stop_announced", 1).await;
    }
    for id in &ids {
        past.decide_stop(id, 3).await;
        assert_eq!(caller.instance(id).await["status"], "stopping");
        if id == used {
            caller.touch(id).await;
        }
    }
    past.go_on(&ids).await;
    until_logged(&caller, used, "instance.stop_called_off", 1).await;
    caller.until(used, "ready").await;
    let stopped = caller.until(idle, "stopped").await;
    assert_eq!(stopped["stopReason"], "idle", "{stopped}");
    let stops = caller.calls("stop").await;
    assert_eq!(stops.len(), 1, "{stops:?}");
}

async fn a_later_wish_of_the_caller_wins_over_the_stop_of_a_policy(transport: Transport) {
    let mut stack = strict(transport, &[]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let mut ids = Vec::new();
    for name in ["started", "stopped", "deleted"] {
        let id = caller.create(name).await;
        caller.until(&id, "ready").await;
        past.let_pass(&id, 100).await;
        until_logged(&caller, &id, "instance.stop_announced", 1).await;
        ids.push(id);
    }
    for id in &ids {
        past.decide_stop(id, 3).await;
    }
    let (_, start) = caller.change(&ids[0], "start").await;
    assert_eq!(start["status"], "starting", "{start}");
    let (_, stop) = caller.change(&ids[1], "stop").await;
    caller.delete(&ids[2]).await;
    past.go_on(&ids).await;
    caller.until_done(&start).await;
    caller.until(&ids[0], "ready").await;
    caller.until_done(&stop).await;
    let stopped = caller.until(&ids[1], "stopped").await;
    assert!(stopped.get("stopReason").is_none(), "{stopped}");
    caller.until(&ids[2], "terminated").await;
    assert_eq!(caller.calls("stop").await.len(), 1, "the caller's own");
    assert!(caller.calls("start").await.is_empty(), "it never stopped");
}

async fn f11_f12_a_stop_that_fails_is_called_again_and_stopped_only_when_confirmed(
    transport: Transport,
) {
    let mut stack = strict(transport, &[]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let id = caller.create("stubborn").await;
    caller.until(&id, "ready").await;
    past.let_pass(&id, 100).await;
    until_logged(&caller, &id, "instance.stop_announced", 1).await;
    let fault = json!({"route": "stop", "kind": "status", "when": "before", "status": 500,
        "reason": "UNKNOWN", "count": 2});
    caller.fault(fault).await;
    let delays = json!({"delays": {"toStop": 5, "stopping": 5}});
    caller.control("settings", delays).await;
    past.pass(&id, 3).await;
    let shown = caller.until(&id, "stopping").await;
    assert_eq!(shown["stopReason"], "idle", "{shown}");
    let shown = eventually("the end of the stop", PATIENCE, async || {
        let shown = caller.instance(&id).await;
        if shown["status"] == "stopping" {
            return Err(shown.to_string());
        }
        Ok(shown)
    })
    .await
    .unwrap();
    let words = (&shown["status"], &shown["providerStatus"]);
    assert_eq!(words, (&json!("stopped"), &json!("exited")), "{shown}");
    assert_eq!(caller.calls("stop").await.len(), 3);
}

async fn what_somebody_starts_by_hand_is_not_stopped_again_at_once(transport: Transport) {
    let mut stack = strict(transport, &[]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let id = caller.create("by-hand").await;
    caller.until(&id, "ready").await;
    past.let_pass(&id, 100).await;
    until_logged(&caller, &id, "instance.stop_announced", 1).await;
    past.let_pass(&id, 3).await;
    let stopped = caller.until(&id, "stopped").await;
    let path = format!(
        "instances/{}",
        stopped["novitaInstanceId"].as_str().unwrap()
    );
    caller.control(&path, json!({"status": "running"})).await;
    let again = caller.until(&id, "ready").await;
    assert!(again.get("stopReason").is_none(), "{again}");
    past.let_pass(&id, 40).await;
    assert_eq!(caller.instance(&id).await["status"], "ready");
    assert_eq!(caller.calls("stop").await.len(), 1);
}

async fn a_dry_run_stops_nothing_tells_nobody_and_counts(transport: Transport) {
    let mut stack = strict(transport, &[("AUTO_STOP_DRY_RUN", "true")]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let id = caller.create("spared").await;
    caller.until(&id, "ready").await;
    past.let_pass(&id, 100).await;
    let counted = async |withheld| {
        let counts = stats(&caller).await;
        let is_so = counts["withheld"] == withheld && counts["watched"] == 1;
        if is_so {
            Ok(counts)
        } else {
            Err(counts.to_string())
        }
    };
    past.let_pass(&id, 3).await;
    let counts = eventually("one withheld", PATIENCE, async || counted(1).await).await;
    let counts = counts.unwrap();
    assert_eq!(
        (&counts["dryRun"], &counts["announced"]),
        (&json!(true), &json!(0))
    );
    past.let_pass(&id, 600).await;
    caller.touch(&id).await;
    past.let_pass(&id, 1).await;
    eventually("none withheld", PATIENCE, async || counted(0).await)
        .await
        .unwrap();
    caller.until_told(&id, &BOOT).await;
    assert_eq!(caller.instance(&id).await["status"], "ready");
    assert!(caller.calls("stop").await.is_empty());
}

async fn a_lifetime_ends_what_is_in_use_or_unhealthy_but_not_what_is_protected(
    transport: Transport,
) {
    let more = [
        ("INSTANCE_MAX_LIFETIME_HOURS", "2"),
        ("AUTO_STOP_ENABLED", "false"),
    ];
    let mut stack = strict(transport, &more).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let hour = json!({"maxLifetimeHours": 1});
    let busy = caller.create_with("busy", &hour).await;
    let sick = caller.create("sick").await;
    let safe = caller
        .create_with("safe", &json!({"protected": true}))
        .await;
    for id in [&busy, &sick, &safe] {
        caller.until(id, "ready").await;
    }
    let provider_id = caller.instance(&sick).await["novitaInstanceId"].clone();
    let path = format!("instances/{}", provider_id.as_str().unwrap());
    caller.control(&path, json!({"healthy": false})).await;
    caller.change(&sick, "restart").await;
    caller.until(&sick, "health_checking").await;

    past.let_pass(&busy, 56).await;
    caller.touch(&busy).await;
    let warning = until_logged(&caller, &busy, "instance.stop_announced", 1).await;
    assert_eq!(warning["cause"], by_rule("MAX_LIFETIME"), "{warning}");
    caller.touch(&busy).await;
    past.let_pass(&busy, 5).await;
    let stopped = caller.until(&busy, "stopped").await;
    assert_eq!(stopped["stopReason"], "lifetime", "{stopped}");
    // Its boot comes to nothing, and then it is as old as it may get.
    past.let_pass(&sick, 116).await;
    until_logged(&caller, &sick, "instance.start_failed", 1).await;
    until_logged(&caller, &sick, "instance.stop_announced", 1).await;
    past.let_pass(&sick, 5).await;
    caller.until(&sick, "stopped").await;
    past.let_pass(&safe, 600).await;
    assert_eq!(caller.instance(&safe).await["status"], "ready");
    assert_eq!(caller.calls("stop").await.len(), 2);

    // A start begins a new life.
    caller.change(&busy, "start").await;
    caller.until(&busy, "ready").await;
    past.let_pass(&busy, 50).await;
    assert_eq!(caller.instance(&busy).await["status"], "ready");
    assert_eq!(
        told(&caller, &busy, "instance.stop_announced").await.len(),
        1
    );
}

async fn f15_f25_what_others_made_is_left_alone_and_no_record_expires(transport: Transport) {
    let mut stack = strict(transport, &[]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let id = caller.create("ours").await;
    let ready = caller.until(&id, "ready").await;
    let foreign = caller.make_elsewhere("theirs").await;
    past.let_pass(&id, 24 * 60).await;
    until_logged(&caller, &id, "instance.stop_announced", 1).await;
    past.let_pass(&id, 10).await;
    caller.until(&id, "stopped").await;
    eventually("theirs runs", PATIENCE, async || {
        let ledger = caller.ledger().await;
        let theirs = ledger.iter().find(|entry| entry["id"] == foreign.as_str());
        match theirs {
            Some(entry) if entry["status"] == "running" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    let stops = caller.calls("stop").await;
    assert_eq!(stops.len(), 1, "{stops:?}");
    let stopped = stops[0]["body"].to_string();
    let ours = ready["novitaInstanceId"].as_str().unwrap();
    assert!(stopped.contains(ours), "{stopped}");
    assert!(!stopped.contains(&foreign), "{stopped}");
    for key in past.keys().await {
        assert_eq!(past.expiry(&key).await, -1, "{key}");
    }
}

async fn time_in_which_nobody_watched_does_not_count(transport: Transport) {
    let mut stack = strict(transport, &[]).await;
    let (caller, past) = (Caller::of(&stack), Past::of(&mut stack));
    let id = caller.create("unwatched").await;
    caller.until(&id, "ready").await;
    caller.touch(&id).await;
    past.let_pass(&id, 15).await;
    // For hours neither a worker looked, nor could anybody say that it is used.
    past.let_pass_unwatched(&id, 300).await;
    assert!(
        told(&caller, &id, "instance.stop_announced")
            .await
            .is_empty()
    );
    past.let_pass(&id, 40).await;
    assert!(
        told(&caller, &id, "instance.stop_announced")
            .await
            .is_empty()
    );
    past.let_pass(&id, 4).await;
    until_logged(&caller, &id, "instance.stop_announced", 1).await;
}
