//! What is enqueued: jobs, their ids and kinds.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::periodic::Periodic;
use crate::clock::Millis;
use crate::model::{EventId, InstanceId};

/// The id of a job, and its serialisation key: two jobs of one id never run at the same time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(String);

impl JobId {
    /// The reconcile of one instance.
    #[must_use]
    pub fn instance(id: &InstanceId) -> Self {
        Self(format!("instance:{id}"))
    }

    /// The delivery of one event's webhook.
    #[must_use]
    pub fn webhook(event: &EventId) -> Self {
        Self(format!("webhook:{event}"))
    }

    /// A periodic job: one per deployment.
    #[must_use]
    pub fn periodic(job: Periodic) -> Self {
        Self(format!("cron:{job}"))
    }

    /// What kind of job it names; `None` for one that this version does not know.
    #[must_use]
    pub fn kind(&self) -> Option<JobKind> {
        let (kind, _) = self.0.split_once(':')?;
        JobKind::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
    }

    /// An id as Redis told it, or as somebody asks for it.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kinds of jobs, by which they are counted, paused and given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobKind {
    /// The reconcile of an instance. Never given up: somebody pays for what it looks after.
    Instance,
    /// The delivery of a webhook.
    Webhook,
    /// A periodic job. Never given up.
    Cron,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Instance, Self::Webhook, Self::Cron];

    /// What stands before the colon of a job's id.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Webhook => "webhook",
            Self::Cron => "cron",
        }
    }

    /// It may end in the dead letter because its handler came to nothing too often.
    #[must_use]
    pub fn is_one_off(self) -> bool {
        match self {
            Self::Webhook => true,
            Self::Instance | Self::Cron => false,
        }
    }
}

/// How much a full queue lets others overtake a job; an empty one runs everything at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Saves money or data: never overtaken.
    Critical,
    /// A caller waits: overtaken by what comes up to 10 s later.
    High,
    /// Overtaken by what comes up to a minute later.
    Normal,
    /// Overtaken by what comes up to ten minutes later.
    Low,
}

impl Priority {
    const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// What a stored body begins with; `None` for a body that this version did not write.
    #[must_use]
    pub fn of_stored(body: &str) -> Option<Self> {
        let first = body.chars().next()?;
        Self::ALL.into_iter().find(|known| known.digit() == first)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// The digit that `queue.lua` turns into an offset.
    fn digit(self) -> char {
        match self {
            Self::Critical => '0',
            Self::High => '1',
            Self::Normal => '2',
            Self::Low => '3',
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Job {
    /// Compare what is wanted of an instance with what is, and do one step.
    Reconcile {
        /// Which.
        #[serde(rename = "instanceId")]
        instance: InstanceId,
    },
    /// Deliver a webhook.
    Webhook(Delivery),
    /// Do what is to be done every so often.
    Periodic {
        /// What.
        name: Periodic,
    },
}

/// One webhook, complete: it is signed and sent as it stands here, however often it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The event's id, sent as `webhook-id` with every attempt.
    pub event_id: EventId,
    /// Where it goes; may hold a secret in its path, so it is not logged.
    pub url: String,
    /// The exact body.
    pub body: String,
    /// Somebody asked for this delivery by hand; `None` for one that an event caused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Headers of its receiver's own, sent beside ours; may be secret like the URL.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The trace that its event belongs to (W3C `traceparent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A delivery that somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// When: it counts as that old.
    pub at: Millis,
    /// What for.
    #[serde(rename = "for")]
    pub purpose: Purpose,
}

/// What somebody asked for a delivery for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To have an event delivered once more; tried as often as the first time.
    Replay,
    /// To see whether a receiver can be reached; tried once.
    Test,
}

impl Delivery {
    /// When it began to be wanted: when its event happened, or when somebody asked for it. `None` for
    /// the event of an id that does not say.
    #[must_use]
    pub fn wanted_since(&self) -> Option<Millis> {
        let of_event = || self.event_id.ulid().map(|ulid| Millis(ulid.timestamp_ms()));
        self.asked.map(|asked| asked.at).or_else(of_event)
    }
}

impl Job {
    /// The id under which it is enqueued.
    #[must_use]
    pub fn id(&self) -> JobId {
        match self {
            Self::Reconcile { instance } => JobId::instance(instance),
            Self::Webhook(delivery) => JobId::webhook(&delivery.event_id),
            Self::Periodic { name } => JobId::periodic(*name),
        }
    }

    fn priority(&self) -> Priority {
        match self {
            Self::Reconcile { .. } => Priority::High,
            Self::Webhook(_) => Priority::Normal,
            Self::Periodic { name } => match name {
                // Somebody waits for what it sees.
                Periodic::Watch => Priority::High,
                Periodic::Fleet => Priority::Normal,
                Periodic::Housekeeping => Priority::Low,
            },
        }
    }

    /// The body as the scripts store it: a digit of priority, then JSON.
    #[must_use]
    pub fn stored(&self) -> String {
        let json = crate::store::to_json(self);
        format!("{}{json}", self.priority().digit())
    }

    /// Reads a stored body. An instance is looked after whatever its body says, because its id tells
    /// all there is to know.
    pub fn parse(id: &JobId, stored: &str) -> Result<Self, serde_json::Error> {
        if let Some(Ok(instance)) = id.as_str().strip_prefix("instance:").map(str::parse) {
            return Ok(Self::Reconcile { instance });
        }
        serde_json::from_str(stored.get(1..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_job_reads_back_and_begins_with_its_priority() {
        let job = Job::Reconcile {
            instance: "inst_1".parse().unwrap(),
        };
        let stored = job.stored();
        assert!(stored.starts_with("1{"), "{stored}");
        assert_eq!(Job::parse(&job.id(), &stored).unwrap(), job);
    }

    #[test]
    fn an_unknown_kind_or_an_empty_body_is_an_error_and_no_panic() {
        let id = JobId::stored("webhook:evt_1".to_owned());
        for stored in ["", "1", "1{}", r#"1{"kind":"dance"}"#, "é"] {
            assert!(Job::parse(&id, stored).is_err(), "{stored:?}");
        }
    }

    #[test]
    fn an_instance_is_looked_after_even_if_its_body_is_damaged() {
        let job = Job::Reconcile {
            instance: "inst_1".parse().unwrap(),
        };
        assert_eq!(Job::parse(&job.id(), "1{").unwrap(), job);
    }

    #[test]
    fn the_id_of_every_job_tells_its_kind() {
        let kinds = [
            (
                JobId::instance(&"inst_1".parse().unwrap()),
                JobKind::Instance,
            ),
            (JobId::webhook(&"evt_1".parse().unwrap()), JobKind::Webhook),
            (JobId::periodic(Periodic::Housekeeping), JobKind::Cron),
        ];
        for (id, kind) in kinds {
            assert_eq!(id.kind(), Some(kind), "{id}");
        }
        assert_eq!(JobId::stored("dance:1".to_owned()).kind(), None);
    }
}
