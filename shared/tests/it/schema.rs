//! Which layouts a process accepts.

use shared::schema::{LOADING, Layout, OLDEST, ensure, version};

use crate::rig::Rig;

over_both_transports!(common:
    an_empty_deployment_is_claimed_for_this_version,
    another_layout_is_refused_and_left_alone,
    what_this_version_understands_is_used_and_left_as_it_is,
    nothing_starts_while_a_backup_is_being_restored,
);

async fn an_empty_deployment_is_claimed_for_this_version(rig: Rig) {
    assert_eq!(version(&rig.redis, &rig.keys).await.unwrap(), None);
    for _ in 0..2 {
        ensure(&rig.redis, &rig.keys).await.unwrap();
        let found = version(&rig.redis, &rig.keys).await.unwrap();
        assert_eq!(found, Some(Layout::CURRENT.to_string()));
    }
}

async fn another_layout_is_refused_and_left_alone(rig: Rig) {
    for other in ["99", "", "not a number"] {
        rig.ask(["SET", &rig.keys.schema(), other]).await;
        let error = ensure(&rig.redis, &rig.keys).await.unwrap_err().to_string();
        assert!(error.contains(&format!("version {other},")), "{error}");
        assert!(error.contains("`redis-migration plan`"), "{error}");
        let found = version(&rig.redis, &rig.keys).await.unwrap();
        assert_eq!(found.as_deref(), Some(other));
    }
}

async fn what_this_version_understands_is_used_and_left_as_it_is(rig: Rig) {
    for known in [OLDEST.to_string(), format!("99:{OLDEST}")] {
        rig.ask(["SET", &rig.keys.schema(), &known]).await;
        ensure(&rig.redis, &rig.keys).await.unwrap();
        let found = version(&rig.redis, &rig.keys).await.unwrap();
        assert_eq!(found, Some(known));
    }
}

async fn nothing_starts_while_a_backup_is_being_restored(rig: Rig) {
    rig.ask(["SET", &rig.keys.schema(), LOADING]).await;
    let error = ensure(&rig.redis, &rig.keys).await.unwrap_err().to_string();
    assert!(error.contains("`redis-migration restore`"), "{error}");
}
