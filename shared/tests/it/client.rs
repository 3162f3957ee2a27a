//! What the client makes of a server that refuses, vanishes, or answers late.

use std::time::{Duration, Instant};

use devstack::bridge::{Fault, FaultKind};
use shared::redis::{Command, Redis, RedisError, Repeat, Reply, Target};
use tokio::net::TcpListener;

use crate::rig::{LONG_LEASE, Rig, Transport, Trouble, options};
use crate::things::{reconcile, reserve_one};

over_both_transports!(common:
    an_unreachable_server_is_named_after_all_attempts,
    replies_come_in_the_order_of_the_commands,
    a_failed_read_fails_the_whole_round_trip,
    a_command_that_needs_a_connection_of_its_own_is_refused,
    every_value_comes_back_as_it_was_written,
);
over_both_transports!(troubled:
    a_silent_server_is_an_unclear_answer_after_the_timeout,
    what_may_be_repeated_survives_lost_requests_and_replies,
    what_may_not_be_repeated_is_sent_once,
    retries_end,
);
over_both_transports!(alone:
    refused_credentials_are_told_apart_and_not_tried_again,
    scripts_that_the_server_forgot_are_sent_again,
    a_server_that_restarts_is_found_again,
);

async fn incr(rig: &Rig, repeat: Repeat) -> Result<Reply, RedisError> {
    let command = Command::new("INCR").arg(rig.keys.schema());
    rig.redis.run(command, repeat).await
}

async fn counter(rig: &Rig) -> i64 {
    let value = rig.ask(["GET", &rig.keys.schema()]).await;
    value
        .optional_text()
        .unwrap()
        .map_or(0, |value| value.parse().unwrap())
}

fn bulk(text: &str) -> Reply {
    Reply::Text(text.as_bytes().to_vec())
}

async fn an_unreachable_server_is_named_after_all_attempts(rig: Rig) {
    // Bound and given back, so that nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut options = options(match rig.transport {
        Transport::Resp => Target::Resp {
            url: format!("redis://user:secret@{address}"),
        },
        Transport::Upstash => Target::Upstash {
            url: format!("http://{address}"),
            token: "secret".into(),
        },
    });
    (options.retries, options.retry_delay) = (2, Duration::from_millis(40));
    let redis = Redis::new(&options).unwrap();
    let started = Instant::now();
    let error = redis
        .run(Command::new("PING"), Repeat::Never)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "unreachable", "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    // Two waits, of at least half of 40 ms and half of 80 ms.
    assert!(
        started.elapsed() >= Duration::from_millis(60),
        "{:?}",
        started.elapsed()
    );
}

async fn replies_come_in_the_order_of_the_commands(rig: Rig) {
    let keys: Vec<String> = (0..50)
        .map(|n| format!("{}{n}", rig.keys.schema()))
        .collect();
    let mut commands = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        commands.push(Command::new("SET").arg(key).arg(n.to_string()));
        commands.push(Command::new("GET").arg(key));
        commands.push(Command::new("STRLEN").arg(key));
    }
    let replies = rig.redis.read(&commands).await.unwrap();
    for (n, three) in replies.chunks(3).enumerate() {
        let text = n.to_string();
        let length = Reply::Int(text.len() as i64);
        assert_eq!(three, [bulk("OK"), bulk(&text), length]);
    }
}

async fn a_failed_read_fails_the_whole_round_trip(rig: Rig) {
    let key = rig.keys.schema();
    rig.ask(["SET", &key, "text"]).await;
    let commands = [
        Command::new("GET").arg(&key),
        Command::new("LLEN").arg(&key),
    ];
    let error = rig.redis.read(&commands).await.unwrap_err();
    let RedisError::Server(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.code, "WRONGTYPE");
    let single = rig.redis.run(commands[1].clone(), Repeat::Never).await;
    assert_eq!(single.unwrap_err().kind(), "server");
}

async fn a_command_that_needs_a_connection_of_its_own_is_refused(rig: Rig) {
    let error = rig.redis.run(Command::new("MULTI"), Repeat::Never).await;
    assert_eq!(error.unwrap_err().kind(), "refused");
}

async fn every_value_comes_back_as_it_was_written(rig: Rig) {
    let key = rig.keys.schema();
    let big = "naïve 🚀 ".repeat(200_000);
    let values = [
        "",
        "OK",
        "b64=",
        "\0\r\n\t\"\\\u{7f}",
        "{\"ключ\":\"値\"}",
        "-1",
        &big,
    ];
    for value in values {
        let set = Command::new("SET").arg(&key).arg(value);
        assert_eq!(
            rig.redis.run(set, Repeat::Harmless).await.unwrap(),
            bulk("OK")
        );
        let get = Command::new("GET").arg(&key);
        let read = rig.redis.run(get, Repeat::Harmless).await.unwrap();
        assert!(read == bulk(value), "{} bytes changed", value.len());
    }
    let raw = Command::new("EVAL").args(["return {'\\255\\0', false, 9007199254740993, {}}", "0"]);
    let raw = rig
        .redis
        .run(raw, Repeat::Harmless)
        .await
        .unwrap()
        .array()
        .unwrap();
    assert_eq!(raw[0], Reply::Text(vec![255, 0]));
    assert_eq!((&raw[1], &raw[3]), (&Reply::Nil, &Reply::Array(Vec::new())));
}

async fn a_silent_server_is_an_unclear_answer_after_the_timeout(rig: Rig) {
    incr(&rig, Repeat::Never).await.unwrap();
    let mut options = rig.options.clone();
    options.command_timeout = Duration::from_millis(200);
    let impatient = Redis::new(&options).unwrap();
    rig.arm(Trouble::Silence, "INCR");
    let started = Instant::now();
    let command = Command::new("INCR").arg(rig.keys.schema());
    let error = impatient.run(command, Repeat::Never).await.unwrap_err();
    assert_eq!(error.kind(), "unclear", "{error}");
    assert!(
        started.elapsed() >= Duration::from_millis(200),
        "{:?}",
        started.elapsed()
    );
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    impatient
        .run(Command::new("PING"), Repeat::Never)
        .await
        .unwrap();
}

async fn what_may_be_repeated_survives_lost_requests_and_replies(rig: Rig) {
    rig.arm(Trouble::LostRequest, "INCR");
    rig.arm(Trouble::LostReply, "INCR");
    rig.arm(Trouble::LostRequest, "INCR");
    // The second send was carried out and the fourth was answered.
    assert_eq!(incr(&rig, Repeat::Harmless).await.unwrap(), Reply::Int(2));
    if rig.transport == Transport::Upstash {
        for kind in [
            FaultKind::Status {
                status: 502,
                retry_after: None,
            },
            FaultKind::Status {
                status: 429,
                retry_after: Some(0),
            },
            FaultKind::TruncatedBody,
        ] {
            rig.inject(Fault {
                kind,
                times: 1,
                command: None,
            });
        }
        assert_eq!(incr(&rig, Repeat::Harmless).await.unwrap(), Reply::Int(4));
    }
}

async fn what_may_not_be_repeated_is_sent_once(rig: Rig) {
    for (trouble, carried_out) in [(Trouble::LostRequest, 0), (Trouble::LostReply, 1)] {
        rig.arm(trouble, "INCR");
        let error = incr(&rig, Repeat::Never).await.unwrap_err();
        assert_eq!(error.kind(), "unclear", "{error}");
        assert_eq!(counter(&rig).await, carried_out);
    }
}

async fn retries_end(rig: Rig) {
    for _ in 0..4 {
        rig.arm(Trouble::LostReply, "INCR");
    }
    // Once and three times again.
    let error = incr(&rig, Repeat::Harmless).await.unwrap_err();
    assert_eq!(error.kind(), "unclear", "{error}");
    assert_eq!(counter(&rig).await, 4);
}

async fn refused_credentials_are_told_apart_and_not_tried_again(rig: Rig) {
    let targets = match &rig.options.target {
        Target::Upstash { url, .. } => vec![Target::Upstash {
            url: url.clone(),
            token: "wrong-token".into(),
        }],
        Target::Resp { url } => {
            rig.ask(["CONFIG", "SET", "requirepass", "right"]).await;
            let wrong = url.replace("redis://", "redis://:wrong-token@");
            vec![
                Target::Resp { url: wrong },
                Target::Resp { url: url.clone() },
            ]
        }
        Target::Cluster { .. } => panic!("a rig has one server"),
    };
    for target in targets {
        let mut options = options(target);
        options.retry_delay = Duration::from_secs(60);
        let redis = Redis::new(&options).unwrap();
        let command = Command::new("GET").arg(rig.keys.schema());
        let error = redis.run(command, Repeat::Harmless).await.unwrap_err();
        assert_eq!(error.kind(), "unauthorized", "{error}");
        assert!(!error.to_string().contains("wrong-token"), "{error}");
    }
}

async fn scripts_that_the_server_forgot_are_sent_again(rig: Rig) {
    let session = rig.session(LONG_LEASE);
    for name in ["i1", "i2"] {
        rig.ask(["SCRIPT", "FLUSH"]).await;
        session.enqueue(&[reconcile(name)]).await.unwrap();
        rig.ask(["SCRIPT", "FLUSH"]).await;
        assert_eq!(reserve_one(&session).await.attempt, 1);
    }
}

async fn a_server_that_restarts_is_found_again(mut rig: Rig) {
    assert_eq!(incr(&rig, Repeat::Never).await.unwrap(), Reply::Int(1));
    rig.server().restart().await.unwrap();
    // The old connection may break only now: that is unclear, and over after it.
    let again = incr(&rig, Repeat::Harmless).await.unwrap();
    assert_eq!(again, Reply::Int(2));
}

#[tokio::test]
async fn a_script_that_touches_an_undeclared_key_fails_on_the_bridge() {
    let rig = Rig::common(Transport::Upstash).await;
    let source = "#!lua flags=allow-key-locking\nreturn redis.call('GET', KEYS[1] .. 'x')";
    let command = Command::new("EVAL").args([source, "1", &rig.keys.schema()]);
    let error = rig.redis.run(command, Repeat::Never).await.unwrap_err();
    assert!(error.to_string().contains("Dynamic keys"), "{error}");
}
