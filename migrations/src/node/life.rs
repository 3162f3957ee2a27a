//! Where an instance stood in the predecessor's words, and what that means in ours.

use shared::clock::Millis;

use super::context::Beside;
use super::state::State;

/// Where an instance stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It ran; `ready` if it was usable.
    Running {
        /// Since when.
        ready: Option<Millis>,
    },
    /// Its caller had asked for a start that was not over.
    Starting,
    /// It was stopped, or on its way to that.
    Stopped {
        /// Since when.
        at: Millis,
    },
    /// Anything else that the provider may say: it is looked at before anything is concluded.
    Moving,
    /// It failed before anything existed at the provider.
    Failed {
        /// When.
        at: Millis,
    },
    /// It was being created, and nobody knows whether the provider has it.
    Unfinished,
    /// It was removed.
    Gone {
        /// When that was found out.
        at: Millis,
    },
}

/// Where it stood when it was stored at `written`.
#[must_use]
pub fn life(state: &State, written: Millis, beside: &Beside) -> Life {
    let times = &state.timestamps;
    let word = state.status.as_str();
    if matches!(word, "terminated" | "removed") {
        let at = times.terminated.0.unwrap_or(written);
        return Life::Gone { at };
    }
    if state.provider_id().is_none() {
        let at = times.failed.0.unwrap_or(written);
        return match word {
            "failed" => Life::Failed { at },
            // What the provider has under its name is another's.
            _ if beside.is_name_taken => Life::Failed { at },
            _ => Life::Unfinished,
        };
    }
    match word {
        "running" | "ready" => Life::Running {
            ready: times.ready.0,
        },
        "starting" | "toStart" | "health_checking" if beside.is_starting() => Life::Starting,
        "health_checking" => Life::Running { ready: None },
        "stopped" | "stopping" | "toStop" => Life::Stopped {
            at: times.stopped.0.or(times.stopping.0).unwrap_or(written),
        },
        // The provider's word alone does not tell whether anybody wanted it.
        "exited" => times
            .stopped
            .0
            .map_or(Life::Moving, |at| Life::Stopped { at }),
        _ => Life::Moving,
    }
}

impl Life {
    /// How reports call it.
    #[must_use]
    pub fn stood(self) -> &'static str {
        match self {
            Self::Running { .. } => "running",
            Self::Starting => "starting",
            Self::Stopped { .. } => "stopped",
            Self::Moving => "as the provider will say",
            Self::Failed { .. } => "failed",
            Self::Unfinished => "being created",
            Self::Gone { .. } => "terminated",
        }
    }

    /// What an operator should look at.
    #[must_use]
    pub fn attention(self, state: &State) -> Option<String> {
        let (id, name) = (&state.id, &state.name);
        match self {
            Self::Unfinished => Some(format!(
                "{id} was being created: the worker looks for {name:?} at the provider and fails it \
                 if there is none; create it again then"
            )),
            Self::Failed { .. } if state.status != "failed" => Some(format!(
                "{id} was being created, and what the provider has under {name:?} is another's: it is \
                 imported as failed; create it again if it is missed"
            )),
            _ => None,
        }
    }

    /// The provider's word for it, as far as it is known.
    #[must_use]
    pub fn word(self, state: &State, beside: &Beside) -> Option<String> {
        let word = match (self, state.status.as_str()) {
            (Self::Failed { .. } | Self::Unfinished | Self::Gone { .. }, _) => return None,
            (Self::Running { .. }, _) | (Self::Starting, "health_checking") => "running",
            (Self::Starting, _) => "starting",
            (Self::Stopped { .. }, "stopping" | "toStop") => "stopping",
            (Self::Stopped { .. }, _) => "exited",
            (Self::Moving, "created") => "creating",
            // No word of the provider's: what it said last, if that is still known.
            (Self::Moving, "failed") => beside.word(),
            (Self::Moving, word) => word,
        };
        Some(word.to_owned())
    }
}
