//! The real binary: what it says when it cannot start, and how it ends when it can.

use std::process::{Output, Stdio};

use devstack::http::{Server, empty};
use http::StatusCode;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{PATIENCE, Raw, shared_redis, wish};

/// The binary with these variables and no others.
fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_novita-api"));
    command
        .env_clear()
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .env("METRICS_PORT", "0")
        .env("LOG_FORMAT", "json")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .envs(variables.iter().copied());
    command
}

async fn run(mut command: Command) -> (Output, String) {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.expect("did not end").unwrap();
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    (output, errors)
}

/// Starts it and reads its log up to the address it listens on.
pub(crate) async fn serving(variables: &[(&str, &str)]) -> (Child, String) {
    let mut child = command(variables).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = async {
        let mut seen = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
            if entry["message"] == "listening" {
                return entry["addr"].as_str().unwrap().to_owned();
            }
            seen.push(line);
        }
        panic!("ended: {seen:?}");
    };
    let address = tokio::time::timeout(PATIENCE, address).await.unwrap();
    // The log goes on; nobody may be blocked by a full pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, address)
}

#[tokio::test]
async fn a_wrong_configuration_ends_with_78_and_names_every_variable() {
    let wrong = [
        ("PORT", "70000"),
        ("METRICS_PORT", "x"),
        ("REQUEST_TIMEOUT", "1"),
        ("REQUEST_BODY_LIMIT", "-1"),
        ("MAX_CONNECTIONS", "0"),
        ("LOG_LEVEL", "loud"),
        ("NODE_ENV", "moon"),
        ("REDIS_KEY_PREFIX", "a b"),
        ("SHUTDOWN_DELAY_MS", "60000"),
    ];
    let (output, errors) = run(command(&wrong)).await;
    assert_eq!(output.status.code(), Some(78));
    assert!(output.stdout.is_empty());
    for (name, _) in wrong {
        assert!(errors.contains(name), "{name} in {errors}");
    }
    assert!(errors.contains("REDIS_URL"), "{errors}");
}

#[tokio::test]
async fn config_check_shows_the_effective_values_and_no_secret() {
    let mut check = command(&[
        ("REDIS_URL", "redis://h:1"),
        ("REDIS_PASSWORD", "hunter2hunter2"),
        ("REQUEST_TIMEOUT", "6000"),
        ("PORT", ""),
    ]);
    check.args(["config", "check"]);
    let (output, errors) = run(check).await;
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    for line in [
        "REQUEST_TIMEOUT=6000",
        "PORT=3000",
        "REDIS_PASSWORD=********",
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "{line} in {shown}"
        );
    }
    assert!(!shown.contains("hunter2"));
}

#[tokio::test]
async fn an_unreachable_redis_is_one_line_that_names_it() {
    let (output, errors) = run(command(&[
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:1"),
        ("REDIS_RETRY_ATTEMPTS", "2"),
        ("REDIS_RETRY_DELAY_MS", "100"),
    ]))
    .await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("cannot reach Redis at 127.0.0.1:1"));
    assert!(!errors.contains("hunter2"));
}

#[tokio::test]
async fn a_refused_upstash_token_is_said_to_be_one() {
    let refusing = Server::start(0, 1024, |_| async { Ok(empty(StatusCode::UNAUTHORIZED)) });
    let refusing = refusing.await.unwrap();
    let (output, errors) = run(command(&[
        ("UPSTASH_REDIS_REST_URL", &refusing.url()),
        ("UPSTASH_REDIS_REST_TOKEN", "wrong-token"),
    ]))
    .await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(
        errors.contains("check UPSTASH_REDIS_REST_TOKEN"),
        "{errors}"
    );
    assert!(!errors.contains("wrong-token"));
}

#[tokio::test]
async fn another_layout_is_refused_with_the_command_to_run() {
    let redis = shared_redis().await;
    let set = redis.command(&["SET", "other-layout:{0}:schema", "99"]);
    set.await.unwrap();
    let (output, errors) = run(command(&[
        ("REDIS_URL", &redis.url()),
        ("REDIS_KEY_PREFIX", "other-layout"),
    ]))
    .await;
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("redis-migration plan"), "{errors}");
}

#[tokio::test]
async fn a_taken_port_is_one_line_that_names_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (output, errors) = run(command(&[
        ("REDIS_URL", &shared_redis().await.url()),
        ("PORT", &port),
    ]))
    .await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors.lines().count(), 1, "{errors}");
    let wanted = format!("cannot listen on 127.0.0.1:{port}");
    assert!(errors.contains(&wanted), "{errors}");
}

#[tokio::test]
async fn sigterm_lets_a_request_finish_and_ends_with_0() {
    let (mut child, address) = serving(&[("REDIS_URL", &shared_redis().await.url())]).await;
    let address = address.parse().unwrap();
    let name = format!("sigterm-{}", ulid::Ulid::generate());
    let body = wish(&name).to_string();
    let (first, rest) = body.split_at(10);
    let mut busy = Raw::open(address).await;
    busy.begin_create(body.len()).await;
    busy.send(first.as_bytes()).await;

    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let refused = async { while tokio::net::TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    busy.send(rest.as_bytes()).await;
    assert_eq!(busy.answer().await.status, 201);
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert_eq!(ended.unwrap().unwrap().code(), Some(0));
}

#[tokio::test]
async fn production_does_not_start_without_keys_unless_it_is_told_to() {
    let redis = ("REDIS_URL", "redis://h:1");
    let production = [redis, ("NODE_ENV", "production")];
    let (output, errors) = run(checking(&production)).await;
    assert_eq!(output.status.code(), Some(78));
    assert!(errors.contains("API_KEYS: is required"), "{errors}");
    let told = [redis, ("NODE_ENV", "production"), ("AUTH_DISABLED", "true")];
    assert_eq!(run(checking(&told)).await.0.status.code(), Some(0));
    let key = "ci:read:s3cret";
    let (output, errors) = run(checking(&[redis, ("API_KEYS", key)])).await;
    assert_eq!(output.status.code(), Some(78));
    assert!(errors.contains("API_KEYS: entry 1"), "{errors}");
    assert!(!errors.contains("s3cret"), "{errors}");
}

#[tokio::test]
async fn a_made_key_opens_the_api_and_shows_nowhere() {
    let mut keygen = command(&[]);
    keygen.args(["keygen", "ci", "--scopes", "read"]);
    let (output, errors) = run(keygen).await;
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let line = |name: &str| {
        let mut lines = printed.lines();
        lines.find_map(|line| line.strip_prefix(name)).unwrap()
    };
    let (key, entry) = (line("API_KEY="), line("API_KEYS="));
    let file = tempfile(&format!("# who may read\n{entry}\n"));

    let redis = shared_redis().await.url();
    let variables = [
        ("REDIS_URL", redis.as_str()),
        ("API_KEYS_FILE", file.to_str().unwrap()),
        ("NODE_ENV", "production"),
        ("LOG_LEVEL", "debug"),
        ("RUST_LOG", "debug"),
    ];
    let shown = String::from_utf8(run(checking(&variables)).await.0.stdout).unwrap();
    assert!(shown.contains("API_KEYS=ci:read\n"), "{shown}");

    let mut child = command(&variables).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = String::new();
    let mut until = async |what: &str| {
        while let Some(line) = lines.next_line().await.unwrap() {
            log.push_str(&line);
            if line.contains(what) {
                return serde_json::from_str::<serde_json::Value>(&line).unwrap();
            }
        }
        panic!("ended without {what}");
    };
    let listening = tokio::time::timeout(PATIENCE, until("public"))
        .await
        .unwrap();
    let address: std::net::SocketAddr = listening["addr"].as_str().unwrap().parse().unwrap();
    let mut raw = Raw::open(address).await;
    for header in [
        format!("authorization: Bearer {key}"),
        format!("x-api-key: {key}x"),
    ] {
        let request =
            format!("GET /api/instances?api_key={key} HTTP/1.1\r\nhost: a\r\n{header}\r\n\r\n");
        raw.send(request.as_bytes()).await;
    }
    assert_eq!(raw.answer().await.status, 200);
    assert_eq!(raw.answer().await.status, 401);
    let served = tokio::time::timeout(PATIENCE, until("\"status\":200"))
        .await
        .unwrap();
    assert_eq!(served["caller"], "ci", "{served}");
    tokio::time::timeout(PATIENCE, until("\"status\":401"))
        .await
        .unwrap();
    assert!(!log.contains(key) && !log.contains(&entry[8..]), "{log}");
    std::fs::remove_file(file).unwrap();
}

/// `config check` with these variables.
fn checking(variables: &[(&str, &str)]) -> Command {
    let mut check = command(variables);
    check.args(["config", "check"]);
    check
}

fn tempfile(text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("api-keys-{}", ulid::Ulid::generate()));
    std::fs::write(&path, text).unwrap();
    path
}
