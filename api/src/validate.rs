//! Readers of single fields. Written by hand because the predecessor's messages and its lenient
//! types are part of the contract.

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
}

/// How a whole number is called and bounded.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) name: &'static str,
    /// The field's name in messages.
    pub(crate) label: &'static str,
    /// Follows the bound in messages.
    pub(crate) unit: &'static str,
    pub(crate) range: RangeInclusive<u32>,
    pub(crate) default: u32,
}

impl Fields {
    pub(crate) fn new(members: Map<String, Value>) -> Self {
        Self {
            members,
            problems: Vec::new(),
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
        if text.is_none() && !self.problems.iter().any(|problem| problem.field == name) {
            self.problem(name, format!("\"{name}\" is required"), None);
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
        let value = self.members.remove(name)?;
        let Value::String(text) = value else {
            self.problem(name, format!("\"{name}\" must be a string"), Some(value));
            return None;
        };
        if text.is_empty() {
            let message = format!("\"{name}\" is not allowed to be empty");
            self.problem(name, message, Some(text.into()));
            return None;
        }
        let length = (text.chars().count() > max).then(|| {
            format!("\"{name}\" length must be less than or equal to {max} characters long")
        });
        let control = text
            .chars()
            .any(char::is_control)
            .then(|| format!("\"{name}\" must not contain control characters"));
        for message in [length, control, rule(&text)].into_iter().flatten() {
            self.problem(name, message, Some(text.as_str().into()));
        }
        Some(text)
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
        let Whole {
            name,
            label,
            unit,
            range,
            default,
        } = field;
        let Some(value) = self.members.remove(*name) else {
            return *default;
        };
        let Some(number) = number(&value) else {
            self.problem(name, format!("\"{name}\" must be a number"), Some(value));
            return *default;
        };
        let (low, high) = (range.start(), range.end());
        let is_whole = number.fract() == 0.0;
        let rules = [
            (!is_whole, format!("{label} must be an integer")),
            (
                number < f64::from(*low),
                format!("{label} must be at least {low}{unit}"),
            ),
            (
                number > f64::from(*high),
                format!("{label} must be at most {high}{unit}"),
            ),
        ];
        for (_, message) in rules.into_iter().filter(|(is_broken, _)| *is_broken) {
            self.problem(name, message, Some(value.clone()));
        }
        number as u32
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
            let unknown: Vec<String> = self.members.keys().take(MAX_UNKNOWN).cloned().collect();
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

    fn problem(&mut self, field: &str, message: String, value: Option<Value>) {
        self.problems.push(Problem {
            field: field.to_owned(),
            message,
            value: value.and_then(shown),
        });
    }
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
