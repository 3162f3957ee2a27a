//! Where figures come from: the machine, and the memory of its processes. Linux only.

use anyhow::Context;

/// Processes that ran or waited for a processor, on average over the last minute.
///
/// # Errors
/// `/proc` is not there.
pub fn load() -> anyhow::Result<f64> {
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let minute = load.split_whitespace().next();
    Ok(minute.context("no load average")?.parse()?)
}

/// Processor, cores and kernel.
///
/// # Errors
/// `/proc` is not there.
pub fn describe() -> anyhow::Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{model}, {cores} cores, Linux {}", kernel.trim()))
}

/// What a process holds in memory, in MiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resident {
    /// Now.
    pub now: f64,
    /// The most it ever held.
    pub peak: f64,
}

impl Resident {
    /// Of the process with this id.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        Ok(Self {
            now: mib(&status, "VmRSS:")?,
            peak: mib(&status, "VmHWM:")?,
        })
    }
}

fn mib(status: &str, name: &str) -> anyhow::Result<f64> {
    let mut figures = status.lines().filter_map(|line| line.strip_prefix(name));
    let figure = figures.next().with_context(|| format!("no {name}"))?;
    let kib = figure.split_whitespace().next().context("no figure")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}
