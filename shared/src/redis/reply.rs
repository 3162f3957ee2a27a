//! What Redis answers, in the RESP2 shapes that both transports share.

use super::error::RedisError;

/// One reply. Status and bulk strings are one thing here: REST does not tell them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing there.
    Nil,
    /// An integer, exact over the whole range.
    Int(i64),
    /// A string, as bytes.
    Text(Vec<u8>),
    /// Several replies.
    Array(Vec<Reply>),
}

impl Reply {
    /// The text of a string, or of an integer.
    pub fn text(self) -> Result<String, RedisError> {
        match self {
            Self::Text(bytes) => String::from_utf8(bytes)
                .map_err(|_| RedisError::Protocol("expected UTF-8 text".into())),
            Self::Int(number) => Ok(number.to_string()),
            other => Err(other.unexpected("text")),
        }
    }

    /// The text of a string; `None` for nil.
    pub fn optional_text(self) -> Result<Option<String>, RedisError> {
        match self {
            Self::Nil => Ok(None),
            other => other.text().map(Some),
        }
    }

    /// The integer, also when it arrives as text (as `TIME` and scores do).
    pub fn int(self) -> Result<i64, RedisError> {
        match self {
            Self::Int(number) => Ok(number),
            Self::Text(ref bytes) => std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| self.unexpected("an integer")),
            other => Err(other.unexpected("an integer")),
        }
    }

    /// The members of an array; nil counts as an empty one.
    pub fn array(self) -> Result<Vec<Self>, RedisError> {
        match self {
            Self::Array(items) => Ok(items),
            Self::Nil => Ok(Vec::new()),
            other => Err(other.unexpected("an array")),
        }
    }

    /// An array of strings, nil members kept as `None`.
    pub fn optional_texts(self) -> Result<Vec<Option<String>>, RedisError> {
        self.array()?.into_iter().map(Self::optional_text).collect()
    }

    /// A flat `[name, value, …]` array as pairs.
    pub fn pairs(self) -> Result<Vec<(String, String)>, RedisError> {
        let mut items = self.array()?.into_iter();
        let mut pairs = Vec::with_capacity(items.len() / 2);
        while let Some(name) = items.next() {
            let value = items
                .next()
                .ok_or_else(|| RedisError::Protocol("expected an even number of members".into()))?;
            pairs.push((name.text()?, value.text()?));
        }
        Ok(pairs)
    }

    fn unexpected(&self, wanted: &str) -> RedisError {
        let kind = match self {
            Self::Nil => "nil",
            Self::Int(_) => "an integer",
            Self::Text(_) => "text",
            Self::Array(_) => "an array",
        };
        RedisError::Protocol(format!("expected {wanted}, got {kind}"))
    }
}
