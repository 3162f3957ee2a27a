//! Readers of single fields. Written by hand because the predecessor's messages and its lenient
//! types are part of the contract.

mod nested;

use std::ops::RangeInclusive;

use serde_json::{Map, Number, Value};

use crate::error::{ApiError, Problem};

/// Texts are shown back up to this many characters.
const MAX_SHOWN: usize = 64;
/// More unknown fields than this are not listed.
const MAX_UNKNOWN: usize = 20;

/// The longest name of an instance.
pub(crate) const MAX_NAME: usize = 100;

/// What is wrong with the name of an instance; `label` is the field's name in the message.
pub(crate) fn wrong_with_name(label: &str, name: &str) -> Option<String> {
    let is_fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (!name.bytes().all(is_fine)).then(|| {
        format!("{label} must contain only alphanumeric characters, hyphens, and underscores")
    })
}

/// Reads the fields of a body one after the other and collects every problem on the way.
///
/// After a problem a reader returns some value of its type; it is never used, because
/// [`Fields::finish`] refuses.
#[derive(Debug)]
pub(crate) struct Fields {
    members: Map<String, Value>,
    problems: Vec<Problem>,
    /// What stands before every name, such as `envs[0].`.
    path: String,
    /// Fields of inner objects that nobody read.
    unknown: Vec<String>,
}

/// How a whole number is called and bounded.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) name: &'static str,
    /// The field's name in messages.
    pub(crate) label: &'static str,
    /// Follows the lower and the upper bound in messages.
    pub(crate) units: [&'static str; 2],
    pub(crate) range: RangeInclusive<u32>,
    pub(crate) default: u32,
}

impl Fields {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self {
            members,
            problems: Vec::new(),
            path: String::new(),
            unknown: Vec::new(),
        }
    }

    /// A text of at most `max` characters. `rule` adds what else is wrong with it.
    pub(crate) fn text(
        &mut self,
        name: &str,
        max: usize,
        rule: impl Fn(&str) -> Option<String>,
    ) -> String {
        let text = self.optional_text(name, max, rule);
        if text.is_none() {
            self.require(name);
        }
        text.unwrap_or_default()
    }

    /// The same, where it may be absent.
    pub(crate) fn optional_text(
        &mut self,
        name: &str,
        max: usize,
        rule: impl Fn(&str) -> Option<String>,
    ) -> Option<String> {
        let (value, label) = (self.members.remove(name)?, self.label(name));
        let Value::String(text) = value else {
            self.problem(name, format!("{label} must be a string"), Some(value));
            return None;
        };
        if text.is_empty() {
            let message = format!("{label} is not allowed to be empty");
            self.problem(name, message, Some(text.into()));
            return None;
        }
        let control = text
            .chars()
            .any(char::is_control)
            .then(|| format!("{label} must not contain control characters"));
        let length = too_long(&label, &text, max);
        for message in [length, control, rule(&text)].into_iter().flatten() {
            self.problem(name, message, Some(text.as_str().into()));
        }
        Some(text)
    }

    /// There must be such a field; a problem that it has already says enough.
    pub(crate) fn require(&mut self, name: &str) {
        if !self.is_wrong(name) {
            let message = format!("{} is required", self.label(name));
            self.problem(name, message, None);
        }
    }

    /// A text, or a whole number that stands for its digits.
    pub(crate) fn text_or_number(&mut self, name: &str, max: usize) -> String {
        if let Some(Value::Number(number)) = self.members.get(name)
            && let Some(number) = number.as_u64()
        {
            self.members.remove(name);
            return number.to_string();
        }
        self.text(name, max, |_| None)
    }

    /// A whole number, also as text.
    pub(crate) fn whole(&mut self, field: &Whole) -> u32 {
        self.optional_whole(field).unwrap_or(field.default)
    }

    /// The same, where absence means something else than the default.
    pub(crate) fn optional_whole(&mut self, field: &Whole) -> Option<u32> {
        let Whole {
            name,
            label,
            units: [low_unit, high_unit],
            range,
            ..
        } = field;
        let value = self.members.remove(*name)?;
        let Some(number) = number(&value) else {
            let message = format!("{} must be a number", self.label(name));
            self.problem(name, message, Some(value));
            return None;
        };
        let (low, high) = (range.start(), range.end());
        let is_whole = number.fract() == 0.0;
        let rules = [
            (!is_whole, format!("{label} must be an integer")),
            (
                number < f64::from(*low),
                format!("{label} must be at least {low}{low_unit}"),
            ),
            (
                number > f64::from(*high),
                format!("{label} must be at most {high}{high_unit}"),
            ),
        ];
        for (_, message) in rules.into_iter().filter(|(is_broken, _)| *is_broken) {
            self.problem(name, message, Some(value.clone()));
        }
        Some(number as u32)
    }

    /// One of a few words, exactly as spelled.
    pub(crate) fn word<'w>(
        &mut self,
        name: &str,
        words: &[&'w str],
        message: &str,
    ) -> Option<&'w str> {
        let value = self.members.remove(name)?;
        let found = words.iter().find(|word| value == **word);
        if found.is_none() {
            self.problem(name, message.to_owned(), Some(value));
        }
        found.copied()
    }

    /// Refuses if there were problems; fields that nobody read count only when `is_strict`.
    pub(crate) fn finish(mut self, is_strict: bool) -> Result<(), ApiError> {
        if is_strict {
            let names = self.members.keys().chain(&self.unknown);
            let unknown: Vec<String> = names.take(MAX_UNKNOWN).cloned().collect();
            for name in unknown {
                let name = shortened(&name);
                self.problem(&name, format!("\"{name}\" is not allowed"), None);
            }
        }
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(self.problems))
        }
    }

    fn is_wrong(&self, name: &str) -> bool {
        let path = self.named(name);
        self.problems.iter().any(|problem| problem.field == path)
    }

    /// Where a field stands in the body.
    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    /// How a field without a name of its own is called in messages.
    fn label(&self, name: &str) -> String {
        format!("\"{}{name}\"", self.path)
    }

    pub(crate) fn problem(&mut self, field: &str, message: String, value: Option<Value>) {
        self.problems.push(Problem {
            field: self.named(field),
            message,
            value: value.and_then(shown),
        });
    }
}

fn too_long(label: &str, text: &str, max: usize) -> Option<String> {
    (text.chars().count() > max)
        .then(|| format!("{label} length must be less than or equal to {max} characters long"))
}

/// The number that a JSON number, or a text that spells one, stands for.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<Number>().ok()?.as_f64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What of a value is shown back: short texts and plain values, and no URL with credentials.
fn shown(value: Value) -> Option<Value> {
    match value {
        Value::String(text) if text.contains("://") && text.contains('@') => None,
        Value::String(text) => Some(shortened(&text).into()),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}
