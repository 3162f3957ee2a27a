//! The predecessor's JSON: dates with and without a marker, payloads within payloads, and texts that
//! strict parsers refuse.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};
use serde_json::Value;
use shared::clock::Millis;

/// Stands in front of every date that was one before it was stored.
const MARKER: &str = "__DATE__:";
/// The largest stored value that is read: the predecessor's own records have some kilobytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Why a stored value cannot be used.
pub type Reason = String;

/// Reads stored bytes.
///
/// # Errors
/// Too large, no UTF-8, no JSON: in words for whoever looks at the quarantine file.
pub fn parse(stored: &[u8]) -> Result<Value, Reason> {
    if stored.len() > MAX_BYTES {
        let length = stored.len();
        return Err(format!("{length} bytes, more than any record has"));
    }
    let text = std::str::from_utf8(stored).map_err(|_| "not UTF-8".to_owned())?;
    let first = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    match mended(text) {
        Cow::Owned(text) => serde_json::from_str(&text),
        Cow::Borrowed(_) => Err(first),
    }
    .map_err(|error| format!("not JSON: {error}"))
}

/// Half a character is what the predecessor writes where a text was cut within an emoji; it becomes the
/// replacement character.
fn mended(text: &str) -> Cow<'_, str> {
    let mut mended = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\\u") {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let backslashes = before.bytes().rev().take_while(|b| *b == b'\\').count();
        let taken = match (backslashes % 2, code(escape)) {
            (0, Some(0xD800..=0xDBFF)) => match escape.get(6..).and_then(code) {
                Some(0xDC00..=0xDFFF) => {
                    mended.push_str(&escape[..12]);
                    12
                }
                _ => replace(&mut mended),
            },
            (0, Some(0xDC00..=0xDFFF)) => replace(&mut mended),
            _ => {
                mended.push_str("\\u");
                2
            }
        };
        rest = &escape[taken..];
    }
    if rest.len() == text.len() || !mended.contains("\\ufffd") {
        return Cow::Borrowed(text);
    }
    mended.push_str(rest);
    Cow::Owned(mended)
}

fn replace(mended: &mut String) -> usize {
    mended.push_str("\\ufffd");
    6
}

/// The code of an escape that a text begins with.
fn code(escape: &str) -> Option<u32> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

/// The same value with plain dates.
#[must_use]
pub fn without_markers(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(unmarked(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(without_markers).collect()),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name, without_markers(value)))
                .collect(),
        ),
        other => other,
    }
}

fn unmarked(text: String) -> String {
    match text.strip_prefix(MARKER) {
        Some(date) => date.to_owned(),
        None => text,
    }
}

/// A job's payload: JSON within a text, or, in what the migration script made, an object.
///
/// # Errors
/// Neither.
pub fn payload(value: Value) -> Result<Value, Reason> {
    match value {
        Value::String(text) => {
            parse(text.as_bytes()).map_err(|reason| format!("its payload is {reason}"))
        }
        Value::Object(_) => Ok(value),
        _ => Err("its payload is neither text nor an object".to_owned()),
    }
}

/// A moment: ISO 8601 with or without the marker, or milliseconds. A date that was none is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Date(pub Option<Millis>);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self(None)),
            Value::Number(number) => number
                .as_u64()
                .map(|ms| Self(Some(Millis(ms))))
                .ok_or_else(|| D::Error::custom("a date that is no time")),
            Value::String(text) => {
                let text = unmarked(text);
                if text == "Invalid Date" || text.is_empty() {
                    return Ok(Self(None));
                }
                let date = Millis::parse_iso(&text);
                date.map(|date| Self(Some(date)))
                    .ok_or_else(|| D::Error::custom("a date that is no time"))
            }
            _ => Err(D::Error::custom("a date that is no text")),
        }
    }
}

/// A text, or a number that is meant as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => Ok(Self(number.to_string())),
            Value::Null => Ok(Self::default()),
            _ => Err(D::Error::custom("expected a text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn half_a_character_costs_one_character_and_not_the_record() {
        for (stored, read) in [
            (r#""cut \ud83d""#, "cut \u{fffd}"),
            (r#""\udc00 low""#, "\u{fffd} low"),
            (
                r#""whole \ud83d\ude00 and half \ud83d.""#,
                "whole 😀 and half \u{fffd}.",
            ),
            (r#""\\ud83d is a path\ud83d""#, "\\ud83d is a path\u{fffd}"),
            (r#""\u00e4\ud83dx""#, "ä\u{fffd}x"),
        ] {
            assert_eq!(parse(stored.as_bytes()).unwrap(), json!(read), "{stored}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        let huge = vec![b' '; MAX_BYTES + 1];
        for (stored, reason) in [
            (&b"{\"a\":"[..], "not JSON"),
            (b"\xff\xfe", "not UTF-8"),
            (b"", "not JSON"),
            (&huge, "more than any record has"),
        ] {
            let why = parse(stored).unwrap_err();
            assert!(why.contains(reason), "{why}");
        }
    }

    #[test]
    fn dates_are_read_in_every_form_that_was_ever_written() {
        let date = |value: Value| serde_json::from_value::<Date>(value).map(|date| date.0);
        let expected = Some(Millis(1_795_380_825_819));
        for value in [
            json!("__DATE__:2026-11-22T20:53:45.819Z"),
            json!("2026-11-22T20:53:45.819Z"),
            json!(1_795_380_825_819_u64),
        ] {
            assert_eq!(date(value).unwrap(), expected);
        }
        assert_eq!(date(json!("__DATE__:Invalid Date")).unwrap(), None);
        assert_eq!(date(json!(null)).unwrap(), None);
        assert!(date(json!("yesterday")).is_err());
        assert!(date(json!(true)).is_err());
    }

    #[test]
    fn payloads_are_read_whether_encoded_once_or_twice() {
        let once = json!({ "url": "u" });
        assert_eq!(payload(json!(once.to_string())).unwrap(), once);
        assert_eq!(payload(once.clone()).unwrap(), once);
        assert!(payload(json!("{")).unwrap_err().contains("payload"));
    }

    #[test]
    fn markers_vanish_wherever_a_date_stands() {
        let value = json!({ "a": ["__DATE__:2026-11-22T20:53:45.819Z", 1], "b": "plain" });
        let plain = json!({ "a": ["2026-11-22T20:53:45.819Z", 1], "b": "plain" });
        assert_eq!(without_markers(value), plain);
    }
}
