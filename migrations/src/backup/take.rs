//! Taking a backup: keys in portions, several portions on their way at a time, and of a large key only a
//! part at a time.

use std::path::Path;

use futures_util::stream::{self, StreamExt};
use shared::clock::Millis;
use shared::redis::{Command, Keys, Redis, RedisError, Repeat, Reply};
use shared::schema;

use super::file::{Entry, Header, Kind, Writer};
use crate::answer::Failure;
use crate::digest::hex;
use crate::scan::Scan;
use crate::screen::Progress;
use crate::steps::{Place, TOLD};

/// Keys read together, and portions on their way at a time.
const PORTION: usize = 100;
const IN_FLIGHT: usize = 4;
/// Of a string so many bytes at a time, of a list so many elements, of the others so many members.
const STRING_PART: usize = 64 * 1024;
const LIST_PART: usize = 10;
const MEMBERS_PART: usize = 100;
/// And members in one entry.
const ENTRY_MEMBERS: usize = 200;

/// What a backup came to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Keys in it.
    pub keys: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// The digest of its content.
    pub sha256: String,
    /// Keys that cannot be in it.
    pub skipped: u64,
    /// The first of them, with the reason.
    pub samples: Vec<String>,
}

/// A key and what it holds, as far as it was read.
struct Head {
    key: String,
    kind: Kind,
    expires: Option<u64>,
    first: Reply,
}

/// What a portion of keys came to.
#[derive(Default)]
struct Portion {
    heads: Vec<Head>,
    skipped: Vec<String>,
}

/// Writes everything that matches `pattern` to the file at `path`.
///
/// # Errors
/// Redis or the file did not do its part; then there is no file of that name.
pub async fn backup(place: Place<'_>, pattern: &str, path: &Path) -> Result<Taken, Failure> {
    let Place { redis, keys } = place;
    let layout = schema::version(redis, keys).await?;
    let at = clock(redis.run(Command::new("TIME"), Repeat::Harmless).await?)?;
    let header = Header::new(pattern.to_owned(), layout, at);
    let mut writer = Writer::begin(path, &header)?;
    let mut taken = Taken::default();
    let mut progress = Progress::new("keys", None);
    let mut scan = Scan::keys(redis, pattern);
    while let Some(found) = scan.next().await? {
        let mut names = Vec::with_capacity(found.len());
        for key in found {
            match key.text() {
                Ok(key) if is_carried(&key, keys) => names.push(key),
                Ok(_) => {}
                Err(_) => taken.skip("a key whose name is not UTF-8".to_owned()),
            }
        }
        let portions: Vec<Vec<String>> = names.chunks(PORTION).map(<[_]>::to_vec).collect();
        let heads = portions.into_iter().map(|names| heads(redis, names));
        let mut heads = stream::iter(heads).buffered(IN_FLIGHT);
        while let Some(portion) = heads.next().await {
            let Portion { heads, skipped } = portion?;
            for why in skipped {
                taken.skip(why);
            }
            progress.advance(heads.len() as u64);
            for head in heads {
                taken.keys += 1;
                write(redis, head, &mut writer).await?;
            }
        }
    }
    taken.bytes = writer.bytes;
    taken.sha256 = writer.finish()?;
    Ok(taken)
}

impl Taken {
    fn skip(&mut self, why: String) {
        self.skipped += 1;
        if self.samples.len() < TOLD {
            self.samples.push(why);
        }
    }
}

/// The layout stands in the header, and locks and marks of this tool are nobody's data.
fn is_carried(key: &str, keys: &Keys) -> bool {
    ![keys.schema(), keys.operator(), keys.loading()]
        .iter()
        .any(|own| own == key)
}

fn clock(time: Reply) -> Result<Millis, RedisError> {
    let parts: Result<Vec<i64>, _> = time.array()?.into_iter().map(Reply::int).collect();
    match parts?.as_slice() {
        [seconds, micros] => Ok(Millis((seconds * 1000 + micros / 1000) as u64)),
        _ => Err(RedisError::Protocol("no time".into())),
    }
}

/// Type, expiry and the first part of each key.
async fn heads(redis: &Redis, names: Vec<String>) -> Result<Portion, RedisError> {
    let mut questions = vec![Command::new("TIME")];
    for name in &names {
        questions.push(Command::new("TYPE").arg(name));
        questions.push(Command::new("PTTL").arg(name));
    }
    let mut answers = redis.read(&questions).await?.into_iter();
    let now = clock(answers.next().unwrap_or(Reply::Nil))?;
    let mut portion = Portion::default();
    let mut known = Vec::new();
    for name in names {
        let (Some(kind), Some(ttl)) = (answers.next(), answers.next()) else {
            return Err(RedisError::Protocol("too few answers".into()));
        };
        let (kind, ttl) = (kind.text()?, ttl.int()?);
        match Kind::read(&kind) {
            Some(kind) => {
                let expires = u64::try_from(ttl).ok().map(|ttl| now.plus(ttl).0);
                known.push((name, kind, expires));
            }
            // It expired or was deleted meanwhile.
            None if kind == "none" => {}
            None => portion.skipped.push(format!("{name}: a {kind}")),
        }
    }
    if known.is_empty() {
        return Ok(portion);
    }
    let first: Vec<Command> = known
        .iter()
        .map(|(name, kind, _)| part(name, *kind, "0"))
        .collect();
    let first = redis.each(&first).await?;
    for ((key, kind, expires), first) in known.into_iter().zip(first) {
        match first {
            Ok(first) => portion.heads.push(Head {
                key,
                kind,
                expires,
                first,
            }),
            // It became another type meanwhile.
            Err(error) => portion.skipped.push(format!("{key}: {error}")),
        }
    }
    Ok(portion)
}

/// The command that reads a key from a position on.
fn part(key: &str, kind: Kind, from: &str) -> Command {
    let until = |part: usize| (from.parse::<usize>().unwrap_or(0) + part - 1).to_string();
    let scan = |name: &str| {
        let command = Command::new(name).arg(key).arg(from);
        command.args(["COUNT".to_owned(), MEMBERS_PART.to_string()])
    };
    match kind {
        Kind::String => Command::new("GETRANGE")
            .arg(key)
            .args([from.to_owned(), until(STRING_PART)]),
        Kind::List => Command::new("LRANGE")
            .arg(key)
            .args([from.to_owned(), until(LIST_PART)]),
        Kind::Hash => scan("HSCAN"),
        Kind::Zset => scan("ZSCAN"),
        Kind::Set => scan("SSCAN"),
    }
}

/// Writes a key, reading on for as long as there is more of it.
async fn write(redis: &Redis, head: Head, writer: &mut Writer) -> Result<(), Failure> {
    let Head {
        key,
        kind,
        expires,
        first,
    } = head;
    let mut position = 0;
    let mut answer = first;
    let mut is_more = false;
    loop {
        let (members, next) = members(kind, answer, &mut position)?;
        let chunks: Vec<&[Vec<u8>]> = match members.len() {
            // A string may be empty, and is there nonetheless.
            0 if kind != Kind::String => Vec::new(),
            0 => vec![&[]],
            _ => members.chunks(ENTRY_MEMBERS).collect(),
        };
        for chunk in chunks {
            let (members, is_hex) = texts(chunk);
            writer.add(&Entry {
                key: key.clone(),
                kind,
                expires,
                is_more,
                is_hex,
                members,
            })?;
            is_more = true;
        }
        let Some(next) = next else { break };
        let command = part(&key, kind, &next);
        answer = redis.run(command, Repeat::Harmless).await?;
    }
    Ok(())
}

/// The members of a part, in the order of the command that adds them, and where the next part begins.
fn members(
    kind: Kind,
    answer: Reply,
    position: &mut usize,
) -> Result<(Vec<Vec<u8>>, Option<String>), RedisError> {
    match kind {
        Kind::String => {
            let bytes = bytes(answer)?;
            *position += bytes.len();
            let next = (bytes.len() == STRING_PART).then(|| position.to_string());
            let is_empty = bytes.is_empty();
            Ok((if is_empty { Vec::new() } else { vec![bytes] }, next))
        }
        Kind::List => {
            let elements: Result<Vec<_>, _> = answer.array()?.into_iter().map(bytes).collect();
            let elements = elements?;
            *position += elements.len();
            let next = (elements.len() == LIST_PART).then(|| position.to_string());
            Ok((elements, next))
        }
        Kind::Hash | Kind::Zset | Kind::Set => {
            let [cursor, found]: [Reply; 2] = answer
                .array()?
                .try_into()
                .map_err(|_| RedisError::Protocol("a scan without a cursor".into()))?;
            let found: Result<Vec<_>, _> = found.array()?.into_iter().map(bytes).collect();
            let mut found = found?;
            if kind == Kind::Zset {
                for pair in found.chunks_exact_mut(2) {
                    pair.swap(0, 1);
                }
            }
            let cursor = cursor.text()?;
            Ok((found, (cursor != "0").then_some(cursor)))
        }
    }
}

fn bytes(reply: Reply) -> Result<Vec<u8>, RedisError> {
    match reply {
        Reply::Text(bytes) => Ok(bytes),
        other => other.text().map(String::into_bytes),
    }
}

/// Members as text, all in hexadecimals as soon as one of them is none.
fn texts(members: &[Vec<u8>]) -> (Vec<String>, bool) {
    let plain: Result<Vec<String>, _> = members
        .iter()
        .map(|bytes| std::str::from_utf8(bytes).map(str::to_owned))
        .collect();
    match plain {
        Ok(plain) => (plain, false),
        Err(_) => (members.iter().map(|bytes| hex(bytes)).collect(), true),
    }
}
