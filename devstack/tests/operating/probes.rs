//! The subcommands of the binaries that images and people use.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use devstack::stack::{Stack, StackOptions, eventually};

const PATIENCE: Duration = Duration::from_secs(20);

fn binary(name: &str) -> PathBuf {
    let devstack = PathBuf::from(env!("CARGO_BIN_EXE_devstack"));
    devstack.with_file_name(name)
}

/// Runs a binary with nothing in its environment but these.
fn run(name: &str, argument: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(binary(name))
        .arg(argument)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(std::env::temp_dir())
        .output()
        .expect("it runs")
}

fn port(url: &str) -> &str {
    url.rsplit(':').next().unwrap()
}

#[tokio::test]
async fn healthcheck_tells_a_ready_process_from_one_that_is_not() {
    let mut stack = Stack::start(StackOptions::default()).await.unwrap();
    let ports = [
        ("novita-api", port(stack.apis()[0].admin_url()).to_owned()),
        (
            "novita-worker",
            port(stack.workers()[0].admin_url()).to_owned(),
        ),
    ];
    for (name, port) in &ports {
        // Neither Redis nor any secret is known to it.
        let output = run(name, "healthcheck", &[("METRICS_PORT", port)]);
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
    }

    stack.redis().stop().await.unwrap();
    for (name, port) in &ports {
        let why = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        // What it knew of Redis may be a second old.
        let seen = eventually("not ready", PATIENCE, async || {
            let output = run(name, "healthcheck", &[("METRICS_PORT", port)]);
            match output.status.code() {
                Some(1) => Ok(why(&output)),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        assert!(seen.unwrap().ends_with(": redis\n"));
    }

    let port = ports[1].1.clone();
    stack.kill_worker(0).await.unwrap();
    let output = run("novita-worker", "healthcheck", &[("METRICS_PORT", &port)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = run("novita-worker", "healthcheck", &[("METRICS_PORT", "x")]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

#[test]
fn every_binary_tells_its_version_and_the_commit_it_was_built_with() {
    for name in ["novita-api", "novita-worker", "redis-migration"] {
        let output = run(name, "--version", &[]);
        let told = String::from_utf8(output.stdout).unwrap();
        let version = told.trim().strip_prefix(name).unwrap().trim();
        let (package, commit) = version.split_once('+').unwrap_or((version, ""));
        assert_eq!(package, env!("CARGO_PKG_VERSION"));
        let is_commit = commit.len() == 12 && commit.bytes().all(|it| it.is_ascii_hexdigit());
        assert!(commit.is_empty() || is_commit, "{told}");
        assert_eq!(
            commit.is_empty(),
            option_env!("GIT_COMMIT").is_none_or(str::is_empty)
        );
    }
}
