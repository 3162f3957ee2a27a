//! Every record of a dump that the predecessor's service wrote, and some that were changed.

use shared::model::{Desired, OperationKind, replay, wanted};

use super::*;
use crate::node::jobs::Monitor;
use crate::node::state::Wrapped;

const DUMP: &str = include_str!("../../../tests/data/node-redis-dump.json");
const NOW: Millis = Millis(1_795_390_000_000);

/// Every record of the dump that the predecessor's service wrote.
fn states() -> Vec<(State, Value, Millis)> {
    let dump: Value = serde_json::from_str(DUMP).unwrap();
    let keys = dump["keys"].as_array().unwrap().iter();
    let states = keys.filter_map(|entry| {
        let key = entry["key"].as_str()?;
        let id = key.strip_prefix("cache:instance-states-persistent:")?;
        let wrapped = Wrapped::read(entry["value"].as_str()?.as_bytes()).unwrap();
        let state = State::read(id, wrapped.data.clone()).unwrap();
        Some((state, wrapped.data, Millis(wrapped.timestamp)))
    });
    states.collect()
}

fn imported(beside: &Beside) -> Vec<Import> {
    let states = states().into_iter();
    let imports = states.map(|(state, source, written)| {
        import(&state, source, written, beside, NOW, false).unwrap()
    });
    imports.collect()
}

fn named(name: &str, change: impl Fn(&mut Value)) -> Import {
    let (_, mut source, written) = states()
        .into_iter()
        .find(|(state, ..)| state.name == name)
        .unwrap();
    change(&mut source);
    let id = source["id"].as_str().unwrap().to_owned();
    let state = State::read(&id, source.clone()).unwrap();
    import(&state, source, written, &Beside::default(), NOW, false).unwrap()
}

#[test]
fn nothing_of_the_dump_is_wanted_otherwise_than_it_is_and_nothing_can_be_discarded() {
    let imports = imported(&Beside::default());
    assert!(imports.len() > 10);
    for import in imports {
        let (spec, status) = (&import.spec, &import.status);
        let id = &spec.id;
        assert_eq!(
            spec.desired,
            Desired::Running,
            "{id}: nobody asked for a stop here"
        );
        assert!(status.was_ready, "{id}: a deadline could discard it");
        let exists = status
            .current()
            .is_some_and(|attempt| attempt.state.may_exist());
        let orders = !exists
            && wanted(spec, status) == Desired::Running
            && status.ending.is_none()
            && !status.is_closed();
        assert!(!orders, "{id} would be ordered");
        let phase = replay(std::slice::from_ref(&import.event)).unwrap();
        assert_eq!(
            phase,
            Phase::of(spec, Some(status)),
            "{id}: the log tells otherwise"
        );
    }
}

#[test]
fn what_the_predecessor_found_by_itself_is_only_watched() {
    let orphaned = |import: &Import| is_orphaned(import.spec.id.as_str());
    let (orphans, others): (Vec<_>, Vec<_>) =
        imported(&Beside::default()).into_iter().partition(orphaned);
    assert!(orphans.len() > 1 && orphans.iter().all(|import| import.spec.options.protected));
    let held = |import: &Import| import.status.provider_id().is_some();
    assert!(
        others
            .iter()
            .filter(|import| held(import))
            .all(|i| !i.spec.options.protected)
    );
}

#[test]
fn the_whole_record_is_archived_but_for_secrets() {
    for ((_, source, _), import) in states().into_iter().zip(imported(&Beside::default())) {
        let record = &import.event.data["record"];
        assert!(!import.event.data.to_string().contains("t0k3n"));
        for member in source.as_object().unwrap().keys() {
            assert!(record.get(member).is_some(), "{member} is lost");
        }
    }
}

#[test]
fn a_stop_that_is_only_believed_gives_way() {
    let import = named("jupyter-omar", |_| {});
    let (spec, status) = (import.spec, import.status);
    assert_eq!(wanted(&spec, &status), Desired::Stopped);
    assert_eq!(Phase::of(&spec, Some(&status)), Phase::Stopped);
    assert_eq!(
        status.timestamps.stopped.unwrap().iso(),
        "2026-11-22T20:54:20.059Z"
    );
}

#[test]
fn a_start_that_is_followed_goes_on_under_its_callers_operation() {
    let mut beside = Beside::default();
    let monitor = serde_json::json!({ "instanceId": "i", "isStart": true, "targetPort": 8888 });
    beside.monitor = Some(serde_json::from_value::<Monitor>(monitor).unwrap());
    let imports = imported(&beside);
    let starting = imports
        .iter()
        .find(|import| import.spec.name == "eval-h100")
        .unwrap();
    assert_eq!(starting.spec.request.kind, OperationKind::Start);
    assert_eq!(starting.spec.health_check().target_port, Some(8888));
    assert!(starting.status.pending_boot().is_some());
    let ready = imports
        .iter()
        .find(|import| import.spec.name == "jupyter-lena")
        .unwrap();
    assert!(
        ready.status.pending_boot().is_none(),
        "it was ready already"
    );
}

#[test]
fn a_create_that_was_cut_off_is_looked_for_unless_its_name_is_anothers() {
    let import = named("lost-in-crash", |_| {});
    assert_eq!(import.status.current().unwrap().state, AttemptState::Intent);
    assert!(matches!(import.status.ending, Some(Ending::Failed(_))));
    let beside = Beside {
        is_name_taken: true,
        ..Beside::default()
    };
    let imports = imported(&beside);
    let lost = imports
        .iter()
        .find(|import| import.spec.name == "lost-in-crash")
        .unwrap();
    assert!(lost.status.timestamps.failed.is_some() && lost.status.attempts.is_empty());
}

#[test]
fn a_time_of_use_far_ahead_keeps_nothing_for_ever() {
    let import = named("whisper-batch", |_| {});
    let latest = NOW.plus(MAX_AHEAD.as_millis() as u64);
    assert_eq!(import.last_used, Some(latest));
}

#[test]
fn a_name_that_ours_could_not_have_becomes_one_and_is_still_archived() {
    let import = named("jupyter-lena", |state| {
        state["name"] = json!("lena's größte");
    });
    assert_eq!(import.spec.name, "lena-s-gr--te");
    assert_eq!(import.event.data["record"]["name"], "lena's größte");
    assert_eq!(import.status.attempts[0].marker, "lena's größte");
}
