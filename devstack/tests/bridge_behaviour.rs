//! What no single exchange shows: rights, isolation, scripts, and a backend that goes away.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod bridge_support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use bridge_support::{Answer, READ_ONLY_TOKEN, Stack, TOKEN, abandon, eventually, send};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const LOCKED: &str = "#!lua flags=allow-key-locking\n";

async fn get(stack: &Stack, target: &str, authorization: &str) -> Answer {
    let headers = [("Authorization", authorization)];
    send(stack.bridge.addr(), "GET", target, &headers, b"")
        .await
        .unwrap()
}

#[tokio::test]
async fn the_read_only_token_reads_and_does_nothing_else() {
    let stack = Stack::start().await;
    stack.run(json!(["SET", "k", "v"])).await;
    for read in [
        json!(["GET", "k"]),
        json!(["STRLEN", "k"]),
        json!(["MEMORY", "USAGE", "k"]),
    ] {
        let answer = stack.post_as(READ_ONLY_TOKEN, "/", read.clone()).await;
        assert_eq!(answer.status, 200, "{read}: {}", answer.text());
    }
    let refused = [
        json!(["SET", "k", "x"]),
        json!(["DEL", "k"]),
        json!(["PUBLISH", "c", "m"]),
        json!(["SCAN", "0"]),
        json!(["KEYS", "*"]),
        json!(["EVAL", "return 1", "0"]),
        json!(["EVAL_RO", "return 1", "0"]),
        json!(["EVALSHA", "0000000000000000000000000000000000000000", "0"]),
        json!(["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"]),
    ];
    for command in &refused {
        let answer = stack.post_as(READ_ONLY_TOKEN, "/", command.clone()).await;
        assert_eq!(answer.status, 400, "{command}");
        assert!(
            answer.error().starts_with("NOPERM"),
            "{command}: {}",
            answer.text()
        );
    }
    let batch = json!([["GET", "k"], ["SET", "k", "x"]]);
    let entries = stack
        .post_as(READ_ONLY_TOKEN, "/pipeline", batch.clone())
        .await
        .json();
    assert_eq!(entries[0], json!({"result": "v"}));
    assert!(entries[1]["error"].as_str().unwrap().starts_with("NOPERM"));
    assert_eq!(
        stack
            .post_as(READ_ONLY_TOKEN, "/multi-exec", batch)
            .await
            .status,
        400
    );
    assert_eq!(
        stack
            .post_as(READ_ONLY_TOKEN, "/subscribe/c", json!([]))
            .await
            .status,
        400
    );
    assert_eq!(stack.run(json!(["GET", "k"])).await, "v");
}

#[tokio::test]
async fn the_scheme_has_no_case_and_the_query_token_wins_over_the_header() {
    let stack = Stack::start().await;
    assert_eq!(
        get(&stack, "/ping", &format!("bEaReR {TOKEN}"))
            .await
            .status,
        200
    );
    assert_eq!(
        get(&stack, "/ping", &format!("Basic {TOKEN}")).await.status,
        401
    );
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(get(&stack, "/ping?_token=wrong", &bearer).await.status, 401);
    let answer = get(&stack, &format!("/ping?_token={TOKEN}"), "Bearer wrong").await;
    assert_eq!(answer.json(), json!({"result": "PONG"}));
}

#[tokio::test]
async fn commands_upstash_lacks_or_rest_cannot_carry_are_refused_before_the_backend() {
    let stack = Stack::start().await;
    for name in ["WATCH", "CLIENT", "SELECT", "BLPOP", "BZMPOP"] {
        let answer = stack.post("/", json!([name, "a", "1"])).await;
        assert!(
            answer.error().contains("is not allowed in REST"),
            "{name}: {}",
            answer.text()
        );
    }
    let blocking = json!(["XREAD", "BLOCK", "0", "STREAMS", "s", "$"]);
    assert!(
        stack
            .post("/", blocking)
            .await
            .error()
            .contains("is not allowed in REST")
    );
    for name in ["OBJECT", "SORT", "SYNC", "SHUTDOWN", "NOPE"] {
        let error = stack.post("/", json!([name, "a"])).await.error();
        assert_eq!(error, format!("ERR Command is not available: '{name}'."));
    }
    let discarded = stack
        .post(
            "/multi-exec",
            json!([["SET", "k", "1"], ["SUBSCRIBE", "c"]]),
        )
        .await;
    assert_eq!(discarded.status, 400);
    assert_eq!(stack.run(json!(["EXISTS", "k"])).await, 0);
}

#[tokio::test]
async fn fifty_transactions_at_once_do_not_mix() {
    let stack = Arc::new(Stack::start().await);
    let mut tasks = JoinSet::new();
    for index in 0..50 {
        let stack = Arc::clone(&stack);
        tasks.spawn(async move {
            let key = format!("own:{index}");
            let batch = json!([
                ["SET", key, index],
                ["INCR", "n"],
                ["INCR", "n"],
                ["GET", key]
            ]);
            let entries = stack.post("/multi-exec", batch).await.json();
            assert_eq!(entries[0]["result"], "OK");
            assert_eq!(entries[3]["result"], index.to_string());
            let [first, second] = [1, 2].map(|at| entries[at]["result"].as_i64().unwrap());
            assert_eq!(second, first + 1);
            first
        });
    }
    let firsts: BTreeSet<i64> = tasks.join_all().await.into_iter().collect();
    assert_eq!(firsts, (0..50).map(|index| index * 2 + 1).collect());
}

#[tokio::test]
async fn a_client_that_leaves_early_does_not_leave_its_reply_to_the_next() {
    let stack = Stack::start().await;
    let slow = "for i = 1, 2000000 do end redis.call('INCR', KEYS[1]) return 'stale'";
    let slow = json!(["EVAL", slow, "1", "ran"]).to_string();
    let addr = stack.bridge.addr();
    for round in 0..10 {
        abandon(addr, "/", slow.as_bytes()).await;
        abandon(addr, "/multi-exec", format!("[{slow},{slow}]").as_bytes()).await;
        let echo = format!("round {round}");
        assert_eq!(stack.run(json!(["ECHO", echo])).await, echo.as_str());
    }
    let mut half = TcpStream::connect(addr).await.unwrap();
    half.write_all(b"POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 99\r\n\r\n[\"SET\"")
        .await
        .unwrap();
    drop(half);
    let ran = || async { stack.run(json!(["GET", "ran"])).await };
    eventually("an abandoned script ran", async || {
        ran().await != Value::Null
    })
    .await;
}

#[tokio::test]
async fn key_locking_scripts_run_under_the_name_the_client_computes() {
    let stack = Stack::start().await;
    let source = format!("{LOCKED}return redis.call('INCRBY', KEYS[1], ARGV[1])");
    let sha = stack.run(json!(["SCRIPT", "LOAD", source])).await;
    let expected = sha1_hex(&source);
    assert_eq!(sha, expected.as_str());

    assert_eq!(stack.run(json!(["EVALSHA", sha, 1, "n", 2])).await, 2);
    let upper = expected.to_ascii_uppercase();
    assert_eq!(
        stack
            .run(json!(["SCRIPT", "EXISTS", sha, upper, "00"]))
            .await,
        json!([1, 1, 0])
    );
    let batch = json!([["EVALSHA", sha, 1, "n", 1], ["SCRIPT", "LOAD", source]]);
    let entries = stack.post("/multi-exec", batch).await.json();
    assert_eq!(entries, json!([{"result": 3}, {"result": sha}]));

    stack.run(json!(["SCRIPT", "FLUSH"])).await;
    assert_eq!(
        stack.run(json!(["SCRIPT", "EXISTS", sha])).await,
        json!([0])
    );
    let missing = stack.post("/", json!(["EVALSHA", sha, 1, "n", 2])).await;
    assert!(
        missing.error().starts_with("NOSCRIPT"),
        "{}",
        missing.text()
    );
    assert_eq!(stack.run(json!(["EVAL", source, 1, "n", 2])).await, 5);
    assert_eq!(stack.run(json!(["EVALSHA", sha, 1, "n", 2])).await, 7);
}

#[tokio::test]
async fn other_flags_and_line_numbers_of_a_locked_script_survive() {
    let stack = Stack::start().await;
    let writes = "#!lua flags=allow-key-locking,no-writes\nreturn redis.call('SET', KEYS[1], 'x')";
    let refused = stack.post("/", json!(["EVAL", writes, 1, "k"])).await;
    assert!(
        refused.error().contains("Write commands are not allowed"),
        "{}",
        refused.text()
    );
    let fails = format!("{LOCKED}local a = 1\nreturn a + nil");
    let failed = stack.post("/", json!(["EVAL", fails, 0])).await;
    assert!(
        failed.error().contains("user_script:3"),
        "{}",
        failed.text()
    );
}

#[tokio::test]
async fn a_locked_script_may_only_touch_its_declared_keys() {
    let stack = Stack::start().await;
    let touch = |call| format!("{LOCKED}return redis.{call}('SET', ARGV[1], 'x')");
    for call in ["call", "pcall"] {
        let answer = stack
            .post("/", json!(["EVAL", touch(call), 1, "declared", "other"]))
            .await;
        assert_eq!(
            answer.error().split(" script:").next().unwrap(),
            "ERR Dynamic keys are not allowed in Lua scripts when 'allow-key-locking' flag is \
             set. Key was: other"
        );
        let answer = stack
            .run(json!(["EVAL", touch(call), 1, "declared", "declared"]))
            .await;
        assert_eq!(answer, "OK");
    }
    assert_eq!(stack.run(json!(["EXISTS", "other"])).await, 0);
    let without_flag = "return redis.call('SET', ARGV[1], 'x')";
    assert_eq!(
        stack.run(json!(["EVAL", without_flag, 0, "other"])).await,
        "OK"
    );
    let keyless = format!("{LOCKED}return #redis.call('TIME')");
    assert_eq!(stack.run(json!(["EVAL", keyless, 0])).await, 2);
}

#[tokio::test]
async fn a_function_library_with_the_locking_flag_loads() {
    let stack = Stack::start().await;
    let library = "#!lua name=lib\nredis.register_function{function_name='one', \
                   callback=function() return 1 end, flags={'allow-key-locking', 'no-writes'}}";
    assert_eq!(stack.run(json!(["FUNCTION", "LOAD", library])).await, "lib");
    assert_eq!(stack.run(json!(["FCALL_RO", "one", 0])).await, 1);
}

#[tokio::test]
async fn a_backend_that_is_down_is_a_503_until_it_is_back() {
    let mut stack = Stack::start().await;
    stack.run(json!(["SET", "k", "v"])).await;
    stack.redis.kill().await.unwrap();
    for target in ["/", "/pipeline", "/multi-exec", "/subscribe/c"] {
        let body = if target == "/" {
            json!(["GET", "k"])
        } else {
            json!([["GET", "k"]])
        };
        let answer = stack.post(target, body).await;
        assert_eq!(answer.status, 503, "{target}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.error().starts_with("ERR"));
    }
    assert_eq!(
        stack
            .post_as("wrong", "/", json!(["GET", "k"]))
            .await
            .status,
        401
    );
    stack.redis.restart().await.unwrap();
    assert_eq!(stack.run(json!(["GET", "k"])).await, "v");
}

#[tokio::test]
async fn connections_that_died_while_idle_are_not_used_again() {
    let mut stack = Stack::start().await;
    let pings: JoinSet<_> = (0..8).map(|_| stack.bridge.addr()).map(ping).collect();
    pings.join_all().await;
    stack.redis.restart().await.unwrap();
    assert_eq!(ping(stack.bridge.addr()).await, 200);
}

async fn ping(bridge: SocketAddr) -> u16 {
    let target = format!("/ping?_token={TOKEN}");
    send(bridge, "GET", &target, &[], b"").await.unwrap().status
}

#[tokio::test]
async fn the_sync_token_changes_with_writes_alone() {
    let stack = Stack::start().await;
    let token = async |command: Value| {
        stack
            .post("/", command)
            .await
            .header("upstash-sync-token")
            .unwrap()
            .to_owned()
    };
    let first = token(json!(["GET", "k"])).await;
    assert_eq!(token(json!(["GET", "k"])).await, first);
    let second = token(json!(["SET", "k", "v"])).await;
    assert_ne!(second, first);
    assert_ne!(token(json!(["EVAL", "return 1", "0"])).await, second);
}

#[tokio::test]
async fn raw_replies_keep_what_json_cannot_tell_apart() {
    let stack = Stack::start().await;
    let authorization = format!("Bearer {TOKEN}");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Upstash-Response-Format", "resp2"),
    ];
    let body = br#"[["SET","k","v"],["GET","none"],["LPOP","none","1"],["INCR","k"],["MULTI"]]"#;
    let answer = send(stack.bridge.addr(), "POST", "/pipeline", &headers, body)
        .await
        .unwrap();
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(
        answer.text(),
        "+OK\r\n$-1\r\n*-1\r\n-ERR value is not an integer or out of range\r\n\
         -ERR Command \"MULTI\" is not allowed in REST or it has a special context path\r\n"
    );
    let ignored = send(
        stack.bridge.addr(),
        "POST",
        "/multi-exec",
        &headers,
        br#"[["INCR","n"]]"#,
    );
    assert_eq!(ignored.await.unwrap().json(), json!([{"result": 1}]));
}

fn sha1_hex(source: &str) -> String {
    use sha1::Digest;
    sha1::Sha1::digest(source)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}
