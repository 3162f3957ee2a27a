//! The lock under which an operator writes, renewed for as long as it is held.

use std::fmt;
use std::time::Duration;

use shared::clock::Millis;
use shared::redis::scripts::OPERATOR;
use shared::redis::{Keys, Redis, RedisError, Repeat, Script};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::answer::Failure;

/// Between two tries while another operator is waited for.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Machine and process.
    pub who: String,
    /// What it does.
    pub command: String,
    /// Since when, by Redis's clock.
    pub since: Millis,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            who,
            command,
            since,
        } = self;
        let since = since.iso();
        write!(
            f,
            "another operator is at work: {who} began `{command}` at {since}; wait for it, or for its \
             lock to end if it was killed (--lock-wait-ms)"
        )
    }
}

/// The lock, held. Every script that writes compares its token, so one who lost it without knowing
/// changes nothing.
#[derive(Debug)]
pub struct Lock {
    call: Call,
    renewal: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Call {
    redis: Redis,
    key: String,
    token: String,
    lease: Duration,
    command: &'static str,
}

impl Lock {
    /// Takes the lock for `command`, waiting for `patience` at the longest. It outlives its holder by
    /// `lease`.
    ///
    /// # Errors
    /// [`Failure::Locked`] with its holder when another has it; or Redis did not do its part.
    pub async fn take(
        redis: &Redis,
        keys: &Keys,
        command: &'static str,
        lease: Duration,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let call = Call {
            redis: redis.clone(),
            key: keys.operator(),
            token: format!("{:032x}", rand::random::<u128>()),
            lease,
            command,
        };
        let deadline = Instant::now() + patience;
        while let Some(holder) = call.say("take").await? {
            if Instant::now() >= deadline {
                return Err(Failure::Locked(holder));
            }
            sleep(TRY_AGAIN).await;
        }
        let renewal = tokio::spawn(renew(call.clone()));
        Ok(Self { call, renewal })
    }

    /// Runs a script that writes, with the lock's key and token before its own.
    pub async fn script(
        &self,
        script: &Script,
        keys: Vec<String>,
        args: Vec<String>,
    ) -> Result<shared::redis::Reply, RedisError> {
        let keys: Vec<String> = std::iter::once(self.call.key.clone()).chain(keys).collect();
        let token = self.token().to_owned();
        let args: Vec<String> = std::iter::once(token).chain(args).collect();
        let redis = &self.call.redis;
        redis.script(script, &keys, &args, Repeat::Harmless).await
    }

    /// What the scripts compare.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.call.token
    }

    /// Lets others have it.
    pub async fn leave(self) -> Result<(), RedisError> {
        self.renewal.abort();
        self.call.say("leave").await.map(drop)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Three times a lease. A renewal that fails needs no word: the next write tells.
async fn renew(call: Call) {
    loop {
        sleep(call.lease / 3).await;
        if let Err(error) = call.say("keep").await {
            eprintln!("redis-migration: the lock was not renewed: {error}");
        }
    }
}

impl Call {
    /// Another holder, if there is one.
    async fn say(&self, verb: &str) -> Result<Option<Holder>, RedisError> {
        let args = [
            verb.to_owned(),
            self.token.clone(),
            self.lease.as_millis().to_string(),
            who(),
            self.command.to_owned(),
        ];
        let keys = std::slice::from_ref(&self.key);
        let reply = self
            .redis
            .script(&OPERATOR, keys, &args, Repeat::Harmless)
            .await?;
        let mut words = reply
            .optional_texts()?
            .into_iter()
            .map(Option::unwrap_or_default);
        let Some(who) = words.next() else {
            return Ok(None);
        };
        let command = words.next().unwrap_or_default();
        let since = words.next().and_then(|since| since.parse().ok());
        Ok(Some(Holder {
            who,
            command,
            since: Millis(since.unwrap_or_default()),
        }))
    }
}

/// User, machine and process, for whoever finds the lock held.
fn who() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "an unnamed machine",
        host => host,
    };
    format!("{user} on {host}, process {}", std::process::id())
}
