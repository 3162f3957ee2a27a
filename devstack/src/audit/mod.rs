//! The judge of tests that kill processes: is what the provider saw what was wished, exactly once?
//!
//! It goes by the provider's ledger and request log and by what callers wished and when. The product's own
//! word counts in one place only: an attempt that it wrote down as never made must have been looked for.

mod calls;
mod name;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use self::calls::{Calls, Create};
pub use self::name::Name;
use crate::novita::{LedgerEntry, RequestRecord};

/// An order may arrive this much later than it was written down: what a worker allows itself before it
/// rather does not send it.
const SENT_WITHIN_MS: i64 = 1500;

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The provider has something that nobody wants.
    Leaked,
    /// Two instances of one request at the same time, the first of which nobody had discarded.
    Duplicated,
    /// A deletion that nobody had asked for.
    WronglyDeleted,
    /// A request without exactly one answer.
    Unanswered,
    /// An order was made while the fate of an earlier one was unknown.
    BlindCreate,
}

/// One fault, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub fault: Fault,
    /// One sentence.
    pub what: String,
}

impl Finding {
    /// A fault with this sentence.
    pub fn new(fault: Fault, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { fault, what }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.fault, self.what)
    }
}

/// What was wished of one instance, and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// When its deletion was first asked for, in real Unix milliseconds.
    pub deleted_at: Option<i64>,
    /// Its caller was told that nothing of it is left.
    pub is_over: bool,
    /// What the provider was made to fail for it, by the provider's ids: may be discarded at any time.
    pub broken: BTreeSet<String>,
    /// What the provider took back, by its ids: another one may be made beside it, and one of the two
    /// deleted as long as the other stands.
    pub taken: BTreeSet<String>,
    /// The orders as the product wrote them down, oldest first.
    pub attempts: Vec<Attempt>,
}

/// One order as the product wrote it down.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Under which name.
    pub marker: String,
    /// When, in Unix milliseconds.
    pub intent_at: i64,
    /// What became of it.
    pub fate: Fate,
}

/// What the product believes to have become of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Not known.
    Unknown,
    /// Known for certain, by the provider's answer or by never having been sent.
    Known,
    /// Looked for in complete lists, so often, and not there.
    NotFound(u32),
}

/// All there is to judge one deployment by.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Its tag.
    pub deployment: &'a str,
    /// Everything that was ever created, in that order; others' instances are skipped.
    pub ledger: &'a [LedgerEntry],
    /// Everything that was asked of the provider, in that order; others' calls are skipped.
    pub requests: &'a [RequestRecord],
    /// What was wished, by the ULID in the names of what was created for it.
    pub wishes: &'a BTreeMap<String, Wish>,
    /// How long an order may take to show after it was written down.
    pub window: Duration,
}

impl Evidence<'_> {
    /// Everything that went wrong.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let calls = Calls::read(self.requests);
        let mut made: BTreeMap<String, Vec<&LedgerEntry>> = BTreeMap::new();
        for entry in self.ledger {
            if let Some(name) = self.ours(&entry.name) {
                made.entry(name.instance).or_default().push(entry);
            }
        }
        let mut ordered: BTreeMap<String, Vec<&Create>> = BTreeMap::new();
        for create in &calls.creates {
            if let Some(name) = self.ours(&create.name) {
                ordered.entry(name.instance).or_default().push(create);
            }
        }
        let nothing = Wish::default();
        let mut findings = Vec::new();
        for (instance, entries) in &made {
            let wish = self.wishes.get(instance);
            findings.extend(leaked(instance, entries, wish));
            findings.extend(unlogged(entries, &calls));
            let wish = wish.unwrap_or(&nothing);
            let duplicates = duplicated(entries, &calls, wish);
            if duplicates.is_empty() {
                // Where there are, the fault is that they were made, not that they are removed.
                let wrong = entries.iter();
                findings.extend(wrong.flat_map(|e| wrongly_deleted(e, entries, &calls, wish)));
            }
            findings.extend(duplicates);
        }
        for (instance, creates) in &ordered {
            let made = made.get(instance).map_or(&[][..], Vec::as_slice);
            findings.extend(self.blind_calls(instance, creates, made, &calls));
            if let Some(wish) = self.wishes.get(instance) {
                findings.extend(unrecorded(instance, creates, wish));
            }
        }
        let wishes = self.wishes.values();
        findings.extend(wishes.flat_map(|wish| self.blind_intents(wish)));
        findings
    }

    fn ours(&self, name: &str) -> Option<Name> {
        Name::parse(name).filter(|name| name.deployment == self.deployment)
    }

    /// Between two orders of one instance: a clear no to the first, or its effect (whose removal is judged
    /// elsewhere), or two lists after its window.
    fn blind_calls(
        &self,
        instance: &str,
        creates: &[&Create],
        made: &[&LedgerEntry],
        calls: &Calls,
    ) -> Vec<Finding> {
        let is_known = |first: &Create, next: &Create| {
            let had_effect = made.iter().any(|entry| entry.name == first.name);
            let from = first.at + self.window_ms() - SENT_WITHIN_MS;
            let lists = || calls.lists_of(instance, from, next.at);
            first.name != next.name && (first.is_refused() || had_effect || lists() >= 2)
        };
        let pairs = creates.windows(2);
        pairs
            .filter(|pair| !is_known(pair[0], pair[1]))
            .map(|pair| {
                let (first, next) = (&pair[0].name, &pair[1].name);
                let what = format!("{next} was ordered before the fate of {first} was known");
                Finding::new(Fault::BlindCreate, what)
            })
            .collect()
    }

    /// The same by the product's own records, which have the orders that were never sent too.
    fn blind_intents(&self, wish: &Wish) -> Vec<Finding> {
        let is_known = |first: &Attempt, next: &Attempt| match first.fate {
            Fate::Unknown => false,
            Fate::Known => true,
            Fate::NotFound(looks) => {
                looks >= 2 && next.intent_at - first.intent_at >= self.window_ms()
            }
        };
        let pairs = wish.attempts.windows(2);
        pairs
            .filter(|pair| !is_known(&pair[0], &pair[1]))
            .map(|pair| {
                let what = format!("{:?} was not resolved before {:?}", pair[0], pair[1]);
                Finding::new(Fault::BlindCreate, what)
            })
            .collect()
    }

    fn window_ms(&self) -> i64 {
        self.window.as_millis() as i64
    }
}

fn leaked(instance: &str, entries: &[&LedgerEntry], wish: Option<&Wish>) -> Vec<Finding> {
    let is_wanted = wish.is_some_and(|wish| !wish.is_over);
    let alive = entries
        .iter()
        .filter(|entry| !is_wanted && entry.is_alive())
        .map(|entry| {
            let (id, status) = (&entry.id, &entry.status);
            let what = format!("{id} is {status}, and nobody wants {instance}");
            Finding::new(Fault::Leaked, what)
        });
    alive.collect()
}

/// A log that has lost an order can acquit nobody: it is bounded, and what is oldest goes first.
fn unlogged(entries: &[&LedgerEntry], calls: &Calls) -> Option<Finding> {
    let is_logged = |entry: &&&LedgerEntry| calls.creates.iter().any(|c| c.name == entry.name);
    let missing = entries.iter().find(|entry| !is_logged(entry))?;
    let what = format!(
        "the request log does not have the order of {}",
        missing.name
    );
    Some(Finding::new(Fault::BlindCreate, what))
}

/// Each earlier instance of a request has to be discarded before the order of a later one arrives, unless
/// the provider took it back.
fn duplicated(entries: &[&LedgerEntry], calls: &Calls, wish: &Wish) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, later) in entries.iter().enumerate() {
        let ordered = calls.order_of(&later.name);
        let kept = |entry: &&&LedgerEntry| !wish.taken.contains(&entry.id);
        for earlier in entries[..position].iter().filter(kept) {
            let mut deletes = calls.deletes_of(&earlier.id);
            if !deletes.any(|delete| delete.place < ordered) {
                let what = format!("{} was made beside {}", later.name, earlier.name);
                findings.push(Finding::new(Fault::Duplicated, what));
            }
        }
    }
    findings
}

fn wrongly_deleted(
    entry: &LedgerEntry,
    entries: &[&LedgerEntry],
    calls: &Calls,
    wish: &Wish,
) -> Vec<Finding> {
    let is_wished = |at: i64| wish.deleted_at.is_some_and(|wished| wished <= at);
    let another_stands = |place: usize| {
        let stands = |other: &&LedgerEntry| {
            let mut deletes = calls.deletes_of(&other.id);
            calls.order_of(&other.name) < place && !deletes.any(|delete| delete.place < place)
        };
        let mut others = entries.iter().filter(|other| other.id != entry.id);
        !wish.taken.is_empty() && others.any(stands)
    };
    calls
        .deletes_of(&entry.id)
        .filter(|delete| !wish.broken.contains(&entry.id) && !is_wished(delete.at))
        .filter(|delete| !another_stands(delete.place))
        .map(|_| {
            let what = format!("{} was deleted before anybody asked for it", entry.name);
            Finding::new(Fault::WronglyDeleted, what)
        })
        .collect()
}

/// Every order has to be written down before it is made.
fn unrecorded(instance: &str, creates: &[&Create], wish: &Wish) -> Option<Finding> {
    let is_recorded = |create: &&&Create| {
        let mut attempts = wish.attempts.iter();
        attempts.any(|attempt| attempt.marker == create.name)
    };
    let missing = creates.iter().find(|create| !is_recorded(create))?;
    let what = format!("{instance}: {} is not written down", missing.name);
    Some(Finding::new(Fault::BlindCreate, what))
}

#[cfg(test)]
mod tests;
