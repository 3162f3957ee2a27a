//! Where the figures come from.

use anyhow::Context;
use tokio::process::Command;

/// Processes that ran or waited for a processor, on average over the last minute.
pub(crate) fn load() -> anyhow::Result<f64> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let minute = load.split_whitespace().next();
    Ok(minute.context("no load average")?.parse()?)
}

/// Processor, cores and kernel.
pub(crate) fn describe() -> anyhow::Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{model}, {cores} cores, Linux {}", kernel.trim()))
}

/// The version of Node.js.
pub(crate) async fn node() -> anyhow::Result<String> {
    let output = Command::new("node").arg("--version").output().await;
    let output = output.context("cannot run node")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
