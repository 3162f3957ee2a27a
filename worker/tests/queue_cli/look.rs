//! What the queue holds, in both forms.

use serde_json::json;
use shared::queue::JobState;
use shared::redis::{Command, Repeat};

use crate::bench::{Bench, run, webhook};

#[tokio::test]
async fn an_empty_queue_is_told_and_not_claimed() {
    let bench = Bench::new().await;
    let stats = bench.json(&["stats"]).await;
    assert_eq!((&stats["due"], &stats["workers"]), (&json!(0), &json!([])));
    assert!(bench.text(&["stats"]).await.ends_with("\nno workers\n"));
    assert_eq!(bench.text(&["list", "dead"]).await, "no dead jobs\n");
    let keys = Command::new("KEYS").arg(format!("{}*", bench.prefix));
    let keys = bench.redis.run(keys, Repeat::Harmless).await.unwrap();
    assert!(
        keys.optional_texts().unwrap().is_empty(),
        "who looks writes nothing"
    );
}

#[tokio::test]
async fn stats_count_every_state_and_tell_who_works() {
    let bench = Bench::new().await;
    bench.one_of_each().await;
    bench.beat("0123456789abcdef0123456789abcdef").await;
    let stats = bench.json(&["stats"]).await;
    for state in JobState::ALL {
        assert_eq!(stats[state.as_str()], 1, "{state}");
    }
    assert_eq!(stats["pausedScopes"], json!(["instance"]));
    assert_eq!(stats["workers"][0]["alive"], true);
    let text = bench.text(&["stats"]).await;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0][..6],
        ["DUE", "LEASED", "DELAYED", "PAUSED", "DEAD", "OLDEST"]
    );
    assert_eq!(lines[1][..5], ["1"; 5]);
    assert_eq!(lines[1].last(), Some(&"instance"));
    let worker = &lines[4];
    assert_eq!(worker[..2], ["0123456789abcdef0123456789abcdef", "alive"]);
    assert_eq!(worker[worker.len() - 4..], ["3", "of", "10", "1.2.3"]);
}

#[tokio::test]
async fn a_list_shows_each_state_with_whole_ids() {
    let bench = Bench::new().await;
    bench.one_of_each().await;
    for (state, id, time, tells) in [
        ("due", "webhook:msg_due", "runnableSince", "DUE FOR"),
        (
            "leased",
            "webhook:msg_leased",
            "leaseEndsAt",
            bench.queue.session(),
        ),
        ("delayed", "webhook:msg_delayed", "dueAt", "in 59 min"),
        ("paused", "instance:inst_paused", "", "high"),
        ("dead", "webhook:msg_dead", "diedAt", "HTTP 410"),
    ] {
        let list = bench.json(&["list", state]).await;
        assert_eq!((&list["state"], &list["total"]), (&json!(state), &json!(1)));
        let job = &list["jobs"][0];
        assert_eq!(job["id"], id);
        for known in ["runnableSince", "leaseEndsAt", "dueAt", "diedAt"] {
            assert_eq!(job[known].is_string(), known == time, "{job}");
        }
        let text = bench.text(&["list", state]).await;
        assert!(text.starts_with("ID ") && text.contains(id), "{text}");
        assert!(text.contains(tells), "{tells} in {text}");
        assert!(
            text.ends_with(&format!("\n1 to 1 of 1 {state}\n")),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_list_can_be_read_in_pages() {
    let bench = Bench::new().await;
    for n in 0..3 {
        bench.kill(webhook(&format!("msg_{n}"))).await;
    }
    let page = bench
        .json(&["list", "dead", "--limit", "2", "--offset", "2"])
        .await;
    assert_eq!(
        (&page["total"], page["jobs"].as_array().unwrap().len()),
        (&json!(3), 1)
    );
    let text = bench.text(&["list", "dead", "--limit=2"]).await;
    assert!(text.ends_with("\n1 to 2 of 3 dead\n"), "{text}");
    let text = bench.text(&["list", "dead", "--offset=3"]).await;
    assert_eq!(text, "no more dead jobs; 3 in all\n");
}

#[tokio::test]
async fn a_job_is_shown_with_all_that_is_known_and_no_secret() {
    let bench = Bench::new().await;
    bench.kill(webhook("msg_1")).await;
    let job = bench.json(&["show", "webhook:msg_1"]).await;
    assert_eq!(job["payload"]["url"], "https://hooks.example.com");
    assert_eq!(job["payload"]["body"], json!({"status": "ready\u{9b}2J"}));
    assert_eq!(job["errors"], json!(["HTTP 410"]));
    let text = bench.text(&["show", "webhook:msg_1"]).await;
    for line in [
        "id              webhook:msg_1",
        "state           dead",
        "priority        normal",
        "attempts        1",
        "holder          none",
        "errors          HTTP 410",
        "payload         {",
        "                    \"status\": \"ready\u{fffd}2J\"",
        "                  \"url\": \"https://hooks.example.com\",",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
    }
    assert!(
        text.contains("died at ") && text.contains(" ago)\n"),
        "{text}"
    );
    assert!(!format!("{job}{text}").contains("s3cret"));
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let bench = Bench::new().await;
    bench.kill(webhook("msg_1")).await;
    for args in [&["list", "dead"][..], &["stats", "--json"], &["watch"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = bench.command(args);
        command.stdout(writer);
        let ran = run(command).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}
