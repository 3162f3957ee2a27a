//! What callers may wish of an instance that exists, and what each wish comes to in each phase.

use shared::model::operation::OperationKind;
use shared::model::{Desired, Phase};
use shared::store::Record;

/// A wish about an existing instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Start,
    Stop,
    Restart,
    Delete,
}

/// What becomes of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// A new generation of the spec, and a new operation.
    Change,
    /// It is so already, or on its way: the operation at hand is the answer.
    Existing,
    /// It cannot be, for this reason.
    Refuse(&'static str),
    /// There is no such instance any more.
    Unknown,
}

impl Wish {
    pub(crate) fn desired(self) -> Desired {
        match self {
            Self::Start | Self::Restart => Desired::Running,
            Self::Stop => Desired::Stopped,
            Self::Delete => Desired::Deleted,
        }
    }

    pub(crate) fn kind(self) -> OperationKind {
        match self {
            Self::Start => OperationKind::Start,
            Self::Stop => OperationKind::Stop,
            Self::Restart => OperationKind::Restart,
            Self::Delete => OperationKind::Delete,
        }
    }

    /// The code of a refusal.
    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Self::Start => "INSTANCE_NOT_STARTABLE",
            Self::Stop => "INSTANCE_NOT_STOPPABLE",
            Self::Restart => "INSTANCE_NOT_RESTARTABLE",
            Self::Delete => "INSTANCE_NOT_DELETABLE",
        }
    }

    /// How it reads in messages.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Delete => "deletion",
        }
    }

    /// Total over every record.
    pub(crate) fn decide(self, record: &Record) -> Decision {
        let (spec, status) = (&record.spec, record.status.as_ref());
        let phase = Phase::of(spec, status);
        if phase == Phase::Terminated {
            return Decision::Unknown;
        }
        if spec.desired == Desired::Deleted {
            return if self == Self::Delete {
                Decision::Existing
            } else {
                Decision::Refuse("it is being deleted")
            };
        }
        match self {
            Self::Delete => Decision::Change,
            Self::Start => start(phase),
            Self::Stop => {
                let exists = status.is_some_and(|status| status.provider_id().is_some());
                stop(phase, spec.desired, exists)
            }
            Self::Restart => restart(phase),
        }
    }
}

const IS_FAILED: Decision = Decision::Refuse("it failed, and nothing of it is left to run");
const IS_VANISHING: Decision = Decision::Refuse("the provider does not have it any more");
const IS_UNKNOWN: Decision =
    Decision::Refuse("the provider uses a word for its state that is not understood");

fn start(phase: Phase) -> Decision {
    match phase {
        Phase::Stopped | Phase::Stopping | Phase::Reclaimed => Decision::Change,
        Phase::Creating
        | Phase::Starting
        | Phase::Running
        | Phase::HealthChecking
        | Phase::Ready => Decision::Existing,
        Phase::Migrating => Decision::Refuse("it is being migrated"),
        Phase::Failed => IS_FAILED,
        Phase::Deleting | Phase::Terminated => IS_VANISHING,
        Phase::Unknown => IS_UNKNOWN,
    }
}

fn stop(phase: Phase, desired: Desired, exists: bool) -> Decision {
    match phase {
        Phase::Stopping | Phase::Stopped if desired == Desired::Stopped => Decision::Existing,
        Phase::Creating if !exists => {
            Decision::Refuse("it is not created yet; delete it to call the creation off")
        }
        Phase::Creating
        | Phase::Starting
        | Phase::Running
        | Phase::HealthChecking
        | Phase::Ready
        | Phase::Stopping
        | Phase::Stopped
        | Phase::Migrating
        | Phase::Reclaimed
        | Phase::Unknown => Decision::Change,
        Phase::Failed => IS_FAILED,
        Phase::Deleting | Phase::Terminated => IS_VANISHING,
    }
}

fn restart(phase: Phase) -> Decision {
    match phase {
        Phase::Running | Phase::HealthChecking | Phase::Ready => Decision::Change,
        Phase::Starting => Decision::Existing,
        Phase::Creating => Decision::Refuse("it is being created"),
        Phase::Stopping | Phase::Stopped | Phase::Reclaimed => {
            Decision::Refuse("it does not run; start it")
        }
        Phase::Migrating => Decision::Refuse("it is being migrated"),
        Phase::Failed => IS_FAILED,
        Phase::Deleting | Phase::Terminated => IS_VANISHING,
        Phase::Unknown => IS_UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_what_runs_and_stopping_what_is_stopped_repeats_nothing() {
        for phase in [
            Phase::Creating,
            Phase::Starting,
            Phase::Running,
            Phase::Ready,
        ] {
            assert_eq!(start(phase), Decision::Existing, "{phase:?}");
        }
        for phase in [Phase::Stopping, Phase::Stopped] {
            let decision = stop(phase, Desired::Stopped, true);
            assert_eq!(decision, Decision::Existing, "{phase:?}");
            // Stopped by somebody else: the wish is new, and is to be remembered.
            assert_eq!(
                stop(phase, Desired::Running, true),
                Decision::Change,
                "{phase:?}"
            );
        }
    }

    #[test]
    fn a_creation_is_called_off_by_deleting_and_not_by_stopping() {
        let early = stop(Phase::Creating, Desired::Running, false);
        assert!(matches!(early, Decision::Refuse(why) if why.contains("delete")));
        let later = stop(Phase::Creating, Desired::Running, true);
        assert_eq!(later, Decision::Change);
    }

    #[test]
    fn only_what_runs_is_restarted() {
        assert_eq!(restart(Phase::Ready), Decision::Change);
        assert_eq!(restart(Phase::Starting), Decision::Existing);
        assert!(matches!(restart(Phase::Stopped), Decision::Refuse(_)));
    }
}
