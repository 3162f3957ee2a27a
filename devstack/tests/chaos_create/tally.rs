//! The sum of all runs.

use std::collections::BTreeMap;
use std::time::Duration;

use devstack::audit::{Fault, Finding};
use serde::Serialize;

use crate::plan::Case;
use crate::run::Outcome;

/// One run may end before its point is reached; so many do not.
const RUNS_TO_FIRE: usize = 10;

/// The closing line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    runs: usize,
    leaked: usize,
    duplicated: usize,
    wrongly_deleted: usize,
    unanswered: usize,
    blind_creates: usize,
}

#[derive(Debug, Default)]
struct Row {
    runs: usize,
    deaths: usize,
    longest: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    summary: Summary,
    rows: BTreeMap<&'static str, Row>,
}

impl Tally {
    /// Takes in one run, and says at once what went wrong in it.
    pub(crate) fn add(&mut self, case: &Case, outcome: &Outcome) {
        let name = case.trouble.name();
        self.summary.runs += if case.requests > 0 {
            outcome.requests
        } else {
            1
        };
        let row = self.rows.entry(name).or_default();
        row.runs += 1;
        row.deaths += outcome.deaths;
        row.longest = row.longest.max(outcome.took);
        if !outcome.findings.is_empty() {
            println!("--seed {} --point {name}: {:?}", case.seed, case.plan());
            println!("  logs: {}", outcome.logs.as_deref().unwrap_or("none"));
        }
        self.count(&outcome.findings);
    }

    /// Takes in random lives.
    pub(crate) fn add_lives(&mut self, outcome: &Outcome) {
        self.summary.runs += outcome.requests;
        let row = self.rows.entry("lifecycles").or_default();
        row.runs += outcome.requests;
        row.deaths += outcome.deaths;
        row.longest = outcome.took;
        self.count(&outcome.findings);
    }

    /// Takes in what happened to others' instances.
    pub(crate) fn add_trespasses(&mut self, trespasses: Vec<String>) {
        let findings: Vec<Finding> = trespasses
            .into_iter()
            .map(|what| Finding::new(Fault::WronglyDeleted, what))
            .collect();
        self.count(&findings);
    }

    fn count(&mut self, findings: &[Finding]) {
        for finding in findings {
            println!("  {finding}");
            *match finding.fault {
                Fault::Leaked => &mut self.summary.leaked,
                Fault::Duplicated => &mut self.summary.duplicated,
                Fault::WronglyDeleted => &mut self.summary.wrongly_deleted,
                Fault::Unanswered => &mut self.summary.unanswered,
                Fault::BlindCreate => &mut self.summary.blind_creates,
            } += 1;
        }
    }

    pub(crate) fn is_well(&self) -> bool {
        let Summary {
            runs: _,
            leaked,
            duplicated,
            wrongly_deleted,
            unanswered,
            blind_creates,
        } = self.summary;
        let faults = leaked + duplicated + wrongly_deleted + unanswered + blind_creates;
        faults == 0 && self.never_fired().next().is_none()
    }

    /// Points at which nobody died in all their runs: the test has lost its way to them.
    fn never_fired(&self) -> impl Iterator<Item = &'static str> {
        let rows = self.rows.iter();
        rows.filter(|(_, row)| row.runs >= RUNS_TO_FIRE && row.deaths == 0)
            .map(|(name, _)| *name)
    }

    /// What the closing line does not tell.
    pub(crate) fn explanation(&self) -> String {
        let rows = self.rows.iter().map(|(name, row)| {
            let (runs, deaths, longest) = (row.runs, row.deaths, row.longest.as_secs_f64());
            format!("{name:<20} {runs:>6} runs {deaths:>6} deaths, the longest {longest:.0} s")
        });
        let never = self
            .never_fired()
            .map(|name| format!("{name} was never reached"));
        rows.chain(never).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn report(&self) -> String {
        serde_json::to_string(&self.summary).unwrap()
    }
}
