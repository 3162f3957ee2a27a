//! The steps from one layout to the next.
//!
//! Step `n` leads from layout `n - 1` to `n`. Steps are taken in order, each may be taken again at any
//! time, and the layout counts as reached only after what the step did was verified.

mod held;

use serde_json::{Value, json};
use shared::redis::scripts::LAYOUT;
use shared::redis::{Keys, Redis, RedisError};
use shared::schema::{self, Layout};

use crate::answer::Failure;
use crate::lock::Lock;

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Where it leads.
    pub layout: Layout,
    /// Short, stable.
    pub id: &'static str,
    /// One sentence for people.
    pub description: &'static str,
    /// What a rollback does, or why there is nothing to undo.
    pub undo: &'static str,
    work: Work,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    /// There is nothing to convert.
    Claim,
    HeldInstances,
}

/// Every step, in order.
pub const STEPS: &[Step] = &[
    Step {
        layout: Layout {
            version: 1,
            readable_from: 1,
        },
        id: "records",
        description: "specs, statuses, operations, events and the queue, one hash or set for each",
        undo: "the mark is removed if nothing was stored yet; records are never deleted by a rollback",
        work: Work::Claim,
    },
    Step {
        layout: Layout {
            version: 2,
            readable_from: 1,
        },
        id: "held-instances",
        description: "every instance that a record holds at the provider is found by the provider's id",
        undo: "the entries stay: builds of layout 1 write the same ones and ignore none of them",
        work: Work::HeldInstances,
    },
];

/// What a step found or did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What was looked at.
    pub looked_at: u64,
    /// What had to be, or has to be, changed.
    pub changes: u64,
    /// What stands in the way, in words; a few.
    pub problems: Vec<String>,
    /// What would be changed, in words; a few.
    pub samples: Vec<String>,
}

/// Samples and problems that are told.
pub(crate) const TOLD: usize = 10;

impl Findings {
    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "lookedAt": self.looked_at,
            "changes": self.changes,
            "problems": self.problems,
            "samples": self.samples,
        })
    }
}

/// Where everything is.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The deployment's Redis.
    pub redis: &'a Redis,
    /// Its keys.
    pub keys: &'a Keys,
}

impl Place<'_> {
    /// The layout that is stored; `None` in an empty deployment.
    ///
    /// # Errors
    /// It is not one that this build knows.
    pub async fn layout(self) -> Result<Option<Layout>, Failure> {
        match schema::version(self.redis, self.keys).await? {
            None => Ok(None),
            Some(found) => match schema::judge(found) {
                Ok(layout) => Ok(Some(layout)),
                Err(error) => Err(Failure::Layout(error.to_string())),
            },
        }
    }
}

/// The steps that are still to be taken.
pub fn pending(layout: Option<Layout>) -> impl Iterator<Item = &'static Step> {
    let reached = layout.map_or(0, |layout| layout.version);
    STEPS
        .iter()
        .filter(move |step| step.layout.version > reached)
}

/// The steps that were taken, as far as this build knows them.
#[must_use]
pub fn taken(layout: Option<Layout>) -> impl DoubleEndedIterator<Item = &'static Step> {
    let reached = layout.map_or(0, |layout| layout.version);
    STEPS
        .iter()
        .filter(move |step| step.layout.version <= reached)
}

impl Step {
    /// What it would change; writes nothing. After it was taken, that is nothing: so this verifies, too.
    pub async fn look(&self, place: Place<'_>) -> Result<Findings, RedisError> {
        match self.work {
            Work::Claim => Ok(Findings::default()),
            Work::HeldInstances => held::look(place).await,
        }
    }

    /// Takes it, verifies it, and moves the layout on.
    pub async fn take(&self, place: Place<'_>, lock: &Lock) -> Result<Findings, Failure> {
        let done = match self.work {
            Work::Claim => Findings::default(),
            Work::HeldInstances => held::apply(place, lock).await?,
        };
        let left = self.look(place).await?;
        if let Some(problem) = left.problems.first() {
            let id = self.id;
            return Err(Failure::Refused(format!(
                "step {id} cannot be completed: {problem}"
            )));
        }
        let before = place.layout().await?;
        set_layout(place, lock, before, Some(self.layout)).await?;
        Ok(done)
    }

    /// Undoes it as far as [`Step::undo`] says.
    pub async fn roll_back(&self, place: Place<'_>, lock: &Lock) -> Result<(), Failure> {
        let before = STEPS
            .iter()
            .map(|step| step.layout)
            .take_while(|layout| layout.version < self.layout.version)
            .last();
        if before.is_none() && !is_empty(place).await? {
            return Err(Failure::Refused(
                "there are records; a layout without records cannot be reached by a rollback"
                    .into(),
            ));
        }
        set_layout(place, lock, Some(self.layout), before).await
    }
}

async fn is_empty(place: Place<'_>) -> Result<bool, RedisError> {
    let key = place.keys.spec();
    let command = shared::redis::Command::new("EXISTS").arg(key);
    let reply = place.redis.read(&[command]).await?;
    let found = reply.into_iter().next().map(shared::redis::Reply::int);
    Ok(found.transpose()?.unwrap_or_default() == 0)
}

pub(crate) async fn set_layout(
    place: Place<'_>,
    lock: &Lock,
    from: Option<Layout>,
    to: Option<Layout>,
) -> Result<(), Failure> {
    let text =
        |layout: Option<Layout>| layout.map_or_else(String::new, |layout| layout.to_string());
    set_layout_text(place, lock, text(from), text(to)).await
}

/// The same with layouts as they are stored; empty for none.
pub(crate) async fn set_layout_text(
    place: Place<'_>,
    lock: &Lock,
    from: String,
    to: String,
) -> Result<(), Failure> {
    let keys = vec![place.keys.schema()];
    let reply = lock.script(&LAYOUT, keys, vec![from, to]).await?;
    match reply.int()? {
        1 => Ok(()),
        _ => Err(Failure::Layout(
            "the layout was changed by another build meanwhile".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_from_nothing_to_what_this_build_writes_without_a_gap() {
        let versions: Vec<u32> = STEPS.iter().map(|step| step.layout.version).collect();
        assert_eq!(versions, (1..=schema::VERSION).collect::<Vec<_>>());
        assert_eq!(STEPS.last().unwrap().layout, Layout::CURRENT);
        for step in STEPS {
            assert!(!step.undo.is_empty() && !step.description.is_empty());
        }
    }

    #[test]
    fn what_is_pending_and_what_was_taken_are_all_steps() {
        for layout in [None, Some(STEPS[0].layout), Some(Layout::CURRENT)] {
            let ids = |steps: Vec<&Step>| steps.iter().map(|step| step.id).collect::<Vec<_>>();
            let all: Vec<_> = taken(layout).chain(pending(layout)).collect();
            assert_eq!(ids(all), ids(STEPS.iter().collect()));
        }
    }
}
