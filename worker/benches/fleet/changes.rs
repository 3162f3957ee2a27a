//! Changes at the provider, made one by one at moments that are known, and what followed each.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep_until};

use crate::deployment::Deployment;
use crate::monitor::{Moment, Trace};
use crate::population::Member;

/// A change that was made.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Whose status.
    pub(crate) member: Member,
    /// Just before it was asked for: whatever followed took this long at the most.
    pub(crate) at: Moment,
}

/// Tells the provider to let each be in `status`, evenly spread over `span`.
pub(crate) async fn spread(
    deployment: &Deployment,
    members: &[Member],
    status: &str,
    span: Duration,
) -> anyhow::Result<Vec<Change>> {
    let began = Instant::now();
    let gap = span / members.len().max(1) as u32;
    let changes = members.iter().enumerate().map(async |(place, member)| {
        sleep_until(began + gap * place as u32).await;
        let at = now();
        deployment
            .provider
            .force(&member.provider_id, status)
            .await?;
        anyhow::Ok(Change {
            member: member.clone(),
            at,
        })
    });
    try_join_all(changes).await
}

/// By the clock that Redis shares with this process.
pub(crate) fn now() -> Moment {
    jiff::Timestamp::now().as_microsecond() as f64 / 1000.0
}

/// How a change was noticed, in ms since it was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Notice {
    /// Until a look at the fleet made the instance due.
    pub(crate) due: f64,
    /// Until its event was in the log.
    pub(crate) event: f64,
}

impl Notice {
    /// What a trace tells of a change; `None` as long as nothing came of it.
    pub(crate) fn of(change: &Change, trace: &Trace, kind: Option<&str>) -> Option<Self> {
        let is_it = |(_, event): &&(Moment, String)| kind.is_none_or(|kind| kind == event);
        let mut events = trace.events.iter().filter(is_it).map(|(moment, _)| *moment);
        let event = events.find(|moment| *moment >= change.at)?;
        let mut due = trace.due.iter().copied();
        let due = due.find(|moment| (change.at..=event).contains(moment));
        Some(Self {
            // A look that was under way when it changed needed no other.
            due: due.unwrap_or(change.at) - change.at,
            event: event - change.at,
        })
    }

    /// From being due to being settled.
    pub(crate) fn lag(self) -> f64 {
        self.event - self.due
    }
}
