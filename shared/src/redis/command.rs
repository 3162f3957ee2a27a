//! One Redis command, before it is sent.

/// A command and its arguments, all text: REST carries nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(Vec<String>);

impl Command {
    /// A command without arguments yet; the name in capitals.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(vec![name.to_owned()])
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.0.push(arg.into());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<String>>(mut self, args: I) -> Self {
        self.0.extend(args.into_iter().map(Into::into));
        self
    }

    /// The name and the arguments.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// The name, for errors and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// Why it cannot be sent over REST, if it cannot: such commands need a connection of their own.
    /// Checked for both transports, so that what works on one works on the other.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        const CONNECTION_BOUND: [&str; 13] = [
            "MULTI",
            "EXEC",
            "DISCARD",
            "WATCH",
            "UNWATCH",
            "AUTH",
            "HELLO",
            "SELECT",
            "CLIENT",
            "SUBSCRIBE",
            "PSUBSCRIBE",
            "MONITOR",
            "OBJECT",
        ];
        let name = self.name();
        let is_blocking =
            name.starts_with("BL") || name.starts_with("BR") || name.starts_with("BZ");
        let blocks = name.starts_with("XREAD") && self.0.iter().any(|arg| arg == "BLOCK");
        (CONNECTION_BOUND.contains(&name) || is_blocking || blocks || name.is_empty())
            .then(|| format!("{name:?} is not available over REST"))
    }
}

/// Names the command and counts its arguments; they may be secret.
impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} with {} arguments",
            self.name(),
            self.0.len().saturating_sub(1)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rest_cannot_do_is_refused_before_it_is_sent() {
        for name in ["MULTI", "BLPOP", "BZMPOP", "BRPOPLPUSH", "SUBSCRIBE", ""] {
            assert!(Command::new(name).refusal().is_some(), "{name}");
        }
        let blocking = Command::new("XREAD").args(["BLOCK", "0", "STREAMS", "s", "$"]);
        assert!(blocking.refusal().is_some());
        for name in ["GET", "EVALSHA", "XREAD", "PUBLISH"] {
            assert!(Command::new(name).refusal().is_none(), "{name}");
        }
    }

    #[test]
    fn arguments_never_show_in_debug_output() {
        let shown = format!("{:?}", Command::new("SET").args(["k", "secret"]));
        assert_eq!(shown, "SET with 2 arguments");
    }
}
