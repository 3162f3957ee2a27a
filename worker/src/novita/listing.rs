//! Reading all pages of the account's instances, and knowing whether that worked.

use std::collections::HashSet;
use std::time::Duration;

use super::{Instance, InstancePage, ListQuery, NovitaError};

/// Instances asked for per page.
pub const PAGE_SIZE: u32 = 100;

/// A provider that never ends is given up on after so many pages.
const MAX_PAGES: u32 = 100;

/// The result of reading all pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing<T = Instance> {
    /// Every matching instance. What is not in it does not exist, as far as lists can tell.
    Complete(Vec<T>),
    /// Some of them. What is in it exists; nothing follows from what is not.
    Incomplete {
        /// Those that were read, each id once.
        seen: Vec<T>,
        /// Why it cannot be called complete.
        why: Gap,
    },
}

/// What is missing from the proof that a listing is complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// A page could not be read.
    #[error(transparent)]
    Failed(#[from] NovitaError),
    /// The provider did not say how many there are.
    #[error("the list does not state its total")]
    NoTotal,
    /// Another number was read than the provider stated.
    #[error("{seen} instances were listed of {total}")]
    Count {
        /// How many were read.
        seen: u64,
        /// How many it stated.
        total: u64,
    },
    /// The total changed from one page to the next: the list moved while it was read.
    #[error("the list changed while it was read")]
    Changed,
    /// An instance came twice, so another may have been skipped.
    #[error("an instance was listed twice")]
    Repeated,
    /// An instance has no id, so it can be neither counted nor asked about.
    #[error("an instance without an id was listed")]
    WithoutId,
    /// The list did not end.
    #[error("the list has more pages than are read")]
    TooLong,
}

impl Gap {
    /// The list was not read to its end because we hold our own calls back; for how long.
    #[must_use]
    pub fn held(&self) -> Option<Duration> {
        match self {
            Self::Failed(NovitaError::Held(held)) => Some(held.wait),
            _ => None,
        }
    }
}

/// A listing in the making: whoever reads the pages asks for the next query and hands in the answer.
///
/// Pages are numbered from 1. The list ends at its stated total; a page that brings nothing new
/// ends it too, since a server that ignores the page number repeats its first page for ever.
#[derive(Debug)]
pub struct Pages<T> {
    query: ListQuery,
    seen: Vec<T>,
    ids: HashSet<String>,
    total: Option<u64>,
    /// What is read all the same although the list changes meanwhile.
    moving: Option<Moving>,
}

/// A list that is read to its end however it changes.
#[derive(Debug, Clone, Copy, Default)]
struct Moving {
    has_changed: bool,
    /// Instances that were shown, and those of the first page.
    shown: u64,
    page: u64,
}

impl<T> Pages<T> {
    /// Of all instances that match `query`, whose page counts for nothing.
    #[must_use]
    pub fn new(query: ListQuery) -> Self {
        Self {
            query: ListQuery {
                page_num: 1,
                page_size: PAGE_SIZE,
                ..query
            },
            seen: Vec::new(),
            ids: HashSet::new(),
            total: None,
            moving: None,
        }
    }

    /// The same of a list that is expected to change while it is read. It is read to its end; of what leaves it
    /// meanwhile, others may be missed that moved up into a page that was read already.
    #[must_use]
    pub fn moving(query: ListQuery) -> Self {
        Self {
            moving: Some(Moving::default()),
            ..Self::new(query)
        }
    }

    /// What to ask for next.
    #[must_use]
    pub fn query(&self) -> &ListQuery {
        &self.query
    }

    /// How many there are, once a page told it.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Takes in the answer to that, of each instance what `keep` makes of it; the listing, if there is
    /// nothing more to ask for.
    pub fn take(
        &mut self,
        page: Result<InstancePage, NovitaError>,
        keep: impl FnMut(Instance) -> T,
    ) -> Option<Listing<T>> {
        let read = self.query.page_num;
        self.query.page_num += 1;
        let gap = match page
            .map_err(Gap::from)
            .and_then(|page| self.add(page, keep))
        {
            Ok(false) if read < MAX_PAGES => return None,
            Ok(false) => Some(Gap::TooLong),
            Ok(true) => self.prove().err(),
            Err(gap) => Some(gap),
        };
        let seen = std::mem::take(&mut self.seen);
        Some(match gap {
            None => Listing::Complete(seen),
            Some(why) => Listing::Incomplete { seen, why },
        })
    }

    /// Whether this was the last page.
    fn add(
        &mut self,
        page: InstancePage,
        mut keep: impl FnMut(Instance) -> T,
    ) -> Result<bool, Gap> {
        let said_empty = page.instances.as_ref().is_some_and(Vec::is_empty);
        // An empty list that was sent as such states its total.
        let total = page.total.or(said_empty.then_some(self.seen.len() as u64));
        let has_changed = self.total.is_some() && total.is_some() && self.total != total;
        match &mut self.moving {
            Some(moving) => {
                moving.has_changed |= has_changed;
                self.total = total.or(self.total);
            }
            None if has_changed => return Err(Gap::Changed),
            None => self.total = self.total.or(total),
        }
        let instances = page.instances.unwrap_or_default();
        let (before, came) = (self.seen.len(), instances.len());
        for instance in instances {
            if instance.id.is_empty() {
                return Err(Gap::WithoutId);
            }
            if self.ids.insert(instance.id.clone()) {
                self.seen.push(keep(instance));
            }
        }
        if let Some(moving) = &mut self.moving {
            return Ok(moving.is_last(came as u64, self.total));
        }
        let new = self.seen.len() - before;
        if new > 0 && new < came {
            return Err(Gap::Repeated);
        }
        Ok(new == 0
            || self
                .total
                .is_some_and(|total| self.seen.len() as u64 >= total))
    }

    fn prove(&self) -> Result<(), Gap> {
        if self.moving.is_some_and(|moving| moving.has_changed) {
            return Err(Gap::Changed);
        }
        let (seen, total) = (self.seen.len() as u64, self.total.ok_or(Gap::NoTotal)?);
        if seen == total {
            Ok(())
        } else {
            Err(Gap::Count { seen, total })
        }
    }
}

impl Moving {
    /// Whether a page of so many was the last.
    fn is_last(&mut self, came: u64, total: Option<u64>) -> bool {
        self.page = self.page.max(came);
        self.shown += came;
        came < self.page || came == 0 || total.is_some_and(|total| self.shown >= total)
    }
}
