//! One settle-and-reserve, as it is prepared, sent, and sent again.

use std::time::Duration;

use super::reservation::{Settlement, Verdict, Write};
use crate::redis::Keys;
use crate::stock::StockNote;
use crate::store::to_json;

/// The most jobs that one call settles or reserves; keeps every script short.
pub const BATCH: usize = 1000;
/// So much of an error is kept.
const ERROR_LENGTH: usize = 500;

/// One settle-and-reserve, which can be sent again when its answer was lost.
#[derive(Debug)]
#[must_use]
pub struct Call {
    pub(super) request: u64,
    settlements: Vec<Settlement>,
    pub(super) count: usize,
    /// See [`Call::passing_on`].
    pub(super) passes_on: bool,
    /// It may have been carried out already.
    pub(super) was_sent: bool,
}

impl Call {
    /// A call that applies these settlements (at most [`BATCH`]) and reserves up to `count` jobs.
    pub(super) fn new(request: u64, settlements: Vec<Settlement>, count: usize) -> Self {
        Self {
            request,
            settlements,
            count: count.min(BATCH),
            passes_on: false,
            was_sent: false,
        }
    }

    /// The first call after a wake-up: when there is more than it takes, it wakes the next sleeper.
    pub fn passing_on(mut self) -> Self {
        self.passes_on = true;
        self
    }

    /// Nobody knows whether it was carried out.
    #[must_use]
    pub fn is_unclear(&self) -> bool {
        self.was_sent
    }

    /// The same call with nothing to write: for results that can never be stored. Their jobs are tried
    /// again after `wait`.
    pub fn without_results(self, wait: Duration) -> Self {
        let strip = |settlement: Settlement| {
            let error = "the result could not be stored".to_owned();
            let verdict = Verdict::Retry { after: wait, error };
            Settlement::of_lost(settlement.id, settlement.token, verdict)
        };
        let settlements = self.settlements.into_iter().map(strip).collect();
        Self {
            settlements,
            ..self
        }
    }

    /// The settlements it carries.
    #[must_use]
    pub fn settlements(&self) -> usize {
        self.settlements.len()
    }

    /// Adds the settlements as `settle.lua` reads them; lists of events, and hashes that are seldom
    /// written, are named by their place among the keys.
    pub(super) fn push_settlements(
        &self,
        names: &Keys,
        keys: &mut Vec<String>,
        args: &mut Vec<String>,
    ) {
        let is_alike = |one: &Settlement, other: &Settlement| {
            one.token == other.token && one.is_plain() == other.is_plain()
        };
        let groups = || self.settlements.chunk_by(is_alike);
        args.push(groups().count().to_string());
        for group in groups() {
            let Some(first) = group.first() else {
                continue;
            };
            let size = group.len().to_string();
            args.extend([first.token.clone(), flag(first.is_plain()), size]);
            for settlement in group {
                push_settlement(settlement, names, keys, args);
            }
        }
    }
}

fn push_settlement(
    settlement: &Settlement,
    names: &Keys,
    keys: &mut Vec<String>,
    args: &mut Vec<String>,
) {
    args.push(settlement.id.to_string());
    if settlement.is_plain() {
        return;
    }
    let Settlement {
        verdict, writes, ..
    } = settlement;
    let (delay, error) = match verdict {
        Verdict::Done | Verdict::Release => (Duration::ZERO, ""),
        Verdict::Again(after) | Verdict::Hold(after) => (*after, ""),
        Verdict::Retry { after, error } | Verdict::Crash { after, error } => {
            (*after, error.as_str())
        }
        Verdict::Dead { error } => (Duration::ZERO, error.as_str()),
    };
    args.extend([
        verdict.as_str().to_owned(),
        millis(delay),
        one_line(error),
        writes.len().to_string(),
    ]);
    for write in writes {
        push_write(write, names, keys, args);
    }
}

/// As scripts read it.
pub(super) fn flag(set: bool) -> String {
    if set { "1" } else { "0" }.to_owned()
}

/// Errors are kept one per line.
fn one_line(error: &str) -> String {
    let cut = error.chars().take(ERROR_LENGTH);
    cut.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn push_write(write: &Write, names: &Keys, keys: &mut Vec<String>, args: &mut Vec<String>) {
    match write {
        Write::Status(id, status) => {
            args.extend(["status".into(), id.to_string(), to_json(status)]);
        }
        Write::Operation(operation) => {
            args.extend(["op".into(), operation.id.to_string(), to_json(operation)]);
        }
        Write::Event(event) => {
            let index = index(keys, names.events(&event.instance_id));
            args.extend(["event".into(), index, to_json(event)]);
        }
        Write::ReleaseName(name, id) => {
            args.extend(["unname".into(), name.clone(), id.to_string()]);
        }
        Write::Close(id) => args.extend(["close".into(), id.to_string(), String::new()]),
        Write::Set(hash, field, value) => {
            let index = index(keys, hash.key(names));
            args.extend(["set".into(), index, field.clone(), value.clone()]);
        }
        Write::Unset(hash, field) => {
            let index = index(keys, hash.key(names));
            args.extend(["unset".into(), index, field.clone()]);
        }
        Write::Stock(StockNote { word, field }) => {
            let index = index(keys, names.stock_outs());
            args.extend(["stock".into(), index, format!("{word} {field}")]);
        }
        Write::Reserve(id, reserved) => {
            let stored = format!("{}|{}", reserved.rate.units(), reserved.generation);
            args.extend(["reserve".into(), id.to_string(), stored]);
        }
        Write::Delivery(entry) => {
            let index = index(keys, names.deliveries());
            args.extend(["delivery".into(), index, to_json(entry)]);
        }
        Write::Enqueue(job, after) => {
            let after = millis(*after);
            args.extend(["job".into(), job.id().to_string(), job.stored(), after]);
        }
    }
}

/// The place of a key among the script's keys, as Lua counts them; it is added when it is not there.
fn index(keys: &mut Vec<String>, key: String) -> String {
    let known = keys.iter().position(|known| *known == key);
    let position = known.unwrap_or_else(|| {
        keys.push(key);
        keys.len() - 1
    });
    (position + 1).to_string()
}

pub(super) fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
