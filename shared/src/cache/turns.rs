//! Which answers were fetched before something changed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

/// Keys share counters, so a change now and then outdates an entry that did not change, which costs a read.
const SHARES: usize = 1024;

/// How often a key, or everything, had changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    key: u64,
    all: u64,
}

impl Turn {
    /// Nothing that `other` knows of changed after this.
    pub(super) fn is_since(self, other: Self) -> bool {
        self.key >= other.key && self.all >= other.all
    }
}

/// Counts changes.
#[derive(Debug)]
pub(super) struct Turns {
    keys: Vec<AtomicU64>,
    all: AtomicU64,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            keys: (0..SHARES).map(|_| AtomicU64::new(0)).collect(),
            all: AtomicU64::new(0),
        }
    }

    pub(super) fn of(&self, key: &str) -> Turn {
        Turn {
            key: self.share(key).load(Ordering::SeqCst),
            all: self.all.load(Ordering::SeqCst),
        }
    }

    pub(super) fn advance(&self, key: &str) {
        self.share(key).fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn advance_all(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    fn share(&self, key: &str) -> &AtomicU64 {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        &self.keys[hasher.finish() as usize % SHARES]
    }
}
