//! What the backend itself says about its commands (`COMMAND`).

use std::collections::HashMap;

use bytes::Bytes;

use super::request::Command;
use super::resp::Reply;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Traits {
    read_only: bool,
    writes: bool,
    first_key: i64,
    last_key: i64,
    step: i64,
}

impl Traits {
    /// Positions count the command name; a last key of -1 is the last argument.
    fn key_range<'a>(&self, args: &'a [Bytes]) -> Option<&'a [Bytes]> {
        let first = usize::try_from(self.first_key).ok()?.checked_sub(1)?;
        let end = match self.last_key {
            last if last > 0 => usize::try_from(last).ok()?,
            last => (args.len() + 1).checked_sub(usize::try_from(last.unsigned_abs()).ok()?)?,
        };
        args.get(first..end)
    }
}

/// Every command and sub-command (`XINFO|STREAM`) of the backend.
#[derive(Debug)]
pub(crate) struct CommandTable(HashMap<String, Traits>);

impl CommandTable {
    /// Reads the answer to `COMMAND`.
    pub(crate) fn new(answer: &Reply) -> Self {
        let mut table = HashMap::new();
        for entry in answer.items() {
            add(&mut table, entry);
        }
        Self(table)
    }

    fn traits(&self, command: &Command) -> Option<&Traits> {
        let full = format!("{}|{}", command.name, command.subcommand());
        self.0.get(&full).or_else(|| self.0.get(&command.name))
    }

    pub(crate) fn knows(&self, command: &Command) -> bool {
        self.traits(command).is_some()
    }

    pub(crate) fn is_read_only(&self, command: &Command) -> bool {
        self.traits(command).is_some_and(|traits| traits.read_only)
    }

    /// A script writes without being flagged as a writer.
    pub(crate) fn may_write(&self, command: &Command) -> bool {
        matches!(command.name.as_str(), "EVAL" | "EVALSHA" | "FCALL")
            || self.traits(command).is_some_and(|traits| traits.writes)
    }

    /// The arguments that are keys, except those behind a count that is not a script's.
    pub(crate) fn keys<'a>(&self, command: &'a Command) -> impl Iterator<Item = &'a Bytes> {
        let args = &command.args;
        let (keys, step) = if takes_key_count(&command.name) {
            (counted_keys(args), 1)
        } else {
            self.traits(command)
                .map_or((None, 1), |traits| (traits.key_range(args), traits.step))
        };
        keys.unwrap_or_default()
            .iter()
            .step_by(usize::try_from(step).unwrap_or(1).max(1))
    }
}

fn takes_key_count(name: &str) -> bool {
    matches!(
        name,
        "EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO" | "FCALL" | "FCALL_RO"
    )
}

fn counted_keys(args: &[Bytes]) -> Option<&[Bytes]> {
    let count: usize = std::str::from_utf8(args.get(1)?).ok()?.parse().ok()?;
    args.get(2..)?.get(..count)
}

fn add(table: &mut HashMap<String, Traits>, entry: &Reply) {
    let [name, _arity, flags, first, last, step, rest @ ..] = entry.items() else {
        return;
    };
    let Some(name) = name.text() else { return };
    let has = |flag: &str| {
        flags
            .items()
            .iter()
            .any(|item| item.text().is_some_and(|text| text == flag))
    };
    let traits = Traits {
        read_only: has("readonly"),
        writes: has("write"),
        first_key: integer(first),
        last_key: integer(last),
        step: integer(step),
    };
    table.insert(String::from_utf8_lossy(name).to_ascii_uppercase(), traits);
    for sub in rest.last().map(Reply::items).unwrap_or_default() {
        add(table, sub);
    }
}

fn integer(reply: &Reply) -> i64 {
    if let Reply::Integer(value) = reply {
        *value
    } else {
        0
    }
}
