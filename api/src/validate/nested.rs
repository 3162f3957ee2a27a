//! Fields that are not plain: flags, lists, objects within the body, and texts nobody may see.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Fields, MAX_UNKNOWN, too_long};

impl Fields {
    /// A field as it came.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    /// `true` or `false`, also as text.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.members.remove(name)?;
        let flag = match &value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        if flag.is_none() {
            let message = format!("{} must be a boolean", self.label(name));
            self.problem(name, message, Some(value));
        }
        flag
    }

    /// A text of at most `max` characters that may be of several lines, and may be a secret: it is never
    /// shown back.
    pub(crate) fn free_text(&mut self, name: &str, max: usize) -> Option<String> {
        let (value, label) = (self.members.remove(name)?, self.label(name));
        let Value::String(text) = value else {
            self.problem(name, format!("{label} must be a string"), None);
            return None;
        };
        let control = text
            .contains('\0')
            .then(|| format!("{label} must not contain the character NUL"));
        for message in [too_long(&label, &text, max), control]
            .into_iter()
            .flatten()
        {
            self.problem(name, message, None);
        }
        Some(text)
    }

    /// The same, where it has to be there.
    pub(crate) fn required_free_text(&mut self, name: &str, max: usize) -> String {
        let text = self.free_text(name, max);
        if text.is_none() {
            self.require(name);
        }
        text.unwrap_or_default()
    }

    /// Some of a few words, at least one, each once, in the caller's order.
    pub(crate) fn words(&mut self, name: &str, words: &[&str], message: &str) -> Vec<String> {
        let Some(items) = self.list(name, words.len()) else {
            return Vec::new();
        };
        if items.is_empty() {
            let message = format!("{} must contain at least 1 items", self.label(name));
            self.problem(name, message, None);
        }
        let mut found: Vec<String> = Vec::new();
        for (position, item) in items.into_iter().enumerate() {
            let field = format!("{name}[{position}]");
            match item.as_str().filter(|word| words.contains(word)) {
                None => self.problem(&field, message.to_owned(), Some(item)),
                Some(word) if found.iter().any(|known| known == word) => {
                    let message = format!("{} contains a duplicate value", self.label(&field));
                    self.problem(&field, message, Some(item));
                }
                Some(word) => found.push(word.to_owned()),
            }
        }
        found
    }

    /// An object, read by `read`.
    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let value = self.members.remove(name)?;
        self.inner(name, value, read)
    }

    /// A list of at most `max` objects, each read by `read`.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        max: usize,
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Option<Vec<T>> {
        let items = self.list(name, max)?.into_iter().enumerate();
        let read_item = |(position, item)| {
            let name = format!("{name}[{position}]");
            self.inner(&name, item, &mut read)
        };
        Some(items.filter_map(read_item).collect())
    }

    /// Tells of every item whose key an earlier one has: `list[n].member`. What is wrong with a key
    /// already says enough.
    pub(crate) fn unique<K: std::hash::Hash + Eq>(
        &mut self,
        list: &str,
        member: &str,
        keys: impl IntoIterator<Item = K>,
    ) {
        let mut seen = HashSet::new();
        for (position, key) in keys.into_iter().enumerate() {
            let field = format!("{list}[{position}].{member}");
            if !self.is_wrong(&field) && !seen.insert(key) {
                let message = format!("{} contains a duplicate value", self.label(&field));
                self.problem(&field, message, None);
            }
        }
    }

    fn list(&mut self, name: &str, max: usize) -> Option<Vec<Value>> {
        let (value, label) = (self.members.remove(name)?, self.label(name));
        match value {
            Value::Array(items) if items.len() <= max => Some(items),
            Value::Array(_) => {
                let message = format!("{label} must contain less than or equal to {max} items");
                self.problem(name, message, None);
                None
            }
            value => {
                self.problem(name, format!("{label} must be an array"), Some(value));
                None
            }
        }
    }

    fn inner<T>(
        &mut self,
        name: &str,
        value: Value,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let Value::Object(members) = value else {
            let message = format!("{} must be of type object", self.label(name));
            self.problem(name, message, None);
            return None;
        };
        let path = format!("{}.", self.named(name));
        let outer = std::mem::replace(&mut self.path, path);
        let siblings = std::mem::replace(&mut self.members, members);
        let result = read(self);
        let unread: Map<String, Value> = std::mem::replace(&mut self.members, siblings);
        let left = MAX_UNKNOWN.saturating_sub(self.unknown.len());
        let unknown = unread.keys().take(left).map(|key| self.named(key));
        let unknown: Vec<String> = unknown.collect();
        self.unknown.extend(unknown);
        self.path = outer;
        Some(result)
    }
}
