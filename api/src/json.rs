//! JSON as strictly as callers are held to it: an object, each key once, and not nested deeply.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{ApiError, Problem};

const MAX_DEPTH: u8 = 32;
const MAX_REASON: usize = 200;

/// The object that `bytes` hold; blank text counts as an empty one.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = Level(MAX_DEPTH)
        .deserialize(&mut parser)
        .and_then(|value| parser.end().map(|()| value))
        .map_err(|error| ApiError::Json(error.to_string().chars().take(MAX_REASON).collect()))?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(ApiError::invalid(vec![Problem {
            field: String::new(),
            message: "The request body must be a JSON object".to_owned(),
            value: None,
        }])),
    }
}

/// Reads one value that may nest this many levels.
#[derive(Clone, Copy)]
struct Level(u8);

impl Level {
    fn below<E: Error>(self) -> Result<Self, E> {
        let below = self.0.checked_sub(1).map(Self);
        below.ok_or_else(|| E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(below)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let below = self.below()?;
        let mut members = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if members.contains_key(&key) {
                let key: String = key.chars().take(64).collect();
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            members.insert(key, entries.next_value_seed(below)?);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &[u8]) -> &'static str {
        match object(text) {
            Ok(_) => "fine",
            Err(error) => error.face().code,
        }
    }

    #[test]
    fn what_is_not_json_is_told_apart_from_what_is_no_object() {
        for text in [
            "{",
            "{}x",
            "{}{}",
            "{\"a\":1,}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":1e400}",
            "\u{feff}{}",
            "{\"a\":NaN}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\u{1}\"}",
        ] {
            assert_eq!(code(text.as_bytes()), "INVALID_JSON", "{text}");
        }
        assert_eq!(code(b"{\"a\":\"\xff\"}"), "INVALID_JSON");
        for text in ["null", "[]", "1", "\"x\"", "true", "[\"name\",1]"] {
            assert_eq!(code(text.as_bytes()), "VALIDATION_ERROR", "{text}");
        }
        assert_eq!(code(b" \n{} "), "fine");
        assert!(object(b"  ").unwrap().is_empty());
    }

    #[test]
    fn a_key_may_come_once_however_it_is_spelled() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":1}}"#,
        ] {
            let reason = object(text.as_bytes()).unwrap_err().to_string();
            assert!(reason.contains("duplicate key \"a\""), "{reason}");
        }
    }

    #[test]
    fn nesting_ends_at_32_levels() {
        let nested = |levels: usize| {
            let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
            code(format!("{{\"a\":{open}{close}}}").as_bytes())
        };
        assert_eq!(nested(32), "fine");
        assert_eq!(nested(33), "INVALID_JSON");
        assert_eq!(nested(100_000), "INVALID_JSON");
    }
}
