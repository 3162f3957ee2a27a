//! What is told about an instance beside its state: what it costs, and how it came to its phase.

use devstack::stack::{Stack, StackOptions, Transport, eventually};
use serde_json::{Value, json};
use shared::clock::Millis;
use shared::model::{Event, replay};
use shared::queue::{Job, Periodic, Queue};
use shared::redis::{Command, Keys, Redis, RedisOptions, Repeat, Target};

use crate::support::{Caller, PATIENCE, stack, started};

crate::journeys!(
    the_cost_follows_the_providers_bill,
    the_log_explains_every_phase_of_a_life,
    the_log_explains_a_failed_boot_and_a_loss,
    the_log_explains_what_others_do_to_an_instance,
    a_deleted_instance_is_forgotten_when_its_time_is_over,
);

/// Every change is seen late by the time between two looks and what a busy machine adds to it.
const LATE_S: f64 = 2.0;

/// Looks at settled instances often.
async fn watchful(transport: Transport) -> Stack {
    let env = vec![("INSTANCE_POLL_INTERVAL".to_owned(), "10".to_owned())];
    started(StackOptions {
        transport,
        env,
        ..StackOptions::default()
    })
    .await
}

/// The provider's second is ours, and its steps are short.
async fn slow_down(caller: &Caller) {
    caller.control("clock", json!({"speed": 1})).await;
    let delays = json!({
        "pending": 0.1, "toCreate": 0.1, "creating": 0.1, "pulling": 1, "toStart": 0.1,
        "starting": 0.5, "toStop": 0.1, "stopping": 0.5, "toRemove": 0.1, "removing": 0.1,
    });
    caller.control("settings", json!({"delays": delays})).await;
}

fn number(text: &Value) -> f64 {
    text.as_str().unwrap().parse().unwrap()
}

/// Compares our reckoning with the provider's: `edges` times something began or ended.
async fn compare(caller: &Caller, id: &str, rate: f64, edges: f64) -> f64 {
    let entry = caller.ledger().await.remove(0);
    let instance = caller.instance(id).await;
    let (theirs, ours) = (
        entry["costUsd"].as_f64().unwrap(),
        number(&instance["costSoFar"]),
    );
    let tolerance = edges * LATE_S * rate / 3600.0;
    assert!(
        (ours - theirs).abs() <= tolerance,
        "we say {ours}, the provider {theirs}: more than {tolerance} apart; {instance}"
    );
    assert!(theirs > 2.0 * tolerance, "too little to tell anything");
    ours
}

/// Waits until the provider has billed so many seconds of compute.
async fn until_billed(caller: &Caller, seconds: f64) {
    eventually("the bill", PATIENCE, async || {
        let billed = caller.ledger().await[0]["billedSeconds"].as_f64().unwrap();
        if billed >= seconds {
            Ok(())
        } else {
            Err(billed.to_string())
        }
    })
    .await
    .unwrap();
}

async fn the_cost_follows_the_providers_bill(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    slow_down(&caller).await;
    let (_, body) = caller
        .post(&json!({
            "name": "billed", "productName": "RTX 4090 24GB", "templateId": "100234",
            "gpuNum": 2, "rootfsSize": 500,
        }))
        .await;
    let id = body["instanceId"].as_str().unwrap();
    let ready = caller.until(id, "ready").await;
    let rate = number(&ready["pricePerHour"]);
    // 440 GB beyond the free ones, at $0.005 a day.
    assert_eq!(ready["stoppedPricePerHour"], "0.091667");
    let gpus = 2.0 * number(&ready["spotPrice"]);
    assert!((rate - gpus - 0.091_667).abs() < 1e-6, "{ready}");

    until_billed(&caller, 10.0).await;
    compare(&caller, id, rate, 1.0).await;
    caller.change(id, "stop").await;
    let stopped = caller.until(id, "stopped").await;
    assert_eq!(stopped["pricePerHour"], "0.091667", "its disk is kept");
    assert!(stopped["dataExpiresAt"].is_string(), "{stopped}");
    compare(&caller, id, rate, 2.0).await;

    caller.change(id, "start").await;
    caller.until(id, "ready").await;
    until_billed(&caller, 20.0).await;
    compare(&caller, id, rate, 3.0).await;
    caller.delete(id).await;
    let gone = caller.until(id, "terminated").await;
    let ours = compare(&caller, id, rate, 4.0).await;
    assert!(
        (number(&gone["costSoFar"]) - ours).abs() < 1e-9,
        "it is over"
    );
    assert_eq!(gone["pricePerHour"], "0.00");
    assert_eq!(gone["costSegments"].as_array().unwrap().len(), 3, "{gone}");
}

/// The whole log, as it is stored.
async fn log(caller: &Caller, id: &str) -> Vec<Event> {
    let answer = caller.events(id).await;
    let events = answer["events"].as_array().unwrap().iter();
    let stored = |event: &Value| {
        let mut event = event.clone();
        event["instanceId"] = json!(id);
        // Told as text for people, stored as a number.
        event["at"] = json!(0);
        serde_json::from_value(event).unwrap()
    };
    events.map(stored).collect()
}

/// Waits for the phase, and then until the log alone comes to the same; it never has a hole.
async fn explained(caller: &Caller, id: &str, phase: &str) {
    caller.until(id, phase).await;
    eventually("a log that explains it", PATIENCE, async || {
        let told = replay(&log(caller, id).await).expect("a log without holes");
        if told.as_str() == phase {
            Ok(())
        } else {
            Err(told.as_str().to_owned())
        }
    })
    .await
    .unwrap();
}

fn kinds(log: &[Event]) -> Vec<&'static str> {
    log.iter().map(|event| event.kind.as_str()).collect()
}

async fn the_log_explains_every_phase_of_a_life(transport: Transport) {
    let stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("explained").await;
    explained(&caller, &id, "ready").await;
    let mut operations = vec![caller.instance(&id).await["operationId"].clone()];
    for (wish, phase) in [
        ("stop", "stopped"),
        ("start", "ready"),
        ("restart", "ready"),
    ] {
        let (_, answer) = caller.change(&id, wish).await;
        operations.push(answer["operationId"].clone());
        explained(&caller, &id, phase).await;
        eventually("the end of the operation", PATIENCE, async || {
            let operation = answer["operationId"].as_str().unwrap();
            let operation = caller.operation(operation).await;
            if operation["state"] == "succeeded" {
                Ok(())
            } else {
                Err(operation.to_string())
            }
        })
        .await
        .unwrap();
        explained(&caller, &id, phase).await;
    }
    let (_, answer) = caller.delete(&id).await;
    operations.push(answer["operationId"].clone());
    explained(&caller, &id, "terminated").await;

    let log = log(&caller, &id).await;
    for event in &log {
        let (cause, actor) = (&event.cause, event.actor);
        let told = format!("{} {cause:?} {actor:?}", event.kind.as_str());
        assert!(!told.contains("Unknown"), "{told}");
    }
    let by_operation: Vec<Value> = serde_json::to_value(&log)
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|event| event["cause"].get("operationId").cloned())
        .collect();
    for operation in &operations {
        assert!(by_operation.contains(operation), "{operation}: {log:?}");
    }
}

async fn the_log_explains_a_failed_boot_and_a_loss(transport: Transport) {
    let stack = watchful(transport).await;
    let caller = Caller::of(&stack);
    // What is removed is still shown, so that its loss needs no longer proof.
    caller
        .control("settings", json!({"delays": {"removed": 1_000_000}}))
        .await;
    caller
        .fault(
            json!({"route": "create", "kind": "status_error", "count": 1, "state": "oom",
            "message": "killed"}),
        )
        .await;
    let id = caller.create("second-boot").await;
    explained(&caller, &id, "ready").await;
    let ready = caller.instance(&id).await;
    let first = kinds(&log(&caller, &id).await);
    assert!(first.contains(&"instance.attempt_discarded"), "{first:?}");
    assert!(number(&ready["costSoFar"]) > 0.0, "{ready}");
    caller
        .remove_elsewhere(ready["novitaInstanceId"].as_str().unwrap())
        .await;
    explained(&caller, &id, "terminated").await;
    let log = log(&caller, &id).await;
    let loss = log
        .iter()
        .find(|event| event.kind.as_str() == "instance.vanished");
    let loss = loss.expect("it was lost");
    assert_eq!(serde_json::to_value(loss.actor).unwrap(), "operator");
}

async fn the_log_explains_what_others_do_to_an_instance(transport: Transport) {
    let stack = watchful(transport).await;
    let caller = Caller::of(&stack);
    let id = caller.create("handled").await;
    explained(&caller, &id, "ready").await;
    let ready = caller.instance(&id).await;
    let path = format!("instances/{}", ready["novitaInstanceId"].as_str().unwrap());
    caller.control("clock", json!({"speed": 0})).await;
    for (word, phase) in [
        ("exited", "stopped"),
        ("running", "ready"),
        ("odd", "unknown"),
    ] {
        caller.control(&path, json!({"status": word})).await;
        explained(&caller, &id, phase).await;
        let log = log(&caller, &id).await;
        let last = serde_json::to_value(log.last().unwrap()).unwrap();
        assert_eq!(last["cause"], json!({"kind": "provider", "said": word}));
        // What the provider says decides on the bill, whoever made it so.
        let price = number(&caller.instance(&id).await["pricePerHour"]);
        assert_eq!(price > 0.0, word != "exited", "{word}: {price}");
    }
}

async fn a_deleted_instance_is_forgotten_when_its_time_is_over(transport: Transport) {
    let mut stack = stack(transport).await;
    let caller = Caller::of(&stack);
    let (old, young) = (caller.create("old").await, caller.create("young").await);
    let mut operation = String::new();
    for id in [&young, &old] {
        caller.until(id, "ready").await;
        let (_, answer) = caller.delete(id).await;
        answer["operationId"]
            .as_str()
            .unwrap()
            .clone_into(&mut operation);
        caller.until(id, "terminated").await;
    }
    let redis = Redis::new(&RedisOptions {
        target: Target::Resp {
            url: stack.redis().url(),
        },
        connect_timeout: PATIENCE,
        command_timeout: PATIENCE,
        retries: 0,
        retry_delay: PATIENCE,
    })
    .unwrap();
    // 31 days pass for one of them.
    let keys = Keys::new("novita_api");
    let closed = Millis(Millis::now().0 - 31 * 24 * 3_600_000).0.to_string();
    let age = Command::new("ZADD")
        .arg(keys.closed())
        .args(["XX", &closed, &old]);
    redis.run(age, Repeat::Never).await.unwrap();
    let housekeeping = Job::Periodic {
        name: Periodic::Housekeeping,
    };
    let queue = Queue::new(redis.clone(), keys, PATIENCE);
    queue.enqueue(&[housekeeping]).await.unwrap();
    eventually("a record that is forgotten", PATIENCE, async || {
        let instance = caller.instance(&old).await;
        if instance["error"]["code"] == "INSTANCE_NOT_FOUND" {
            Ok(())
        } else {
            Err(instance.to_string())
        }
    })
    .await
    .unwrap();
    let operation = caller.operation(&operation).await;
    assert_eq!(operation["error"]["code"], "OPERATION_NOT_FOUND");
    assert_eq!(caller.instance(&young).await["status"], "terminated");
}
