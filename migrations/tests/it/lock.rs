//! One operator at a time.

use std::time::Duration;

use migrations::lock::Lock;
use shared::redis::RedisError;
use shared::redis::scripts::LAYOUT;

use crate::rig::{Rig, client};

over_both_transports!(
    a_second_operator_is_told_who_is_at_work,
    a_lock_ends_some_time_after_its_holder_was_killed,
);

const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);

async fn held(rig: &Rig, lease: Duration) -> Lock {
    let (redis, keys) = (client(&rig.server), &rig.keys);
    Lock::take(&redis, keys, "run", lease, Duration::ZERO)
        .await
        .unwrap()
}

async fn a_second_operator_is_told_who_is_at_work(rig: Rig) {
    let lock = held(&rig, LONG).await;
    let refused = rig.tool(&["run"]).await.ending(4);
    let process = format!("process {}", std::process::id());
    assert!(refused.err.contains(&process), "{refused:?}");
    assert!(refused.err.contains("`run`"), "{refused:?}");
    let status = rig.tool(&["status"]).await.ending(0);
    assert!(status.out.contains(&process), "{status:?}");
    rig.tool(&["plan"]).await.ending(0);
    lock.leave().await.unwrap();
    rig.tool(&["run"]).await.ending(0);
    let left = rig.ask(["EXISTS", &rig.keys.operator()]).await;
    assert_eq!(left.int().unwrap(), 0, "the lock is left behind");
}

async fn a_lock_ends_some_time_after_its_holder_was_killed(rig: Rig) {
    let lock = held(&rig, SHORT).await;
    let token = lock.token().to_owned();
    drop(lock);
    rig.tool(&["run", "--lock-wait-ms=20000"]).await.ending(0);
    // Whoever was thought dead and is not writes nothing any more.
    let keys = [rig.keys.operator(), rig.keys.schema()];
    let args = [token, "2:1".to_owned(), "1".to_owned()];
    let late = rig
        .redis
        .script(&LAYOUT, &keys, &args, shared::redis::Repeat::Harmless)
        .await;
    assert!(
        matches!(&late, Err(RedisError::Server(error)) if error.code == "FENCED"),
        "{late:?}"
    );
}
