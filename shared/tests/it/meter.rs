//! Counting billed commands.

use std::collections::BTreeMap;

use metrics_exporter_prometheus::PrometheusBuilder;
use shared::model::Status;
use shared::queue::{Job, JobId, Queue, Reservation, Verdict};

use crate::rig::{LONG_LEASE, Rig};
use crate::things::{conclude, instance, reconcile, reserve, take, webhook};

/// Commands that are not billed: Upstash REST reference. `CLIENT` only ever sets up a connection.
const FREE: [&str; 9] = [
    "auth", "client", "hello", "select", "command", "config", "info", "ping", "quit",
];

/// Calls by command since the server started.
async fn calls(rig: &Rig) -> BTreeMap<String, u64> {
    let info = rig.ask(["INFO", "commandstats"]).await.text().unwrap();
    let mut calls = BTreeMap::new();
    for line in info.lines() {
        let Some((name, stats)) = line.trim_start_matches("cmdstat_").split_once(":calls=") else {
            continue;
        };
        if !FREE.contains(&name.split('|').next().unwrap()) {
            let count = stats.split(',').next().unwrap().parse().unwrap();
            calls.insert(name.to_owned(), count);
        }
    }
    calls
}

/// The billed commands of one action, as the server counted them and as the action itself was told by
/// its scripts. The scripts must be known to the server.
pub(crate) async fn cost<T>(rig: &Rig, action: impl Future<Output = T>) -> (u64, T) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let before: u64 = calls(rig).await.values().sum();
    let result = {
        // For this thread, which is the only one that a test has.
        let _guard = metrics::set_default_local_recorder(&recorder);
        action.await
    };
    let counted = calls(rig).await.values().sum::<u64>() - before;
    let told = told(&recorder.handle().render());
    assert_eq!(told, counted, "what the scripts tell of their own cost");
    (counted, result)
}

/// What the client counted, by the text of its metrics.
fn told(metrics: &str) -> u64 {
    let counters = metrics
        .lines()
        .filter(|line| line.starts_with("redis_billed_commands_total{"));
    counters
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// Everybody but the next to ask is awake.
pub(crate) async fn wake_all(rig: &Rig) {
    rig.ask(["DEL", &rig.keys.idle()]).await;
}

pub(crate) async fn pass_time(rig: &Rig, member: &str) {
    rig.ask(["ZADD", &rig.keys.timers(), "XX", "1", member])
        .await;
}

/// A session, on a server that knows every script.
pub(crate) async fn session(rig: &Rig) -> Queue {
    let session = rig.session(LONG_LEASE);
    let job = take(&session, webhook("msg_warm")).await;
    let held = held(std::slice::from_ref(&job));
    session.extend(&held).await.unwrap();
    let status = Status::default();
    let warm = instance("warm");
    session
        .checkpoint(&job.id, &job.token, &warm, None, &status)
        .await
        .unwrap();
    conclude(&session, job, Verdict::Done).await;
    wake_all(rig).await;
    session
}

pub(crate) fn jobs(prefix: &str, count: usize) -> Vec<Job> {
    (0..count)
        .map(|n| reconcile(&format!("{prefix}{n}")))
        .collect()
}

pub(crate) fn held(jobs: &[Reservation]) -> Vec<(JobId, String)> {
    jobs.iter()
        .map(|job| (job.id.clone(), job.token.clone()))
        .collect()
}

/// Enqueues so many jobs and takes them.
pub(crate) async fn hold(session: &Queue, prefix: &str, count: usize) -> Vec<Reservation> {
    session.enqueue(&jobs(prefix, count)).await.unwrap();
    let jobs = reserve(session, count).await.jobs;
    assert_eq!(jobs.len(), count);
    jobs
}
