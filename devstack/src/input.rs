//! Reading JSON that people write, with complaints that name the field.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What is wrong with an input, beginning with the path of the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadInput(pub(crate) String);

impl BadInput {
    pub(crate) fn field(field: &str, problem: impl std::fmt::Display) -> Self {
        Self(format!("{field}: {problem}"))
    }
}

impl std::fmt::Display for BadInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A typed value from bytes; an empty body counts as `{}`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadInput> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    from_json(serde_json::from_slice(bytes).map_err(|e| BadInput::field("body", e))?)
}

/// A typed value from a JSON object.
pub(crate) fn from_json<T: DeserializeOwned>(value: Value) -> Result<T, BadInput> {
    // serde would also take an array for the fields of a struct in their order.
    if !value.is_object() {
        return Err(BadInput::field("body", "expected an object"));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => BadInput::field("body", error.into_inner()),
            path => BadInput::field(path, error.inner()),
        }
    })
}

/// `current` with the fields of the JSON object `patch` replaced, objects inside it likewise; an
/// array is replaced as a whole.
pub(crate) fn patched<T>(current: &T, patch: &[u8]) -> Result<T, BadInput>
where
    T: Serialize + DeserializeOwned,
{
    let patch: Value = parse(patch)?;
    let mut merged = serde_json::to_value(current).map_err(|e| BadInput::field("body", e))?;
    merge(&mut merged, patch);
    from_json(merged)
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::novita::{Settings, SimDuration};

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let settings = Settings::default();
        let patched = patched(
            &settings,
            br#"{"delays":{"pulling":90.5},"sparseList":true}"#,
        )
        .unwrap();
        let pulling = SimDuration::try_from(90.5).unwrap();
        assert_eq!(patched.delays.pulling, pulling);
        assert_eq!(patched.delays.creating, settings.delays.creating);
        assert!(patched.sparse_list);
    }

    #[test]
    fn complaints_name_the_field() {
        let settings = Settings::default();
        for (patch, field) in [
            (r#"{"delays":{"pulling":"long"}}"#, "delays.pulling"),
            (r#"{"delays":{"pulling":-1}}"#, "delays.pulling"),
            (r#"{"notFound":"500"}"#, "notFound"),
            (r#"{"surprise":1}"#, "surprise"),
            ("[]", "body"),
            ("null", "body"),
            ("{", "body"),
        ] {
            let complaint = patched(&settings, patch.as_bytes()).unwrap_err();
            assert!(complaint.0.contains(field), "{patch}: {complaint}");
        }
    }
}
