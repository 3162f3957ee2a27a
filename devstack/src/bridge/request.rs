//! From HTTP to commands: path segments, a value as body, or JSON arrays.

use bytes::Bytes;
use http::{Method, Request};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

/// One command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Command {
    /// Upper case; command names are ASCII.
    pub(crate) name: String,
    pub(crate) args: Vec<Bytes>,
}

impl Command {
    pub(crate) fn new(name: &str, args: &[&'static str]) -> Self {
        let args = args
            .iter()
            .map(|arg| Bytes::from_static(arg.as_bytes()))
            .collect();
        Self {
            name: name.to_owned(),
            args,
        }
    }

    fn from_words(words: impl IntoIterator<Item = Bytes>) -> Result<Self, Malformed> {
        let mut words = words.into_iter();
        let name = words.next().filter(|name| !name.is_empty());
        let name = name.ok_or(Malformed::new("ERR empty command"))?;
        let name = String::from_utf8_lossy(&name).to_ascii_uppercase();
        Ok(Self {
            name,
            args: words.collect(),
        })
    }

    /// The first argument in upper case: the sub-command where there is one.
    pub(crate) fn subcommand(&self) -> String {
        self.word(0).unwrap_or_default()
    }

    /// One argument in upper case.
    pub(crate) fn word(&self, index: usize) -> Option<String> {
        let word = self.args.get(index)?;
        Some(String::from_utf8_lossy(word).to_ascii_uppercase())
    }
}

/// A request that cannot be turned into commands; the text is the client's `error`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl Malformed {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Single(Command),
    Pipeline(Vec<Command>),
    Transaction(Vec<Command>),
    /// `SUBSCRIBE`, `PSUBSCRIBE` or `MONITOR`, answered as server-sent events.
    Stream(Command),
}

impl Call {
    pub(crate) fn commands(&self) -> &[Command] {
        match self {
            Self::Single(command) | Self::Stream(command) => std::slice::from_ref(command),
            Self::Pipeline(commands) | Self::Transaction(commands) => commands,
        }
    }
}

/// The request target, still percent-encoded.
pub(crate) struct Target<'a> {
    path: &'a str,
    query: &'a str,
}

impl<'a> Target<'a> {
    pub(crate) fn of(request: &'a Request<Bytes>) -> Self {
        let uri = request.uri();
        Self {
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
        }
    }

    /// The value of `_token`.
    pub(crate) fn token(&self) -> Option<Bytes> {
        self.pairs()
            .find_map(|pair| Some(decode(pair.strip_prefix("_token=")?)))
    }

    fn pairs(&self) -> impl Iterator<Item = &'a str> {
        self.query.split('&').filter(|pair| !pair.is_empty())
    }

    /// Names and values to append, in order; `_token` is never an argument.
    fn arguments(&self) -> impl Iterator<Item = Bytes> {
        let own = self.pairs().filter(|pair| !pair.starts_with("_token="));
        own.flat_map(|pair| pair.splitn(2, '=').map(decode))
    }

    /// Split before decoding, so that `%2F` stays inside its segment.
    fn segments(&self) -> Vec<Bytes> {
        let path = self.path.trim_start_matches('/');
        if path.is_empty() {
            Vec::new()
        } else {
            path.split('/').map(decode).collect()
        }
    }
}

fn decode(text: &str) -> Bytes {
    percent_decode_str(text).collect()
}

/// Reads the call out of a request whose method is already allowed.
pub(crate) fn parse(request: &Request<Bytes>) -> Result<Call, Malformed> {
    let target = Target::of(request);
    let segments = target.segments();
    let names: Vec<&[u8]> = segments.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => Ok(Call::Single(parse_command(request.body())?)),
        [b"pipeline"] => Ok(Call::Pipeline(parse_batch(request.body())?)),
        [b"multi-exec"] => Ok(Call::Transaction(parse_batch(request.body())?)),
        [b"subscribe" | b"psubscribe", _, ..] | [b"monitor"] => {
            Ok(Call::Stream(Command::from_words(segments)?))
        }
        _ => {
            let has_value = matches!(*request.method(), Method::POST | Method::PUT);
            let value = (has_value && !request.body().is_empty()).then(|| request.body().clone());
            let words = segments.into_iter().chain(value).chain(target.arguments());
            Ok(Call::Single(Command::from_words(words)?))
        }
    }
}

fn parse_command(body: &[u8]) -> Result<Command, Malformed> {
    Command::from_words(
        array(body)?
            .into_iter()
            .map(argument)
            .collect::<Result<Vec<_>, _>>()?,
    )
}

fn parse_batch(body: &[u8]) -> Result<Vec<Command>, Malformed> {
    let commands = array(body)?;
    if commands.is_empty() {
        return Err(Malformed::new("ERR empty pipeline request"));
    }
    commands
        .into_iter()
        .map(|command| parse_command(command.get().as_bytes()))
        .collect()
}

fn array(json: &[u8]) -> Result<Vec<&RawValue>, Malformed> {
    match json.trim_ascii_start().first() {
        None => Err(Malformed::new("EOF")),
        Some(b'[') => serde_json::from_slice(json)
            .map_err(|_| Malformed::new("ERR invalid JSON in the request body")),
        Some(_) => Err(Malformed::new("expected JSON array")),
    }
}

/// Numbers keep the text they were written with, whatever their size or form.
fn argument(json: &RawValue) -> Result<Bytes, Malformed> {
    let text = json.get();
    match text.as_bytes()[0] {
        b'"' => serde_json::from_str::<String>(text)
            .map(Bytes::from)
            .map_err(|_| Malformed::new("ERR invalid string in the request body")),
        b'n' => Err(Malformed::new("ERR null args are not supported")),
        b'[' => Err(Malformed::new("ERR unsupported arg type: array")),
        b'{' => Err(Malformed::new("ERR unsupported arg type: object")),
        _ => Ok(Bytes::copy_from_slice(text.as_bytes())),
    }
}
