//! Jobs: what migrations leave behind.

use serde_json::{Value, json};

use super::clock::SimTime;
use super::error::ApiError;
use super::query::{Page, Query};

/// The only type the simulator creates.
pub(crate) const MIGRATE: &str = "instanceMigrate";

const TYPES: [&str; 3] = ["saveImage", MIGRATE, "autoInstanceMigrate"];

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) instance_id: String,
    pub(crate) created_at: SimTime,
    pub(crate) state: JobState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobState {
    Running,
    Fail,
    Success,
}

impl JobState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Fail => "fail",
            Self::Success => "success",
        }
    }
}

impl Job {
    fn to_json(&self) -> Value {
        let message = if self.state == JobState::Fail {
            "migration failed"
        } else {
            ""
        };
        json!({
            "Id": self.id,
            "user": "simulated-user",
            "type": MIGRATE,
            "envs": [],
            "state": { "state": self.state.as_str(), "error": "", "message": message },
            "logAddress": "",
            "createdAt": self.created_at.wire(),
            "instanceId": self.instance_id,
        })
    }
}

/// `GET /jobs`, the newest first.
pub(crate) fn list(jobs: &[Job], query: &Query, max_page: usize) -> Result<Value, ApiError> {
    let page = Page::read(query, max_page)?;
    let id = query.text("jobId", 255)?;
    let state = query.one_of("state", &["pulling", "running", "fail", "success", "break"])?;
    let kind = query.one_of("type", &TYPES)?;
    let start = query.number("startTime")?.unwrap_or(0);
    let end = query.number("endTime")?.filter(|end| *end > 0);
    let matching = jobs.iter().rev().filter(|job| {
        let created = job.created_at.unix_millis().div_euclid(1000) as u64;
        id.is_none_or(|id| job.id == id)
            && state.is_none_or(|state| job.state.as_str() == state)
            && kind.is_none_or(|kind| kind == MIGRATE)
            && created >= start
            && end.is_none_or(|end| created <= end)
    });
    let matching: Vec<&Job> = matching.collect();
    let items: Vec<Value> = page.of(&matching).iter().map(|job| job.to_json()).collect();
    Ok(json!({ "jobs": items, "total": matching.len() }))
}
