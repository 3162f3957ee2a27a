//! Reading the provider's numbers: text or number, and many spellings of "nothing".
//!
//! Per the Novita API reference 64-bit integers come as text, 32-bit ones as numbers, and a field
//! that is missing, null, `""` or zero means the same. Text that is no number means nothing, too:
//! one odd field must not hide a whole list of instances.

use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Int(i64),
    Float(f64),
    Text(String),
    Null,
}

impl Number {
    fn value(self) -> i64 {
        match self {
            Self::Int(value) => value,
            Self::Float(value) => value as i64,
            Self::Text(text) => text.trim().parse().unwrap_or_default(),
            Self::Null => 0,
        }
    }
}

/// An integer; zero when absent or out of `T`'s range.
pub(super) fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64> + Default,
{
    Ok(T::try_from(Number::deserialize(deserializer)?.value()).unwrap_or_default())
}

/// A positive integer; `None` for zero and for negative values, which mean "none" or "never".
pub(super) fn positive<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let value = Number::deserialize(deserializer)?.value();
    Ok(if value > 0 {
        T::try_from(value).ok()
    } else {
        None
    })
}

/// Null reads as the default: `""`, `[]`, `false`.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
