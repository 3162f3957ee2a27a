//! One request of a caller: a create, and the delete that follows it, until both are answered.

use std::collections::BTreeMap;

use devstack::audit::{Attempt, Fate, Fault, Finding, Wish};
use devstack::sink::Webhook;
use reqwest::StatusCode;
use serde_json::Value;
use shared::model::{AttemptState, Status};
use tokio::time::Instant;

use crate::caller::{Caller, id_in, now};
use crate::plan::Deletion;

/// How far it has come.
pub(crate) struct Request {
    name: String,
    deletion: Deletion,
    pub(crate) id: Option<String>,
    accepted: Instant,
    create_operation: Option<String>,
    delete_operation: Option<String>,
    deleted_at: Option<i64>,
    /// The caller was told that nothing of it is left.
    pub(crate) is_over: bool,
    /// What was seen last, for who wonders why it is not over.
    seen: Value,
}

impl Request {
    pub(crate) fn new(name: String, deletion: Deletion) -> Self {
        Self {
            name,
            deletion,
            id: None,
            accepted: Instant::now(),
            create_operation: None,
            delete_operation: None,
            deleted_at: None,
            is_over: false,
            seen: Value::Null,
        }
    }

    /// Does what is next; what is not answered is asked again next time.
    pub(crate) async fn advance(&mut self, caller: &Caller, api: &str) -> Option<()> {
        let Some(id) = self.id.clone() else {
            return self.create(caller, api).await;
        };
        let instance = caller.instance(api, &id).await?;
        let operation = instance["operationId"].as_str().map(str::to_owned);
        self.is_over = instance["status"] == "terminated";
        self.seen = instance;
        if self.create_operation.is_none() {
            // The answer to the create was lost, and nothing was wished since.
            self.create_operation.clone_from(&operation);
        }
        if self.is_over && self.deleted_at.is_some() {
            self.delete_operation = operation;
        } else if self.delete_operation.is_none() && self.is_time_to_delete(caller, api).await {
            self.deleted_at.get_or_insert_with(now);
            let (status, body) = caller.delete(api, &id).await?;
            if status == StatusCode::ACCEPTED {
                self.delete_operation = body["operationId"].as_str().map(str::to_owned);
            }
        }
        Some(())
    }

    async fn create(&mut self, caller: &Caller, api: &str) -> Option<()> {
        let answer = caller.create(api, &self.name, &Value::Null).await?;
        self.id = id_in(&answer);
        self.accepted = Instant::now();
        self.seen = answer.1;
        if answer.0 == StatusCode::CREATED {
            self.create_operation = self.seen["operationId"].as_str().map(str::to_owned);
        }
        Some(())
    }

    async fn is_time_to_delete(&self, caller: &Caller, api: &str) -> bool {
        match self.deletion {
            Deletion::After(wait) => self.accepted.elapsed() >= wait,
            Deletion::WhenDone => match &self.create_operation {
                Some(id) => {
                    let operation = caller.operation(api, id).await;
                    operation.is_some_and(|operation| operation["state"] != "pending")
                }
                None => false,
            },
        }
    }

    /// Whether both operations ended, once and as asked.
    pub(crate) async fn answers(&self, caller: &Caller, api: &str) -> Vec<Finding> {
        if !self.is_over {
            return vec![self.unanswered(&format!("is not over; last seen: {}", self.seen))];
        }
        let mut findings = Vec::new();
        let allowed: &[&str] = match self.deletion {
            Deletion::After(_) => &["succeeded", "superseded"],
            Deletion::WhenDone => &["succeeded"],
        };
        for (id, allowed) in [
            (&self.create_operation, allowed),
            (&self.delete_operation, &["succeeded"][..]),
        ] {
            let operation = match id {
                Some(id) => caller.operation(api, id).await.unwrap_or_default(),
                None => Value::Null,
            };
            if !allowed.iter().any(|state| operation["state"] == *state) {
                findings.push(self.unanswered(&format!("ended with {operation}")));
            }
        }
        findings
    }

    /// Whether the receiver heard of every event once, in a sequence without gaps.
    pub(crate) fn told(&self, webhooks: &[Webhook]) -> Result<(), Finding> {
        let bodies = webhooks
            .iter()
            .filter_map(|hook| serde_json::from_str::<Value>(&hook.body).ok());
        // Repetitions have the same id.
        let events: BTreeMap<String, Value> = bodies
            .filter(|body| body["instanceId"].as_str() == self.id.as_deref())
            .map(|body| (body["eventId"].to_string(), body))
            .collect();
        let mut numbers: Vec<u64> = events
            .values()
            .filter_map(|b| b["sequence"].as_u64())
            .collect();
        numbers.sort_unstable();
        let has_gaps = numbers
            .iter()
            .zip(1..)
            .any(|(seen, expected)| *seen != expected);
        let count = |status: &str| events.values().filter(|b| b["status"] == status).count();
        if has_gaps || count("deleted") != 1 || count("ready") > 1 {
            let statuses: Vec<_> = events.values().map(|b| &b["status"]).collect();
            let what = format!("was told {statuses:?} as {numbers:?}");
            return Err(self.unanswered(&what));
        }
        Ok(())
    }

    fn unanswered(&self, what: &str) -> Finding {
        let id = self.id.as_deref().unwrap_or("none");
        Finding::new(Fault::Unanswered, format!("{} ({id}) {what}", self.name))
    }

    /// For the audit; `status` is what the product has stored.
    pub(crate) fn wish(&self, status: Option<&Status>) -> Wish {
        Wish {
            deleted_at: self.deleted_at,
            is_over: self.is_over,
            attempts: status.map(attempts).unwrap_or_default(),
            ..Wish::default()
        }
    }
}

/// The ULID in an instance's id, as names of orders have it.
pub(crate) fn ulid(id: &str) -> String {
    id.strip_prefix("inst_").unwrap_or(id).to_owned()
}

/// The orders that a status remembers.
pub(crate) fn attempts(status: &Status) -> Vec<Attempt> {
    let fate = |attempt: &shared::model::Attempt| match attempt.state {
        AttemptState::Intent => Fate::Unknown,
        AttemptState::Absent => match &attempt.reason {
            Some(reason) if reason.code == "NOT_CREATED" => Fate::NotFound(attempt.absences),
            _ => Fate::Known,
        },
        AttemptState::Acked
        | AttemptState::Refused
        | AttemptState::Discarding
        | AttemptState::Gone => Fate::Known,
    };
    let mut attempts: Vec<Attempt> = status
        .all_attempts()
        .map(|attempt| Attempt {
            marker: attempt.marker.clone(),
            intent_at: attempt.intent_at.0 as i64,
            fate: fate(attempt),
        })
        .collect();
    attempts.sort_by_key(|attempt| attempt.intent_at);
    attempts
}
