//! What becomes of a spot machine that the provider takes back.

use devstack::stack::{Stack, StackOptions, Transport, eventually};
use serde_json::{Value, json};

use crate::support::{Caller, PATIENCE, started};

crate::journeys!(
    a_noticed_machine_is_replaced_before_it_is_lost_and_removed_after,
    f17_a_lost_machine_is_replaced_at_once_also_without_notice,
    f16_what_its_caller_stopped_is_neither_replaced_nor_started,
    without_a_policy_the_notice_and_the_loss_are_told_and_nothing_is_done,
    a_dry_run_tells_what_it_would_do_once,
    a_lost_machine_is_migrated_under_its_old_id_and_ready_again,
    f18_what_could_not_be_migrated_is_replaced_within_its_own_record,
    a_delete_while_a_replacement_comes_up_leaves_nothing,
    a_stop_while_a_replacement_comes_up_stops_the_first_and_removes_the_second,
);

const BOOT: [&str; 4] = ["creating", "running", "health_checking", "ready"];

async fn under(transport: Transport, env: &[(&str, &str)]) -> Stack {
    let usual = [("INSTANCE_POLL_INTERVAL", "10")];
    let env = usual.iter().chain(env);
    started(StackOptions {
        transport,
        env: env
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..StackOptions::default()
    })
    .await
}

/// An instance that is ready, and its id at the provider.
async fn ready(caller: &Caller, name: &str) -> (String, String) {
    let id = caller.create(name).await;
    let instance = caller.until(&id, "ready").await;
    let provider_id = instance["novitaInstanceId"].as_str().unwrap().to_owned();
    (id, provider_id)
}

async fn spot(caller: &Caller, provider_id: &str, action: &str) {
    let path = format!("instances/{provider_id}");
    caller.control(&path, json!({ "spot": action })).await;
}

/// Ids at the provider that are not removed, oldest first, with their status.
async fn existing(caller: &Caller) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ledger = caller.ledger().await;
    let entries = ledger.iter().map(|e| (text(&e["id"]), text(&e["status"])));
    entries.filter(|(_, status)| status != "removed").collect()
}

/// Waits until exactly this one is left, and in this state.
async fn until_only(caller: &Caller, provider_id: &str, status: &str) {
    let wanted = vec![(provider_id.to_owned(), status.to_owned())];
    eventually("one instance at the provider", PATIENCE, async || {
        let there = existing(caller).await;
        if there == wanted {
            Ok(())
        } else {
            Err(format!("{there:?}"))
        }
    })
    .await
    .unwrap();
}

/// The events of this kind.
async fn told(caller: &Caller, id: &str, kind: &str) -> Vec<Value> {
    let log = caller.events(id).await;
    let events = log["events"].as_array().unwrap().iter();
    let events = events.filter(|event| event["type"] == kind);
    events.cloned().collect()
}

/// Waits for the first event of this kind.
async fn until_logged(caller: &Caller, id: &str, kind: &str) -> Value {
    eventually(&format!("{kind} of {id}"), PATIENCE, async || {
        let events = told(caller, id, kind).await;
        events.into_iter().next().ok_or_else(|| "none".to_owned())
    })
    .await
    .unwrap()
}

async fn until_two(caller: &Caller) {
    eventually("the second order", PATIENCE, async || {
        let there = existing(caller).await;
        if there.len() == 2 {
            Ok(())
        } else {
            Err(format!("{there:?}"))
        }
    })
    .await
    .unwrap();
}

async fn a_noticed_machine_is_replaced_before_it_is_lost_and_removed_after(transport: Transport) {
    let stack = under(transport, &[("SPOT_POLICY", "replace")]).await;
    let caller = Caller::of(&stack);
    let (id, first) = ready(&caller, "noticed").await;
    let lost_in = caller.ledger().await[0]["clusterId"].clone();
    spot(&caller, &first, "notice").await;
    let replaced = until_logged(&caller, &id, "instance.replaced").await;
    let second = replaced["data"]["novitaInstanceId"].as_str().unwrap();
    assert_ne!(second, first);
    assert_eq!(replaced["data"]["replacedNovitaInstanceId"], first.as_str());
    until_only(&caller, second, "running").await;
    let instance = caller.until(&id, "ready").await;
    assert_eq!(instance["novitaInstanceId"], second);

    let mut expected = BOOT.to_vec();
    expected.extend(["reclaim_notice", "replaced"]);
    let hooks = caller.until_told(&id, &expected).await;
    let notice = &hooks[4]["data"];
    assert!(notice["reclaimAt"].is_string(), "{notice}");
    let orders = caller.orders().await;
    assert_eq!(orders.len(), 2, "{orders:?}");
    assert_ne!(
        orders[1]["clusterId"], lost_in,
        "another cluster goes first"
    );
    // The old one ran until the new one was ready.
    let deleted = caller.calls("delete").await;
    assert!(!deleted.is_empty());
    let log = caller.events(&id).await;
    let phases: Vec<_> = log["events"].as_array().unwrap().iter().collect();
    let left = phases.iter().filter(|e| e["change"]["from"] == "ready");
    assert_eq!(left.count(), 0, "it was ready all the time: {log}");
}

async fn f17_a_lost_machine_is_replaced_at_once_also_without_notice(transport: Transport) {
    let env = [("SPOT_POLICY", "on_demand")];
    let stack = under(transport, &env).await;
    let caller = Caller::of(&stack);
    let (id, first) = ready(&caller, "lost").await;
    spot(&caller, &first, "reclaim").await;
    let replaced = until_logged(&caller, &id, "instance.replaced").await;
    let second = replaced["data"]["novitaInstanceId"].as_str().unwrap();
    until_only(&caller, second, "running").await;
    assert_eq!(caller.orders().await[1]["billingMode"], "onDemand");
    let statuses: Vec<_> = caller.webhooks(&id).await;
    assert!(statuses.iter().any(|hook| hook["status"] == "replaced"));
}

async fn f16_what_its_caller_stopped_is_neither_replaced_nor_started(transport: Transport) {
    let stack = under(transport, &[("SPOT_POLICY", "replace")]).await;
    let caller = Caller::of(&stack);
    let (id, first) = ready(&caller, "stopped").await;
    let (_, answer) = caller.change(&id, "stop").await;
    caller.until_done(&answer).await;
    // The provider says that its machine was taken back, which concerns nobody.
    let settings = json!({"spot": {"healthyStatus": "terminated"}});
    caller.control("settings", settings).await;
    let (other, taken) = ready(&caller, "running").await;
    spot(&caller, &taken, "reclaim").await;
    until_logged(&caller, &other, "instance.replaced").await;
    assert!(told(&caller, &id, "spot.reclaimed").await.is_empty());
    assert_eq!(
        caller.instance(&id).await["novitaInstanceId"],
        first.as_str()
    );
    let there = existing(&caller).await;
    assert!(there.contains(&(first, "exited".to_owned())), "{there:?}");
    assert!(caller.calls("start").await.is_empty());
}

async fn without_a_policy_the_notice_and_the_loss_are_told_and_nothing_is_done(
    transport: Transport,
) {
    let stack = under(transport, &[]).await;
    let caller = Caller::of(&stack);
    let (id, first) = ready(&caller, "alone").await;
    spot(&caller, &first, "notice").await;
    until_logged(&caller, &id, "spot.reclaim_notice").await;
    assert_eq!(caller.instance(&id).await["status"], "ready");
    spot(&caller, &first, "reclaim").await;
    let lost = caller.until(&id, "reclaimed").await;
    assert_eq!(lost["novitaInstanceId"], first.as_str());
    let mut expected = BOOT.to_vec();
    expected.extend(["reclaim_notice", "reclaimed"]);
    caller.until_told(&id, &expected).await;
    assert_eq!(caller.orders().await.len(), 1);
    assert!(told(&caller, &id, "instance.drifted").await.is_empty());
    // Its caller may start it, which competes for a machine.
    let (_, answer) = caller.change(&id, "start").await;
    caller.until_done(&answer).await;
    assert_eq!(
        caller.until(&id, "ready").await["novitaInstanceId"],
        first.as_str()
    );
    assert_eq!(told(&caller, &id, "spot.reclaimed").await.len(), 1);
}

async fn a_dry_run_tells_what_it_would_do_once(transport: Transport) {
    let env = [("SPOT_POLICY", "replace"), ("SPOT_DRY_RUN", "true")];
    let stack = under(transport, &env).await;
    let caller = Caller::of(&stack);
    let (id, first) = ready(&caller, "watched").await;
    spot(&caller, &first, "notice").await;
    until_logged(&caller, &id, "spot.withheld").await;
    caller.sync().await;
    assert_eq!(told(&caller, &id, "spot.withheld").await.len(), 1);
    assert_eq!(caller.orders().await.len(), 1);
    assert_eq!(caller.instance(&id).await["status"], "ready");
}

async fn a_lost_machine_is_migrated_under_its_old_id_and_ready_again(transport: Transport) {
    let stack = under(transport, &[("SPOT_POLICY", "migrate")]).await;
    let caller = Caller::of(&stack);
    let (id, first) = ready(&caller, "moved").await;
    spot(&caller, &first, "reclaim").await;
    until_logged(&caller, &id, "instance.migration_initiated").await;
    let again = caller.until(&id, "ready").await;
    assert_eq!(again["novitaInstanceId"], first.as_str());
    assert_eq!(caller.calls("migrate").await.len(), 1);
    assert_eq!(caller.orders().await.len(), 1);
    let hooks = caller.webhooks(&id).await;
    let last = hooks
        .iter()
        .filter(|hook| hook["status"] == "ready")
        .count();
    assert_eq!(last, 2, "{hooks:?}");
}

async fn f18_what_could_not_be_migrated_is_replaced_within_its_own_record(transport: Transport) {
    let stack = under(transport, &[("SPOT_POLICY", "migrate")]).await;
    let caller = Caller::of(&stack);
    let (id, first) = ready(&caller, "stuck").await;
    caller
        .control("settings", json!({"migrationFails": true}))
        .await;
    spot(&caller, &first, "reclaim").await;
    until_logged(&caller, &id, "instance.migration_failed").await;
    let replaced = until_logged(&caller, &id, "instance.replaced").await;
    let second = replaced["data"]["novitaInstanceId"].as_str().unwrap();
    until_only(&caller, second, "running").await;
    assert_eq!(caller.calls("migrate").await.len(), 1);
    let orders = caller.orders().await;
    assert_eq!(orders[1]["ports"], orders[0]["ports"]);
    assert_eq!(caller.until(&id, "ready").await["novitaInstanceId"], second);
}

async fn a_delete_while_a_replacement_comes_up_leaves_nothing(transport: Transport) {
    let stack = under(transport, &[("SPOT_POLICY", "replace")]).await;
    let caller = Caller::of(&stack);
    let (id, first) = ready(&caller, "deleted").await;
    spot(&caller, &first, "notice").await;
    until_two(&caller).await;
    let (_, answer) = caller.delete(&id).await;
    caller.until_done(&answer).await;
    assert_eq!(existing(&caller).await, [], "{:?}", caller.ledger().await);
    assert_eq!(caller.instance(&id).await["status"], "terminated");
}

async fn a_stop_while_a_replacement_comes_up_stops_the_first_and_removes_the_second(
    transport: Transport,
) {
    let stack = under(transport, &[("SPOT_POLICY", "replace")]).await;
    let caller = Caller::of(&stack);
    let (id, first) = ready(&caller, "kept").await;
    // So that the replacement is still on its way.
    let settings = json!({"delays": {"pulling": 100_000}});
    caller.control("settings", settings).await;
    spot(&caller, &first, "notice").await;
    until_two(&caller).await;
    let (_, answer) = caller.change(&id, "stop").await;
    caller.until_done(&answer).await;
    until_only(&caller, &first, "exited").await;
    assert_eq!(
        caller.instance(&id).await["novitaInstanceId"],
        first.as_str()
    );
    assert!(told(&caller, &id, "instance.replaced").await.is_empty());
}
