//! A bounded number of things to count.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Things that are told apart at a time.
const MAX_ENTRIES: usize = 10_000;

/// Entries by key, at most so many.
#[derive(Debug)]
pub(super) struct Table<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, V: Default> Table<K, V> {
    /// Looks at the entry of `key`, or at that of `others` when there is no room even after entries that are
    /// over were removed. Tells which key it was.
    pub(super) fn with<T>(
        &self,
        key: K,
        others: K,
        is_over: impl Fn(&V) -> bool,
        look: impl FnOnce(&mut V) -> T,
    ) -> (K, T) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room =
            |entries: &HashMap<K, V>| entries.len() < MAX_ENTRIES || entries.contains_key(&key);
        if !has_room(&entries) {
            entries.retain(|_, entry| !is_over(entry));
        }
        let key = if has_room(&entries) { key } else { others };
        let looked = look(entries.entry(key.clone()).or_default());
        (key, looked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_come_no_more_are_kept() {
        let table = Table::<usize, bool>::default();
        let add = |key| table.with(key, usize::MAX, |is_over| *is_over, |_| ()).0;
        for key in 0..MAX_ENTRIES {
            assert_eq!(add(key), key);
        }
        assert_eq!(add(MAX_ENTRIES), usize::MAX);
        assert_eq!(add(7), 7, "who is known stays known");
        table.with(7, 0, |_| false, |is_over| *is_over = true);
        assert_eq!(add(MAX_ENTRIES + 1), usize::MAX, "the others took a place");
        table.with(8, 0, |_| false, |is_over| *is_over = true);
        table.with(9, 0, |_| false, |is_over| *is_over = true);
        assert_eq!(add(MAX_ENTRIES + 2), MAX_ENTRIES + 2);
        assert_eq!(table.0.lock().unwrap().len(), MAX_ENTRIES - 1);
    }
}
