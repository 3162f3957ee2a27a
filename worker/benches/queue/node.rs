//! What the peers run on.

use anyhow::Context;
use tokio::process::Command;

/// The version of Node.js.
pub(crate) async fn version() -> anyhow::Result<String> {
    let output = Command::new("node").arg("--version").output().await;
    let output = output.context("cannot run node")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
