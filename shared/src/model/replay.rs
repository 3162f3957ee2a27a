//! The phase of an instance, from its event log alone.

use super::event::Event;
use super::phase::Phase;

/// Why a log does not explain the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// Entries are missing in the middle.
    #[error("event {found} follows event {after}")]
    Gap {
        /// The number before.
        after: u64,
        /// The number that came.
        found: u64,
    },
    /// An entry leaves a phase that the instance was not in by then.
    #[error("event {number} leaves {from:?}, but it was {was:?}")]
    Unexplained {
        /// Which entry.
        number: u64,
        /// What it says the phase was.
        from: Phase,
        /// What the entries before it came to.
        was: Phase,
    },
}

/// The phase that a log of events, oldest first, comes to: what [`Phase::of`] showed when the last of
/// them was settled. A log whose beginning was cut off begins where its first change does; an empty
/// one means that nobody has looked at the instance, which is [`Phase::Creating`].
///
/// # Errors
/// The log has a hole, so that it does not explain how the instance came to its phase.
pub fn replay(events: &[Event]) -> Result<Phase, ReplayError> {
    let mut last = None;
    let mut phase = None;
    for event in events {
        let number = event.number;
        if let Some(after) = last.filter(|last| last + 1 != number) {
            let found = number;
            return Err(ReplayError::Gap { after, found });
        }
        last = Some(number);
        let Some(change) = event.change else { continue };
        let was = phase.unwrap_or(if events[0].number == 1 {
            Phase::Creating
        } else {
            change.from
        });
        if was != change.from {
            let from = change.from;
            return Err(ReplayError::Unexplained { number, from, was });
        }
        phase = Some(change.to);
    }
    Ok(phase.unwrap_or(Phase::Creating))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::clock::Millis;
    use crate::model::event::{Actor, Cause, PhaseChange};
    use crate::model::{EventId, EventKind, InstanceId};

    fn event(number: u64, change: Option<(Phase, Phase)>) -> Event {
        Event {
            id: EventId::generate(),
            instance_id: InstanceId::generate(),
            number,
            kind: EventKind::Running,
            at: Millis(number),
            reason: String::new(),
            cause: Cause::Sweeper,
            actor: Actor::Policy,
            change: change.map(|(from, to)| PhaseChange { from, to }),
            data: Value::Null,
        }
    }

    #[test]
    fn the_changes_lead_from_creating_to_the_phase() {
        assert_eq!(replay(&[]), Ok(Phase::Creating));
        let log = [
            event(1, None),
            event(2, Some((Phase::Creating, Phase::Ready))),
            event(3, None),
            event(4, Some((Phase::Ready, Phase::Stopping))),
        ];
        assert_eq!(replay(&log), Ok(Phase::Stopping));
        assert_eq!(replay(&log[..3]), Ok(Phase::Ready));
        assert_eq!(replay(&log[3..]), Ok(Phase::Stopping), "the newest alone");
    }

    #[test]
    fn a_hole_is_found_by_number_and_by_phase() {
        let gap = [event(1, None), event(3, None)];
        let found = Err(ReplayError::Gap { after: 1, found: 3 });
        assert_eq!(replay(&gap), found);
        let jump = [
            event(1, Some((Phase::Creating, Phase::Running))),
            event(2, Some((Phase::Ready, Phase::Stopped))),
        ];
        assert!(matches!(
            replay(&jump),
            Err(ReplayError::Unexplained { number: 2, .. })
        ));
        let late = [event(1, Some((Phase::Ready, Phase::Stopped)))];
        assert!(replay(&late).is_err(), "it does not begin at the beginning");
    }
}
