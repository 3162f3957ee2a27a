//! What an import found and did: for people, for programs, and for the files of an operator.

use std::collections::BTreeMap;

use serde::Serialize;

use super::source::Entry;
use super::target::Word;
use crate::answer::Failure;
use crate::node::quarantine::Quarantine;

/// Differences that are told one by one.
const DIFFERENCES_TOLD: usize = 1000;

/// What an import, a plan of one or its verification found and did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Keys of the source by what they hold; those that are ours are not counted.
    pub found: BTreeMap<String, u64>,
    /// Of them, keys that bore the prefix.
    pub prefixed: u64,
    /// What became of the records of instances.
    pub instances: Counts,
    /// What became of the webhooks that are still to be sent.
    pub webhooks: Counts,
    /// Where the imported instances stood.
    pub lives: BTreeMap<&'static str, u64>,
    /// Jobs by kind and status.
    pub jobs: BTreeMap<String, u64>,
    /// What is done about the jobs that were still to be done.
    pub work: BTreeMap<&'static str, u64>,
    /// Records that were put aside.
    pub quarantined: u64,
    /// What an operator should look at.
    pub attention: Vec<String>,
    /// In a verification, how many differences there are between source and target.
    pub differences: u64,
    /// The first thousand of them.
    pub differences_told: Vec<String>,
    /// In a verification, records that were worked on since they were imported, so that only what never
    /// changes can be compared.
    pub moved_on: u64,
}

/// What became of a kind of items.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Written now; in a plan, they would be.
    pub new: u64,
    /// Written by an earlier run.
    pub known: u64,
    /// Written by an earlier run, and changed in the source since.
    pub changed: u64,
    /// Put aside.
    pub quarantined: u64,
}

impl Report {
    /// Counts what became of an item, and puts it aside if it has to be.
    ///
    /// # Errors
    /// The quarantine file cannot be written.
    pub(super) fn note(
        &mut self,
        entry: &Entry,
        is_webhook: bool,
        word: &Word,
        quarantine: &mut Quarantine,
    ) -> Result<(), Failure> {
        let counts = if is_webhook {
            &mut self.webhooks
        } else {
            &mut self.instances
        };
        match word {
            Word::New => counts.new += 1,
            Word::Known => counts.known += 1,
            Word::Changed => {
                counts.changed += 1;
                let key = &entry.key;
                self.attend(format!(
                    "{key} has changed since it was imported; it was left as it was"
                ));
            }
            Word::Impossible(reason) => {
                counts.quarantined += 1;
                quarantine.put(entry, reason)?;
            }
        }
        Ok(())
    }

    /// Something that an operator should look at.
    pub(super) fn attend(&mut self, line: String) {
        if self.attention.len() < DIFFERENCES_TOLD {
            self.attention.push(line);
        }
    }

    /// A difference between source and target.
    pub(super) fn differ(&mut self, line: String) {
        self.differences += 1;
        if self.differences_told.len() < DIFFERENCES_TOLD {
            self.differences_told.push(line);
        }
    }

    /// For people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec!["found in the source:".to_owned()];
        let rows = |counts: &BTreeMap<String, u64>| -> Vec<String> {
            counts
                .iter()
                .map(|(what, n)| format!("  {n:>9}  {what}"))
                .collect()
        };
        lines.extend(rows(&self.found));
        if self.prefixed > 0 {
            lines.push(format!("  {:>9}  of them with the prefix", self.prefixed));
        }
        for (what, counts) in [("instances", self.instances), ("webhooks", self.webhooks)] {
            let Counts {
                new,
                known,
                changed,
                quarantined,
            } = counts;
            lines.push(format!(
                "{what}: {new} new, {known} imported before, {changed} changed since, {quarantined} put aside"
            ));
        }
        let words = |counts: &BTreeMap<&'static str, u64>| {
            let words = counts.iter().map(|(word, n)| format!("{n} {word}"));
            words.collect::<Vec<_>>().join(", ")
        };
        if !self.lives.is_empty() {
            lines.push(format!("instances stood: {}", words(&self.lives)));
        }
        if !self.jobs.is_empty() {
            lines.push("jobs:".to_owned());
            lines.extend(rows(&self.jobs));
        }
        if !self.work.is_empty() {
            lines.push(format!("of the open jobs: {}", words(&self.work)));
        }
        lines
    }
}
