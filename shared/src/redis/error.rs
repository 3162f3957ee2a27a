//! How talking to Redis fails, sorted by what a caller may do about it.

/// A failed conversation with Redis. Never holds tokens, keys or arguments.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RedisError {
    /// No connection came about: the commands were certainly not executed.
    #[error("cannot reach Redis at {address}: {cause}")]
    Unreachable {
        /// Host and port, without credentials.
        address: String,
        /// What the network said.
        cause: String,
    },
    /// The request went out and no usable answer came back: executed or not, nobody knows.
    #[error("no clear answer from Redis: {0}")]
    Unclear(String),
    /// The credentials were refused; repeating cannot help.
    #[error("Redis refused the credentials: {0}")]
    Unauthorized(String),
    /// The plan's quota is used up; repeating within minutes cannot help.
    #[error("the Redis quota is used up: {0}")]
    Quota(String),
    /// The command was answered by an error.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The answer has a shape that the protocol does not allow.
    #[error("unexpected answer from Redis: {0}")]
    Protocol(String),
    /// The request was not sent, because the server did not answer a moment ago, or too many wait for it.
    #[error("Redis was not asked: {0}")]
    NotAsked(&'static str),
    /// The request was not sent because the server could not accept it.
    #[error("request not sent to Redis: {0}")]
    Refused(String),
}

/// An error that Redis itself answered with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {message}")]
pub struct ServerError {
    /// The first word when it is all capitals, such as `WRONGTYPE`; else `ERR`.
    pub code: String,
    /// The rest; wording differs between servers, so never decide on it.
    pub message: String,
}

impl ServerError {
    /// Splits an error line into its code and the rest.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        let is_code = !first.is_empty()
            && first
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        let (code, message) = if is_code {
            (first, rest)
        } else {
            ("ERR", line)
        };
        Self {
            code: code.to_owned(),
            message: message.chars().take(300).collect(),
        }
    }

    /// The service's plan does not allow more commands or data.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        [
            "max requests limit exceeded",
            "max daily request limit exceeded",
            "DB capacity quota",
        ]
        .iter()
        .any(|fragment| self.message.contains(fragment))
    }

    /// The server cannot serve right now but will: loading, failing over, busy with a script, full, or not able
    /// to write to its disk. In a script these come before its first write, so nothing was applied.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(
            self.code.as_str(),
            "LOADING"
                | "BUSY"
                | "TRYAGAIN"
                | "CLUSTERDOWN"
                | "MASTERDOWN"
                | "READONLY"
                | "OOM"
                | "MISCONF"
                | "NOREPLICAS"
        )
    }
}

impl RedisError {
    /// A short stable word for logs and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Unclear(_) => "unclear",
            Self::Unauthorized(_) => "unauthorized",
            Self::Quota(_) => "quota",
            Self::Server(_) => "server",
            Self::Protocol(_) => "protocol",
            Self::NotAsked(_) => "not_asked",
            Self::Refused(_) => "refused",
        }
    }

    /// Repeating cannot apply anything twice, because nothing was applied.
    #[must_use]
    pub fn was_not_applied(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NotAsked(_) | Self::Refused(_) => true,
            Self::Server(error) => error.is_passing(),
            Self::Unclear(_) | Self::Unauthorized(_) | Self::Quota(_) | Self::Protocol(_) => false,
        }
    }

    /// Time may cure it: the same call can succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NotAsked(_) | Self::Unclear(_) => true,
            Self::Server(error) => error.is_passing(),
            Self::Unauthorized(_) | Self::Quota(_) | Self::Protocol(_) | Self::Refused(_) => false,
        }
    }

    /// Nobody answered.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unclear(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_line_is_split_at_its_code_if_it_has_one() {
        let error = ServerError::parse("WRONGTYPE Operation against a key");
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("WRONGTYPE", "Operation against a key")
        );
        let error = ServerError::parse("expected JSON array");
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("ERR", "expected JSON array")
        );
        assert_eq!(ServerError::parse("EOF").code, "EOF");
    }

    #[test]
    fn a_used_up_quota_is_not_an_ordinary_error() {
        let line = "ERR max requests limit exceeded. Limit: 500000, Usage: 500000.";
        assert!(ServerError::parse(line).is_quota());
        assert!(!ServerError::parse("ERR syntax error").is_quota());
    }
}
