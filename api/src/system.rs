//! What the operating system knows about this process, read from `/proc` (Linux).

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Length of a tick of `/proc/<pid>/stat`: 10 ms on every Linux, whatever the kernel counts in.
const TICK_SECONDS: f64 = 0.01;

/// Resident memory in MiB; 0 where it cannot be told.
pub(crate) fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    (kib.unwrap_or(0.0) / 102.4).round() / 10.0
}

/// Load averages over 1, 5 and 15 minutes; zeros where they cannot be told.
pub(crate) fn load_average() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split(' ').map(|word| word.parse().unwrap_or(0.0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0.0))
}

/// How busy this process keeps the processors.
#[derive(Debug)]
pub(crate) struct Cpu(Mutex<(Instant, f64)>);

impl Cpu {
    /// Measures from now on.
    pub(crate) fn new() -> Self {
        Self(Mutex::new((Instant::now(), cpu_seconds())))
    }

    /// Percent of one processor used since the last call.
    pub(crate) fn usage(&self) -> f64 {
        let (now, used) = (Instant::now(), cpu_seconds());
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (then, used_then) = std::mem::replace(&mut *last, (now, used));
        let elapsed = now.duration_since(then).as_secs_f64().max(TICK_SECONDS);
        ((used - used_then) / elapsed * 1000.0).round() / 10.0
    }
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold spaces: state is field 3, utime and stime are 14 and 15.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<f64>().ok())
        .sum();
    ticks * TICK_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_memory_and_has_used_a_processor() {
        assert!(resident_mib() > 1.0);
        let started = Instant::now();
        let before = cpu_seconds();
        while cpu_seconds() <= before {
            assert!(started.elapsed().as_secs() < 10, "no processor time passes");
        }
        assert!(load_average().iter().all(|load| *load >= 0.0));
    }
}
