//! Which layouts a process accepts.

use shared::schema::{VERSION, ensure, version};

use crate::rig::Rig;

over_both_transports!(common:
    an_empty_deployment_is_claimed_for_this_version,
    another_layout_is_refused_and_left_alone,
);

async fn an_empty_deployment_is_claimed_for_this_version(rig: Rig) {
    assert_eq!(version(&rig.redis, &rig.keys).await.unwrap(), None);
    for _ in 0..2 {
        ensure(&rig.redis, &rig.keys).await.unwrap();
        let found = version(&rig.redis, &rig.keys).await.unwrap();
        assert_eq!(found, Some(VERSION.to_string()));
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
