//! Installs the peers beside the build, outside the workspace's dependencies.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use tokio::process::Command;

const PACKAGE: &str = include_str!("peers/bullmq/package.json");
const MANIFEST: &str = include_str!("peers/bullmq-official/Cargo.toml");

/// Where the installed peers are.
pub(crate) struct Peers {
    /// `bench.mjs` beside its `node_modules`.
    pub(crate) node_script: PathBuf,
    /// The built Rust peer.
    pub(crate) rust_peer: PathBuf,
}

/// Installs what is not installed yet, under `bench-peers` of the target directory.
pub(crate) async fn install() -> anyhow::Result<Peers> {
    let own = std::env::current_exe()?;
    // target/release/deps/queue-<hash>
    let target = own.ancestors().nth(3).context("no target directory")?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/queue/peers");
    let root = target.join("bench-peers");
    Ok(Peers {
        node_script: bullmq(&sources.join("bullmq"), &root.join("bullmq")).await?,
        rust_peer: rust_port(
            &sources.join("bullmq-official"),
            &root.join("bullmq-official"),
        )
        .await?,
    })
}

async fn bullmq(source: &Path, home: &Path) -> anyhow::Result<PathBuf> {
    const LOCK: &str = "package-lock.json";
    std::fs::create_dir_all(home)?;
    let lock = std::fs::read(source.join(LOCK))?;
    let is_installed = home.join("node_modules").is_dir()
        && std::fs::read(home.join(LOCK)).is_ok_and(|installed| installed == lock);
    for file in ["package.json", "bench.mjs", LOCK] {
        std::fs::copy(source.join(file), home.join(file))?;
    }
    if !is_installed {
        let mut command = Command::new("npm");
        command.args(["ci", "--no-audit", "--no-fund"]);
        run(command.current_dir(home)).await?;
    }
    Ok(home.join("bench.mjs"))
}

async fn rust_port(source: &Path, home: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--locked", "--quiet"])
        .arg("--manifest-path")
        .arg(source.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(home);
    run(&mut command).await?;
    Ok(home.join("release/queue-bench-bullmq-official"))
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    // Standard output is for the figures.
    command.stdout(std::io::stderr());
    let shown = format!("{:?}", command.as_std());
    let status = command.status().await;
    let status = status.with_context(|| format!("cannot run {shown}"))?;
    ensure!(status.success(), "{shown} ended with {status}");
    Ok(())
}

/// The versions that are pinned, for people.
pub(crate) fn versions() -> anyhow::Result<String> {
    let package: serde_json::Value = serde_json::from_str(PACKAGE)?;
    let npm = |name: &str| package["dependencies"][name].as_str().map(str::to_owned);
    let bullmq = npm("bullmq").context("bullmq is not pinned")?;
    let ioredis = npm("ioredis").context("ioredis is not pinned")?;
    let official = MANIFEST
        .lines()
        .find_map(|line| line.strip_prefix("bullmq-official = \"="))
        .context("bullmq-official is not pinned")?;
    let official = official.trim_end_matches('"');
    Ok(format!(
        "bullmq {bullmq} with ioredis {ioredis} (npm), bullmq-official {official} (crates.io)"
    ))
}
