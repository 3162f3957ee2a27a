//! What cannot be done is said in one place, with the exit code that belongs to it.

use shared::redis::{Command, Repeat};

use crate::bench::{Bench, run, worker};

#[tokio::test]
async fn only_the_settings_of_redis_are_needed_and_checked() {
    for (variables, code, tells) in [
        (vec![], 78, "REDIS_URL"),
        (vec![("REDIS_URL", "http://x")], 78, "REDIS_URL"),
        (
            vec![("REDIS_URL", "redis://h"), ("REDIS_KEY_PREFIX", "a b")],
            78,
            "REDIS_KEY_PREFIX",
        ),
    ] {
        let mut command = worker(&variables);
        command.args(["queue", "stats"]);
        let ran = run(command).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
        assert!(ran.stderr.contains(tells), "{ran:?}");
        assert!(!ran.stderr.contains("NOVITA_API_KEY"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_redis_that_is_away_is_one_line_that_names_it() {
    for command in ["stats", "watch"] {
        let mut away = worker(&[
            ("REDIS_URL", "redis://:hunter2@127.0.0.1:1"),
            ("REDIS_RETRY_ATTEMPTS", "0"),
        ]);
        away.args(["queue", command, "--json"]);
        let ran = run(away).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(
            ran.stderr.starts_with("cannot reach Redis at 127.0.0.1:1"),
            "{ran:?}"
        );
        assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    }
}

#[tokio::test]
async fn another_layout_is_left_alone() {
    let bench = Bench::new().await;
    let other = Command::new("SET").arg(bench.keys.schema()).arg("99");
    bench.redis.run(other, Repeat::Never).await.unwrap();
    let ran = bench.run(&["pause"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.stderr.contains("layout version 99"), "{ran:?}");
    assert!(
        bench
            .admin
            .overview()
            .await
            .unwrap()
            .0
            .paused_scopes
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_explained() {
    let bench = Bench::new().await;
    for (args, tells) in [
        (&[][..], "Usage: novita-worker queue"),
        (&["list"], "<STATE>"),
        (&["list", "asleep"], "due, leased, delayed, paused, dead"),
        (&["list", "due", "--limit", "0"], "1..=100"),
        (&["list", "due", "--limit", "101"], "1..=100"),
        (&["list", "due", "--offset=-1"], "--offset"),
        (&["retry"], "ID|--all-dead"),
        (&["retry", "webhook:a", "--all-dead"], "cannot be used with"),
        (&["pause", "webhooks"], "instance, webhook, cron"),
        (&["watch", "--interval", "999ms"], "must be from 1s to 1h"),
    ] {
        let ran = bench.run(args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.stderr.contains(tells), "{tells} in {}", ran.stderr);
    }
    for id in ["", "l:webhook:a", "no colon", "\u{1b}[2J"] {
        let ran = bench.run(&["show", "--", id]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran:?}");
        assert!(ran.stderr.starts_with("no such job: "), "{ran:?}");
        assert!(!ran.stderr.contains('\u{1b}'), "{ran:?}");
    }
}
