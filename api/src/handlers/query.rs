//! Readers of query parameters, which collect every problem on the way.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{Input, problem};
use crate::error::{ApiError, Problem};

/// Reads the parameters of a query one after the other.
///
/// After a problem a reader returns some value of its type; it is never used, because
/// [`Query::finish`] refuses.
#[derive(Debug)]
pub(super) struct Query<'a> {
    input: &'a Input,
    problems: Vec<Problem>,
}

impl<'a> Query<'a> {
    pub(super) fn of(input: &'a Input) -> Self {
        Self {
            input,
            problems: Vec::new(),
        }
    }

    /// A whole number in plain digits, if it is given.
    pub(super) fn whole(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let number = self.read(name, |raw| {
            let Some(raw) = raw else { return Ok(None) };
            let is_plain = raw.bytes().all(|b| b.is_ascii_digit());
            let number = raw.parse().ok().filter(|number| range.contains(number));
            let (low, high) = (range.start(), range.end());
            match number {
                Some(number) if is_plain => Ok(Some(number)),
                _ => Err(format!("must be a whole number from {low} to {high}")),
            }
        });
        number.flatten()
    }

    /// What one of a few words stands for; one of them must be given.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> T {
        let found = self.read(name, |raw| {
            let found = words.iter().find(|(word, _)| Some(*word) == raw.as_deref());
            found.map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                format!("must be one of: {}", words.join(", "))
            })
        });
        found.unwrap_or(words[0].1)
    }

    /// The same, where none need be given.
    pub(super) fn optional_word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        match self.input.parameter(name) {
            Ok(None) => None,
            Ok(Some(_)) | Err(_) => Some(self.word(name, words)),
        }
    }

    /// What a text stands for, if it is given.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let parsed = self.read(name, |raw| {
            let parsed = raw.map(|raw| raw.parse::<T>()).transpose();
            parsed.map_err(|error| error.to_string())
        });
        parsed.flatten()
    }

    fn read<T>(
        &mut self,
        name: &str,
        rule: impl FnOnce(Option<String>) -> Result<T, String>,
    ) -> Option<T> {
        match self.input.parameter(name).map(rule) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(rule)) => self
                .problems
                .push(problem(name, format!("\"{name}\" {rule}"))),
            Err(given_twice) => self.problems.extend_from_slice(given_twice.problems()),
        }
        None
    }

    /// Refuses if there were problems.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(self.problems))
        }
    }
}
