//! Jobs and numbers as administrators read them, as JSON and as text alike. Secrets do not show.

mod job;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

pub use self::job::{JobTime, JobView, Payload};

use super::admin::Page;
use super::state::{JobState, Scope};
use super::stats::QueueStats;
use super::workers::Workers;
use crate::clock::Millis;

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over what it serialises by reference"
)]
fn iso<S: Serializer>(at: &Millis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.iso())
}

/// One page of the jobs in a state.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = JobPage)]
pub struct PageView {
    /// Redis's clock.
    #[serde(serialize_with = "iso")]
    #[schema(value_type = String, format = DateTime)]
    pub now: Millis,
    /// Their state.
    pub state: JobState,
    /// How many there are in this state.
    pub total: u64,
    /// Those of this page.
    pub jobs: Vec<JobView>,
}

impl PageView {
    /// The page of the jobs in this state.
    #[must_use]
    pub fn new(state: JobState, page: Page) -> Self {
        Self {
            now: page.now,
            state,
            total: page.total,
            jobs: page.jobs.into_iter().map(JobView::from).collect(),
        }
    }
}

/// The queue in numbers, and who works on it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = QueueStats)]
#[serde(rename_all = "camelCase")]
pub struct StatsView {
    /// Redis's clock.
    #[serde(serialize_with = "iso")]
    #[schema(value_type = String, format = DateTime)]
    pub now: Millis,
    /// Jobs that are runnable now.
    pub due: u64,
    /// Jobs that a worker holds.
    pub leased: u64,
    /// Jobs that wait for their time.
    pub delayed: u64,
    /// Jobs of paused kinds that would be due.
    pub paused: u64,
    /// Jobs that were given up.
    pub dead: u64,
    /// How long the first runnable job in line has been runnable, in ms.
    pub oldest_due_ms: u64,
    /// `leased` and `delayed` are exact; else some leased jobs are counted as delayed.
    pub counts_complete: bool,
    /// What is paused: `all`, or kinds of jobs.
    #[schema(value_type = Vec<String>)]
    pub paused_scopes: Vec<Scope>,
    /// The worker processes by session.
    pub workers: Vec<WorkerView>,
}

/// One worker process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = WorkerHeartbeat)]
#[serde(rename_all = "camelCase")]
pub struct WorkerView {
    /// Its session, as in a job's `holder`.
    pub session: String,
    /// When it was last heard of.
    #[serde(serialize_with = "iso")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Millis,
    /// Fewer than three heartbeats were missed since.
    pub alive: bool,
    /// Jobs it was working on.
    pub running: usize,
    /// Jobs it works on at most at a time.
    pub permits: usize,
    /// Its version.
    pub version: String,
}

impl StatsView {
    /// The numbers with the workers, these by session.
    #[must_use]
    pub fn new(stats: &QueueStats, workers: Workers) -> Self {
        let mut workers: Vec<_> = workers
            .0
            .into_iter()
            .map(|(session, heartbeat)| WorkerView {
                session,
                at: heartbeat.at,
                alive: heartbeat.is_recent(stats.now),
                running: heartbeat.running,
                permits: heartbeat.permits,
                version: heartbeat.version,
            })
            .collect();
        workers.sort_by(|a, b| a.session.cmp(&b.session));
        Self {
            now: stats.now,
            due: stats.due,
            leased: stats.leased,
            delayed: stats.delayed,
            paused: stats.paused,
            dead: stats.dead,
            oldest_due_ms: stats.oldest_due_ms,
            counts_complete: stats.is_complete,
            paused_scopes: stats.paused_scopes.clone(),
            workers,
        }
    }
}

/// A dead job began anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RetriedJob)]
pub struct RetriedView {
    /// Which.
    pub id: String,
    /// Where it went.
    pub state: JobState,
}

/// A dead job was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DroppedView {
    /// Which.
    #[serde(rename = "dropped")]
    pub id: String,
}

/// Dead jobs began anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RetriedJobs)]
pub struct RevivalView {
    /// How many.
    pub retried: usize,
    /// How many are dead now.
    pub remaining: u64,
}

/// Something was paused or resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QueuePause)]
pub struct PauseView {
    /// What.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// It is paused now.
    pub paused: bool,
    /// It was not so before.
    pub changed: bool,
}

impl PauseView {
    /// What pausing or resuming came to.
    #[must_use]
    pub fn new(scope: Scope, paused: bool, changed: bool) -> Self {
        Self {
            scope,
            paused,
            changed,
        }
    }
}
