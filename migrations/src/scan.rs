//! Reading what may be too much for one answer: key spaces, hashes, sorted sets, sets and lists.

use shared::redis::{Command, Redis, RedisError, Repeat, Reply};

/// Members asked for at a time.
const COUNT: usize = 1000;

/// One pass over a key space or over one key. As Redis promises: whatever is there from beginning to end
/// comes at least once, perhaps twice.
#[derive(Debug)]
pub struct Scan<'a> {
    redis: &'a Redis,
    command: Command,
    options: Vec<String>,
    cursor: Option<String>,
}

impl<'a> Scan<'a> {
    /// All keys that match a glob.
    #[must_use]
    pub fn keys(redis: &'a Redis, pattern: &str) -> Self {
        let options = ["MATCH", pattern, "COUNT", &COUNT.to_string()].map(str::to_owned);
        Self {
            redis,
            command: Command::new("SCAN"),
            options: options.to_vec(),
            cursor: Some("0".to_owned()),
        }
    }

    /// All members of a key; `name` is `HSCAN`, `ZSCAN` or `SSCAN`, and the first two give pairs.
    #[must_use]
    pub fn members(redis: &'a Redis, name: &str, key: &str, count: usize) -> Self {
        Self {
            redis,
            command: Command::new(name).arg(key),
            options: ["COUNT", &count.to_string()].map(str::to_owned).to_vec(),
            cursor: Some("0".to_owned()),
        }
    }

    /// The next portion, perhaps an empty one; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<Reply>>, RedisError> {
        let Some(cursor) = self.cursor.take() else {
            return Ok(None);
        };
        let command = self.command.clone().arg(cursor);
        let command = command.args(self.options.iter().map(String::as_str));
        let reply = self.redis.run(command, Repeat::Harmless).await?;
        let [cursor, portion]: [Reply; 2] = reply
            .array()?
            .try_into()
            .map_err(|_| RedisError::Protocol("a scan without a cursor".into()))?;
        let cursor = cursor.text()?;
        self.cursor = (cursor != "0").then_some(cursor);
        portion.array().map(Some)
    }
}

/// A portion of a hash or sorted set as pairs.
pub fn pairs(portion: Vec<Reply>) -> Result<Vec<(String, String)>, RedisError> {
    Reply::Array(portion).pairs()
}
