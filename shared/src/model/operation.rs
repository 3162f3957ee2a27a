//! One request for change as its caller follows it: accepted now, finished by a worker later.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::{InstanceId, OperationId};
use crate::clock::Millis;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum OperationKind {
    /// Bring an instance into being.
    Create,
    /// Boot a stopped one.
    Start,
    /// Stop one that runs.
    Stop,
    /// Boot one anew that runs.
    Restart,
    /// Remove it for good.
    Delete,
}

impl OperationKind {
    /// It ends with a boot.
    #[must_use]
    pub fn boots(self) -> bool {
        match self {
            Self::Start | Self::Restart => true,
            Self::Create | Self::Stop | Self::Delete => false,
        }
    }
}

/// How far it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum OperationState {
    /// Accepted; a worker is at it or will be.
    Pending,
    /// Done as asked.
    Succeeded,
    /// Given up; the error says why.
    Failed,
    /// Overtaken by a later wish before it was done.
    Superseded,
}

/// One request for change, from acceptance to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its own id.
    pub id: OperationId,
    /// The instance it is about.
    pub instance_id: InstanceId,
    /// What was asked for.
    pub kind: OperationKind,
    /// How far it got.
    pub state: OperationState,
    /// The generation of the spec that this operation created.
    pub generation: u64,
    /// When it was accepted.
    pub created_at: Millis,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Millis>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// A failure as callers read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Stable, upper snake case.
    pub code: String,
    /// One sentence for people; never holds a secret.
    pub message: String,
}

impl Failure {
    /// A failure with this code and sentence.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

impl Operation {
    /// A fresh operation that answers generation `generation` of a spec.
    #[must_use]
    pub fn accepted(
        id: OperationId,
        instance_id: InstanceId,
        kind: OperationKind,
        generation: u64,
        now: Millis,
    ) -> Self {
        Self {
            id,
            instance_id,
            kind,
            state: OperationState::Pending,
            generation,
            created_at: now,
            finished_at: None,
            error: None,
        }
    }

    /// The same operation, ended.
    #[must_use]
    pub fn ended(mut self, state: OperationState, error: Option<Failure>, now: Millis) -> Self {
        self.state = state;
        self.error = error;
        self.finished_at = Some(now);
        self
    }
}
