//! Worker processes: started, killed and replaced, dismissed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rand::RngExt;
use shared::clock::Millis;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::record::{self, Run};
use crate::worker::{Errand, ROLE};

const DISMISSED_WITHIN: Duration = Duration::from_secs(40);

/// The workers of one queue. Each process has a number of its own, never used again.
pub(crate) struct Crew {
    redis: String,
    prefix: String,
    records: TempDir,
    members: Vec<(usize, Child)>,
    /// Per number: when that process was gone, if it was killed.
    killed: Vec<Option<Millis>>,
}

impl Crew {
    pub(crate) fn start(redis: &str, prefix: &str, size: usize) -> Self {
        let mut crew = Self {
            redis: redis.to_owned(),
            prefix: prefix.to_owned(),
            records: TempDir::new().unwrap(),
            members: Vec::new(),
            killed: Vec::new(),
        };
        crew.members = (0..size).map(|_| crew.recruit()).collect();
        crew
    }

    fn record(&self, number: usize) -> PathBuf {
        self.records.path().join(number.to_string())
    }

    fn recruit(&mut self) -> (usize, Child) {
        let number = self.killed.len();
        self.killed.push(None);
        let errand = Errand {
            redis: self.redis.clone(),
            prefix: self.prefix.clone(),
            record: self.record(number),
        };
        let child = Command::new(std::env::current_exe().unwrap())
            .args([ROLE, &serde_json::to_string(&errand).unwrap()])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        (number, child.unwrap())
    }

    /// Every `pause` kills one of them with SIGKILL and replaces it at once, until `calm`.
    pub(crate) async fn harass(&mut self, pause: Duration, calm: &CancellationToken) {
        let mut ticks = interval(pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                () = calm.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let place = rand::rng().random_range(0..self.members.len());
            let (number, child) = &mut self.members[place];
            // Returns when it is gone: nothing was done by it after that.
            child.kill().await.unwrap();
            self.killed[*number] = Some(Millis::now());
            self.members[place] = self.recruit();
        }
    }

    /// How many were killed.
    pub(crate) fn kills(&self) -> usize {
        self.killed.iter().flatten().count()
    }

    /// When the process of this number was gone, if it was killed.
    pub(crate) fn killed(&self, number: usize) -> Option<Millis> {
        self.killed[number]
    }

    /// The process ids of those that work.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let ids = self.members.iter().map(|(_, child)| child.id());
        ids.map(|id| id.expect("it runs")).collect()
    }

    /// Everything that was ever run, in no order.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let numbers = 0..self.killed.len();
        numbers
            .flat_map(|number| record::read(&self.record(number), number))
            .collect()
    }

    /// Lets them finish and go.
    pub(crate) async fn dismiss(&mut self) {
        for (_, child) in &mut self.members {
            drop(child.stdin.take());
        }
        for (number, mut child) in self.members.drain(..) {
            let ended = timeout(DISMISSED_WITHIN, child.wait()).await;
            let status = ended.expect("a dismissed worker goes").unwrap();
            assert!(status.success(), "worker {number} ended with {status}");
        }
    }
}
