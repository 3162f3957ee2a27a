//! Environment variables of callers: stored with the spec, encrypted, and gone with it.

use shared::envs::{EnvsKey, Unreadable};
use shared::model::EnvVar;
use shared::queue::{Hash, Verdict, Write};
use shared::store::{Accepted, Store, StoreError};

use crate::rig::{LONG_LEASE, Rig, Trouble};
use crate::things::{reserve_one, settle, spec};

over_both_transports!(common:
    variables_are_stored_encrypted_with_the_spec_and_forgotten_at_the_end,
    a_refused_create_stores_no_variables,
    without_a_key_nothing_is_stored,
);
over_both_transports!(troubled: variables_of_a_create_whose_reply_is_lost_are_stored_once);

fn store(rig: &Rig) -> Store {
    rig.store()
        .with_envs_key(EnvsKey::derive("a secret of tests"))
}

fn envs() -> Vec<EnvVar> {
    vec![EnvVar {
        key: "TOKEN".into(),
        value: "hunter2".into(),
    }]
}

async fn variables_are_stored_encrypted_with_the_spec_and_forgotten_at_the_end(rig: Rig) {
    let (store, spec) = (store(&rig), spec("alpha"));
    let accepted = store.create_once(&spec, &envs(), None).await.unwrap();
    assert_eq!(accepted, Accepted::Yes);
    assert_eq!(store.envs(&spec.id).await.unwrap(), envs());
    let stored = rig.ask(["HGET", &rig.keys.envs(), spec.id.as_str()]).await;
    let stored = stored.text().unwrap();
    assert!(!stored.contains("hunter2") && !stored.contains("TOKEN"));
    let record = store.record(&spec.id).await.unwrap().unwrap();
    assert_eq!(record.spec, spec);

    let other = rig.store().with_envs_key(EnvsKey::derive("another secret"));
    let error = other.envs(&spec.id).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Envs(_, Unreadable::Foreign)),
        "{error}"
    );

    let session = rig.session(LONG_LEASE);
    let job = reserve_one(&session).await;
    let writes = vec![Write::Unset(Hash::Envs, spec.id.to_string())];
    settle(&session, vec![job.settle(Verdict::Done, writes)]).await;
    let error = store.envs(&spec.id).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Envs(_, Unreadable::Missing)),
        "{error}"
    );
}

async fn a_refused_create_stores_no_variables(rig: Rig) {
    let (store, first, second) = (store(&rig), spec("alpha"), spec("alpha"));
    store.create(&first).await.unwrap();
    let refused = store.create_once(&second, &envs(), None).await.unwrap();
    assert_eq!(refused, Accepted::NameTaken(first.id.to_string()));
    let kept = rig.ask(["EXISTS", &rig.keys.envs()]).await;
    assert_eq!(kept.int().unwrap(), 0);
}

async fn without_a_key_nothing_is_stored(rig: Rig) {
    let (store, spec) = (rig.store(), spec("alpha"));
    assert!(!store.can_keep_envs());
    let error = store.create_once(&spec, &envs(), None).await.unwrap_err();
    assert!(matches!(error, StoreError::NoEnvsKey), "{error}");
    assert_eq!(store.record(&spec.id).await.unwrap(), None);
}

async fn variables_of_a_create_whose_reply_is_lost_are_stored_once(rig: Rig) {
    let (store, spec) = (store(&rig), spec("alpha"));
    rig.arm(Trouble::LostReply, "EVALSHA");
    let accepted = store.create_once(&spec, &envs(), None).await.unwrap();
    assert_eq!(accepted, Accepted::Yes);
    assert_eq!(store.envs(&spec.id).await.unwrap(), envs());
}
