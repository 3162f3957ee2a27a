//! The official Upstash client for Python against the bridge, unchanged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "what tests call fails as tests do"
)]

mod bridge_support;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bridge_support::{Stack, TOKEN};
use tokio::process::Command;
use tokio::time::timeout;

const CLIENT: &str = "upstash-redis==1.8.0";
const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/python/upstash_client.py"
);
/// The first run downloads the client.
const INSTALL_WITHIN: Duration = Duration::from_secs(300);
const RUN_WITHIN: Duration = Duration::from_secs(60);

async fn output(command: &mut Command, within: Duration) -> Output {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(within, running)
        .await
        .expect("python takes too long");
    output.expect("python3 not found: run `make deps`")
}

fn explained(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}\n{out}\n{err}", output.status)
}

/// A virtual environment with the client, made on the first run and kept for the next.
async fn python_with_client() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(CLIENT);
    let python = home.join("bin/python");
    let ready = home.join("ready");
    if ready.exists() {
        return python;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&home);
    let made = output(&mut venv, INSTALL_WITHIN).await;
    assert!(
        made.status.success(),
        "no python3 venv: run `make deps`\n{}",
        explained(&made)
    );
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        CLIENT,
    ]);
    let installed = output(&mut pip, INSTALL_WITHIN).await;
    assert!(
        installed.status.success(),
        "cannot install {CLIENT}\n{}",
        explained(&installed)
    );
    std::fs::write(&ready, "").unwrap();
    python
}

#[tokio::test]
async fn the_official_python_client_works_unchanged() {
    let python = python_with_client().await;
    let stack = Stack::start().await;
    let mut client = Command::new(python);
    client
        .arg(SCRIPT)
        .env("UPSTASH_REDIS_REST_URL", stack.bridge.url())
        .env("UPSTASH_REDIS_REST_TOKEN", TOKEN)
        // A proxy of the environment must not come between the client and loopback.
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    let ran = output(&mut client, RUN_WITHIN).await;
    assert!(ran.status.success(), "{}", explained(&ran));
}
