//! Saying that an instance is used, and looking at what becomes of those that are not.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use shared::clock::Millis;
use shared::model::{AutoStop, PolicyStop, StopReason, Warned};
use shared::queue::{Heartbeat, QueueAdmin, Workers};

use crate::harness::{Api, wish};
use crate::worker;

const MINUTE: u64 = 60_000;

/// An instance that runs, and was last known to be usable so long ago.
async fn usable(api: &Api, name: &str, minutes: u64, options: &Value) -> String {
    let mut body = wish(name);
    let given = options.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(given);
    let id = api.post("/api/instances", &body).await.text("/instanceId");
    let mut status = worker::running();
    let since = Millis(Millis::now().0 - minutes * MINUTE);
    status.observed_generation = 1;
    status.was_ready = true;
    status.timestamps.created = Some(since);
    status.timestamps.ready = Some(since);
    status.uptime.began = Some(since);
    status.uptime.usable_since = Some(since);
    worker::settle(api, &id, status).await;
    id
}

#[tokio::test]
async fn a_use_is_noted_in_every_form_it_may_be_told() {
    let api = Api::start().await;
    let id = api.create("alpha").await;
    let path = format!("/api/instances/{id}/last-used");
    let read = async || api.get(&format!("/api/instances/{id}")).await.body;
    assert!(read().await.get("lastUsedAt").is_none());
    for (sent, known) in [
        ("2026-01-14", "2026-01-14T00:00:00.000Z"),
        ("2026-01-15T10:30:00.000Z", "2026-01-15T10:30:00.000Z"),
        // Earlier than what is known, by its offset.
        ("2026-01-15T10:30:00+07:00", "2026-01-15T10:30:00.000Z"),
    ] {
        let answer = api.put(&path, &json!({ "lastUsedAt": sent })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = json!({"instanceId": id, "lastUsedAt": known,
            "message": "Last used time updated successfully"});
        assert_eq!(answer.body, expected, "{sent}");
        assert_eq!(read().await["lastUsedAt"], known);
    }
    let before = Millis::now().iso();
    let bare = api.ask(api.request(Method::PUT, &path)).await;
    assert_eq!(bare.status, 200, "{bare:?}");
    assert!(bare.text("/lastUsedAt") >= before, "{bare:?}");
    let empty = api.put(&path, &json!({})).await;
    assert!(empty.text("/lastUsedAt") >= bare.text("/lastUsedAt"));
    let list = api.get("/api/instances").await;
    assert_eq!(
        list.text("/instances/0/lastUsedAt"),
        empty.text("/lastUsedAt")
    );
}

#[tokio::test]
async fn a_use_to_come_is_answered_with_the_time_that_counts() {
    let api = Api::start().await;
    let id = api.create("alpha").await;
    let path = format!("/api/instances/{id}/last-used");
    let far = json!({"lastUsedAt": "2999-01-01T00:00:00Z"});
    let answer = api.put(&path, &far).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let counts = Millis::parse_iso(&answer.text("/lastUsedAt")).unwrap();
    let ahead = counts.since(Millis::now());
    let day = 24 * 60 * MINUTE;
    assert!((day - MINUTE..=day).contains(&ahead), "{ahead} ms ahead");
}

#[tokio::test]
async fn what_is_no_time_or_no_instance_is_refused() {
    let api = Api::start().await;
    let id = api.create("alpha").await;
    let path = format!("/api/instances/{id}/last-used");
    for (value, message) in [
        (
            json!("yesterday"),
            "Last used time must be a valid ISO date string",
        ),
        (
            json!("2026-02-30"),
            "Last used time must be a valid ISO date string",
        ),
        (json!(1_700_000_000), "\"lastUsedAt\" must be a string"),
    ] {
        let answer = api.put(&path, &json!({ "lastUsedAt": value })).await;
        answer.is(400, "VALIDATION_ERROR");
        assert_eq!(answer.text("/error/validationErrors/0/message"), message);
    }
    for unknown in ["inst_0_missing", "outside0001"] {
        let path = format!("/api/instances/{unknown}/last-used");
        api.put(&path, &json!({}))
            .await
            .is(404, "INSTANCE_NOT_FOUND");
    }
    api.get(&path).await.is(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn the_rules_are_told_under_their_old_names_with_what_they_come_to() {
    let api = Api::start_with(|config| {
        config.policy.stops_idle = true;
        config.policy.lifetime = Some(Duration::from_secs(48 * 3600));
    })
    .await;
    let told = async || api.get("/api/instances/auto-stop/stats").await.body;
    let expected = json!({
        "schedulerRunning": false, "checkIntervalMinutes": 2, "maxLifetimeHours": 48,
        "defaultInactivityThresholdMinutes": 20, "startupGracePeriodMinutes": 45,
        "creationGracePeriodMinutes": 60, "enabledByDefault": true, "dryRun": false,
        "watched": 0, "announced": 0, "withheld": 0, "stoppedIdle": 0, "stoppedLifetime": 0,
    });
    assert_eq!(told().await, expected);
    usable(&api, "watched", 5, &json!({})).await;
    usable(&api, "protected", 500, &json!({"protected": true})).await;
    api.create("not-looked-at-yet").await;
    let stopped = usable(&api, "stopped", 500, &json!({})).await;
    let mut status = worker::running();
    status.policy = Some(PolicyStop {
        reason: StopReason::Idle,
        generation: 1,
        since: Millis(1),
    });
    worker::settle(&api, &stopped, status).await;
    let keys = &api.config.redis.keys;
    let admin = QueueAdmin::new(api.redis.clone(), keys.clone());
    let beat = Heartbeat {
        at: admin.overview().await.unwrap().0.now,
        interval_ms: 60_000,
        running: 0,
        permits: 10,
        provider_up: None,
        provider_ms: 0,
        provider_breaker: None,
        version: "1.2.3".to_owned(),
    };
    Workers::beat(&api.redis, keys, "a", &beat).await.unwrap();
    let now = told().await;
    assert_eq!(now["schedulerRunning"], true, "{now}");
    assert_eq!(
        (&now["watched"], &now["stoppedIdle"]),
        (&json!(1), &json!(1))
    );
    let read = api.get(&format!("/api/instances/{stopped}")).await;
    assert_eq!(read.text("/stopReason"), "idle");
    assert_eq!(read.text("/status"), "stopping");
}

#[tokio::test]
async fn a_trigger_counts_and_only_a_real_one_makes_anything_due() {
    let api = Api::start_with(|config| config.policy.stops_idle = true).await;
    let fresh = usable(&api, "fresh", 5, &json!({})).await;
    let unused = usable(&api, "unused", 500, &json!({})).await;
    let off = json!({"autoStop": {"enabled": false}});
    usable(&api, "off", 500, &off).await;
    let overdue = usable(&api, "overdue", 500, &json!({})).await;
    let used = usable(&api, "used", 500, &json!({})).await;
    api.put(&format!("/api/instances/{used}/last-used"), &json!({}))
        .await;
    // Its stop was announced, and its time has come.
    let told = Millis(Millis::now().0 - 10 * MINUTE);
    let store = shared::store::Store::new(api.redis.clone(), api.config.redis.keys.clone());
    let record = store.record(&overdue.parse().unwrap()).await.unwrap();
    let mut status = record.unwrap().status.unwrap();
    status.warnings.idle = Some(Warned {
        at: told,
        stops_at: told.plus(2 * MINUTE),
        dry_run: false,
        withheld: false,
    });
    worker::settle(&api, &overdue, status).await;

    let queue = worker::queue(&api);
    let path = "/api/instances/auto-stop/trigger";
    for body in [
        json!({}),
        json!({"dryRun": true}),
        json!({"dryRun": "false"}),
    ] {
        let answer = api.post(path, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body["dryRun"], true, "{answer:?}");
        let counts = (&answer.body["checked"], &answer.body["eligible"]);
        assert_eq!(counts, (&json!(4), &json!(1)), "{answer:?}");
        assert!(worker::take(&queue).await.is_empty(), "{body}");
    }
    let answer = api.post(path, &json!({"dryRun": false})).await;
    assert_eq!(answer.body["dryRun"], false, "{answer:?}");
    assert_eq!(
        answer.text("/message"),
        "Auto-stop check queued successfully"
    );
    let due = worker::take(&queue).await.into_iter();
    let mut due: Vec<_> = due.map(|job| job.id.to_string()).collect();
    due.sort();
    let mut concerned = [&unused, &overdue].map(|id| format!("instance:{id}"));
    concerned.sort();
    assert_eq!(due, concerned, "and neither {fresh} nor {used}");
}

#[tokio::test]
async fn what_was_asked_for_is_shown() {
    let api = Api::start().await;
    let options =
        json!({"autoStop": {"idleMinutes": 30}, "maxLifetimeHours": 12, "protected": true});
    let id = usable(&api, "alpha", 1, &options).await;
    let read = api.get(&format!("/api/instances/{id}")).await.body;
    for (member, value) in options.as_object().unwrap() {
        assert_eq!(&read[member], value, "{member}");
    }
    let own: AutoStop = serde_json::from_value(read["autoStop"].clone()).unwrap();
    assert_eq!((own.enabled, own.idle_minutes), (None, Some(30)));
    let plain = usable(&api, "beta", 1, &json!({})).await;
    let read = api.get(&format!("/api/instances/{plain}")).await.body;
    for member in ["autoStop", "maxLifetimeHours", "protected", "stopReason"] {
        assert!(read.get(member).is_none(), "{member}");
    }
}
