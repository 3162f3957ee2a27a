//! What the search for orphans remembers from one pass over the provider's list to the next.
//!
//! An orphan bears a marker of ours and is accounted for by no attempt. Its age counts from when we
//! first saw it, by Redis's clock: the provider's clock decides nothing.

use serde::{Deserialize, Serialize};

use crate::clock::Millis;

/// What is done about an instance of ours that has no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrphanPolicy {
    /// It is announced, again every day, and otherwise left alone.
    Report,
    /// Its record is rebuilt.
    Adopt,
    /// It is stopped after a quarter of an hour and deleted after a day.
    Quarantine,
}

/// Why nobody accounts for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Finding {
    /// Its record still waits for the answer to this very order.
    Awaited,
    /// Its record is live and holds no instance: it lost this one.
    Unheld,
    /// Its record gave this attempt up, or has its twin, and holds another instance.
    Superseded,
    /// Its record is closed.
    Closed,
    /// It has no record, and is older than the record store: the store was lost.
    Lost,
    /// It has no record.
    Unrecorded,
    /// Another instance under the same id is taken instead.
    Rival,
    /// Its record is protected: it is not deleted.
    Protected,
    /// What is recorded does not explain it; only a person can.
    #[serde(other)]
    Stray,
}

/// How far the quarantine of an instance has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "camelCase")]
pub enum Stage {
    /// Seen, and nothing done.
    #[default]
    Marked,
    /// It is kept stopped.
    Quarantined {
        /// When that began.
        since: Millis,
    },
}

/// One instance that nobody accounts for, as complete passes saw it. Stored under its provider id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspect {
    /// The provider's name for it; under another name it is another suspect.
    pub name: String,
    /// Why nobody accounts for it; for another reason it is another suspect.
    pub finding: Finding,
    /// When we first saw it so.
    pub first_seen: Millis,
    /// Passes that saw it so, each at least half a minute after the one before.
    pub passes: u32,
    /// The number of the last of these passes.
    pub last_pass: u64,
    /// The time of the last of these passes.
    pub last_seen: Millis,
    /// When it was announced last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced: Option<Millis>,
    /// How far its quarantine has come.
    #[serde(flatten)]
    pub stage: Stage,
}

/// Whether lost records are being rebuilt. While they are, nothing is stopped or deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Recovery {
    /// No record is known to be lost.
    #[default]
    Off,
    /// Records are being rebuilt.
    #[serde(rename_all = "camelCase")]
    On {
        /// When the loss was noticed.
        since: Millis,
        /// Complete passes in a row, at least half a minute apart, that left nothing to rebuild.
        clean: u32,
        /// When the last of them was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_clean: Option<Millis>,
    },
    /// An operator ended it: what has no record is treated by the policy, whatever its age.
    Ended {
        /// When.
        at: Millis,
    },
}

impl Recovery {
    /// Records are being rebuilt.
    #[must_use]
    pub fn is_on(self) -> bool {
        matches!(self, Self::On { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspect_reads_back_in_every_stage() {
        for stage in [
            Stage::Marked,
            Stage::Quarantined {
                since: Millis(9_000),
            },
        ] {
            let suspect = Suspect {
                name: "train-nga-a1b2c3-01JD3Q5V8M0000000000000000-1".into(),
                finding: Finding::Unrecorded,
                first_seen: Millis(1_000),
                passes: 2,
                last_pass: 7,
                last_seen: Millis(31_000),
                announced: Some(Millis(1_000)),
                stage,
            };
            let stored = serde_json::to_string(&suspect).unwrap();
            assert_eq!(serde_json::from_str::<Suspect>(&stored).unwrap(), suspect);
        }
    }

    #[test]
    fn recovery_reads_back_in_every_state() {
        for recovery in [
            Recovery::Off,
            Recovery::On {
                since: Millis(1),
                clean: 1,
                last_clean: Some(Millis(2)),
            },
            Recovery::Ended { at: Millis(3) },
        ] {
            let stored = serde_json::to_string(&recovery).unwrap();
            assert_eq!(serde_json::from_str::<Recovery>(&stored).unwrap(), recovery);
        }
    }

    #[test]
    fn a_finding_of_a_later_release_is_left_to_people() {
        let finding = serde_json::from_str::<Finding>("\"somethingNew\"").unwrap();
        assert_eq!(finding, Finding::Stray);
    }
}
