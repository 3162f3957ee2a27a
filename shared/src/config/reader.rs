//! Turns text into typed values and collects every problem on the way.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use url::Url;

/// A value that never shows: not in logs, not in errors, not in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// One line per problem, each naming its variable.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The configuration has {} problem(s):", self.0.len())?;
        for problem in &self.0 {
            writeln!(f, "  * {problem}")?;
        }
        write!(
            f,
            "Run with --help for every variable, its default and its range."
        )
    }
}

impl std::error::Error for ConfigError {}

/// Reads values, collecting problems and effective values.
#[derive(Debug, Default)]
pub struct Reader {
    problems: Vec<String>,
    effective: Vec<(&'static str, String)>,
}

impl Reader {
    /// An integer within `range`. After a problem the lower bound is returned; it is never used,
    /// because [`Reader::finish`] refuses.
    pub fn int(&mut self, name: &'static str, raw: &str, range: RangeInclusive<u64>) -> u64 {
        let value = raw
            .trim()
            .parse()
            .ok()
            .filter(|value| range.contains(value));
        if value.is_none() {
            let (low, high) = (range.start(), range.end());
            self.problem(
                name,
                &format!("{raw:?} is not a whole number from {low} to {high}"),
            );
        }
        let value = value.unwrap_or(*range.start());
        self.effective.push((name, value.to_string()));
        value
    }

    /// A time in milliseconds within `range`.
    pub fn millis(
        &mut self,
        name: &'static str,
        raw: &str,
        range: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_millis(self.int(name, raw, range))
    }

    /// A time in seconds within `range`.
    pub fn seconds(
        &mut self,
        name: &'static str,
        raw: &str,
        range: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_secs(self.int(name, raw, range))
    }

    /// `true` or `false`.
    pub fn bool(&mut self, name: &'static str, raw: &str) -> bool {
        let value = match raw.trim() {
            "true" => true,
            "false" => false,
            _ => {
                self.problem(name, &format!("{raw:?} is neither true nor false"));
                false
            }
        };
        self.effective.push((name, value.to_string()));
        value
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, name: &'static str, raw: &str, words: &[(&str, T)]) -> T {
        let found = words.iter().find(|(word, _)| *word == raw.trim());
        if found.is_none() {
            let allowed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.problem(
                name,
                &format!("{raw:?} is not one of: {}", allowed.join(", ")),
            );
        }
        self.effective.push((name, raw.trim().to_owned()));
        found.unwrap_or(&words[0]).1
    }

    /// A text that matches `rule`, which `wanted` describes.
    pub fn text(
        &mut self,
        name: &'static str,
        raw: &str,
        wanted: &str,
        rule: impl Fn(&str) -> bool,
    ) -> String {
        let text = raw.trim();
        if !rule(text) {
            self.problem(name, &format!("{raw:?} is not {wanted}"));
        }
        self.effective.push((name, text.to_owned()));
        text.to_owned()
    }

    /// An URL with one of these schemes. Its user and password, if any, are not remembered.
    pub fn url(&mut self, name: &'static str, raw: &str, schemes: &[&str]) -> Option<Url> {
        let url = Url::parse(raw.trim())
            .ok()
            .filter(|url| schemes.contains(&url.scheme()) && url.has_host());
        if let Some(url) = &url {
            self.effective.push((name, masked(url)));
        } else {
            self.problem(
                name,
                &format!(
                    "must be an URL that begins with {}://",
                    schemes.join(":// or ")
                ),
            );
        }
        url
    }

    /// Remembers an effective value that was read elsewhere; it must hold no secret.
    pub fn show(&mut self, name: &'static str, value: String) {
        self.effective.push((name, value));
    }

    /// A secret from `NAME` or from the file that `NAME_FILE` names; `None` when neither is set.
    pub fn secret(
        &mut self,
        name: &'static str,
        raw: Option<&str>,
        file: Option<&str>,
        min_length: usize,
    ) -> Option<Secret> {
        let text = match (raw, file) {
            (Some(_), Some(_)) => {
                self.problem(name, &format!("set either {name} or {name}_FILE, not both"));
                return None;
            }
            (Some(text), None) => text.to_owned(),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => {
                    self.problem(name, &format!("{name}_FILE cannot be read: {error}"));
                    return None;
                }
            },
            (None, None) => return None,
        };
        let text = text.trim();
        self.effective.push((name, "********".to_owned()));
        if text.len() < min_length {
            self.problem(name, &format!("is shorter than {min_length} characters"));
            return None;
        }
        Some(Secret::new(text))
    }

    /// Reports that a required variable is missing.
    pub fn missing(&mut self, name: &'static str, hint: &str) {
        self.problem(name, &format!("is required: {hint}"));
    }

    /// Adds a problem of a variable.
    pub fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("{name}: {what}"));
    }

    /// The effective values so far, secrets masked.
    #[must_use]
    pub fn effective(&self) -> &[(&'static str, String)] {
        &self.effective
    }

    /// The configuration, unless there were problems.
    pub fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigError(self.problems)),
        }
    }
}

fn masked(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() || !url.username().is_empty() {
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_and_names_its_variable() {
        let mut reader = Reader::default();
        reader.int("PORT", "70000", 0..=65535);
        reader.bool("ENABLE_CORS", "yes");
        reader.choice("LOG_LEVEL", "loud", &[("info", 1), ("warn", 2)]);
        reader.url("REDIS_URL", "http://x", &["redis", "rediss"]);
        let text = reader.finish(Some(())).unwrap_err().to_string();
        for part in [
            "4 problem",
            "PORT: \"70000\"",
            "0 to 65535",
            "ENABLE_CORS",
            "info, warn",
            "redis://",
        ] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }

    #[test]
    fn secrets_show_neither_in_debug_nor_in_effective_values() {
        let mut reader = Reader::default();
        let secret = reader
            .secret("TOKEN", Some("hunter2hunter2"), None, 8)
            .unwrap();
        reader.url("REDIS_URL", "redis://user:hunter2@h:1", &["redis"]);
        let shown = format!("{secret:?} {reader:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(secret.reveal(), "hunter2hunter2");
    }

    #[test]
    fn a_secret_comes_from_a_file_too_but_not_from_both() {
        let file = tempfile();
        std::fs::write(&file, "from-a-file\n").unwrap();
        let path = file.to_str();
        let mut reader = Reader::default();
        assert_eq!(
            reader.secret("TOKEN", None, path, 1).unwrap().reveal(),
            "from-a-file"
        );
        assert!(reader.secret("TOKEN", Some("x"), path, 1).is_none());
        assert!(reader.finish(Some(())).is_err());
        std::fs::remove_file(file).unwrap();
    }

    fn tempfile() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("reader-test-{}", std::process::id()))
    }
}
