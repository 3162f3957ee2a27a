//! Jobs, from what is enqueued to what they came to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Event, EventId, InstanceId, Operation, Status};

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

    /// An id as Redis told it.
    #[must_use]
    pub(super) fn stored(text: String) -> Self {
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

/// How much a full queue lets others overtake a job; an empty one runs everything at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl Job {
    /// The id under which it is enqueued.
    #[must_use]
    pub fn id(&self) -> JobId {
        match self {
            Self::Reconcile { instance } => JobId::instance(instance),
            Self::Webhook(delivery) => JobId::webhook(&delivery.event_id),
        }
    }

    /// A short stable word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reconcile { .. } => "reconcile",
            Self::Webhook(_) => "webhook",
        }
    }

    fn priority(&self) -> Priority {
        match self {
            Self::Reconcile { .. } => Priority::High,
            Self::Webhook(_) => Priority::Normal,
        }
    }

    /// The body as the scripts store it: a digit of priority, then JSON.
    #[must_use]
    pub fn stored(&self) -> String {
        let json = crate::store::to_json(self);
        format!("{}{json}", self.priority().digit())
    }

    /// Reads a stored body.
    pub fn parse(stored: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(stored.get(1..).unwrap_or_default())
    }
}

/// A job that this process holds until it is settled or its lease ends.
#[derive(Debug)]
#[must_use = "a reservation that is dropped blocks its job until the lease ends"]
pub struct Reservation {
    /// Which job.
    pub id: JobId,
    /// Proof of ownership: every write carries it, and a stale one changes nothing.
    pub token: String,
    /// How often it was handed out since it last got on.
    pub attempt: u32,
    /// How often a holder vanished since it last got on.
    pub crashes: u32,
    /// How often it failed since it last got on.
    pub errors: u32,
    /// The stored body; see [`Job::parse`].
    pub body: String,
}

impl Reservation {
    /// Gives the job back, with what it came to.
    pub fn settle(self, verdict: Verdict, writes: Vec<Write>) -> Settlement {
        Settlement {
            id: self.id,
            token: self.token,
            verdict,
            writes,
        }
    }
}

/// What a reserved job came to; takes effect when it is exchanged.
#[derive(Debug)]
#[must_use]
pub struct Settlement {
    pub(super) id: JobId,
    pub(super) token: String,
    pub(super) verdict: Verdict,
    pub(super) writes: Vec<Write>,
}

impl Settlement {
    /// The settlement of a job whose handler vanished together with its reservation.
    pub fn of_lost(id: JobId, token: String, verdict: Verdict) -> Self {
        Self {
            id,
            token,
            verdict,
            writes: Vec::new(),
        }
    }
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Finished.
    Done,
    /// Got on; look again after this long.
    Again(Duration),
    /// Failed; try again after this long.
    Retry {
        /// The wait.
        after: Duration,
        /// Why, for people.
        error: String,
    },
    /// Given up; kept in the dead letter.
    Dead {
        /// Why, for people.
        error: String,
    },
    /// Never started: anyone may take it at once, and no attempt is spent.
    Release,
}

/// A change that takes effect together with a settlement, and only if its token still holds.
#[derive(Debug)]
pub enum Write {
    /// The instance's new status.
    Status(InstanceId, Box<Status>),
    /// An operation's new state.
    Operation(Box<Operation>),
    /// The next entry of an instance's event log.
    Event(Box<Event>),
    /// The instance no longer holds this name.
    ReleaseName(String, InstanceId),
    /// The instance is over: out of the listing, kept by id until it is pruned.
    Close(InstanceId),
    /// A follow-up job, due now.
    Enqueue(Job),
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
        assert_eq!(Job::parse(&stored).unwrap(), job);
    }

    #[test]
    fn an_unknown_kind_or_an_empty_body_is_an_error_and_no_panic() {
        for stored in ["", "1", "1{}", r#"1{"kind":"dance"}"#, "é"] {
            assert!(Job::parse(stored).is_err(), "{stored:?}");
        }
    }
}
