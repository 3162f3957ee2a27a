//! The line to Redis and the queue behind it, the same for the director and its workers.

use std::time::Duration;

use devstack::stack::eventually;
use shared::queue::{Queue, QueueStats};
use shared::redis::{Command, Keys, Redis, RedisOptions, Repeat, Target};

/// The shortest that the worker's configuration allows.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// A handle that gives up at the first failure: who uses it wants to know what may have been done.
pub(crate) fn connect(url: &str) -> Redis {
    let options = RedisOptions {
        target: Target::Resp {
            url: url.to_owned(),
        },
        connect_timeout: Duration::from_secs(3),
        command_timeout: Duration::from_secs(5),
        retries: 0,
        retry_delay: Duration::from_millis(50),
    };
    Redis::new(&options).unwrap()
}

pub(crate) fn queue(redis: &Redis, keys: &Keys) -> Queue {
    Queue::new(redis.clone(), keys.clone(), LEASE)
}

/// Waits until nothing is runnable; held and delayed jobs may be left.
pub(crate) async fn until_nothing_is_due(redis: &Redis, keys: &Keys) {
    eventually(
        "nothing due",
        Duration::from_secs(60),
        async || match QueueStats::read(redis, keys).await {
            Ok(stats) if stats.due == 0 => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await
    .unwrap();
}

/// Waits until nothing of any job is left in Redis; tells what is, if that never comes.
pub(crate) async fn until_empty(redis: &Redis, keys: &Keys) -> Result<(), String> {
    let count = |name: &str, key: String| Command::new(name).arg(key);
    let commands = [
        count("ZCARD", keys.ready()),
        count("ZCARD", keys.timers()),
        count("HLEN", keys.jobs()),
        count("ZCARD", keys.dead()),
    ];
    let empty = eventually("an empty queue", 15 * LEASE, async || {
        let replies = redis
            .read(&commands)
            .await
            .map_err(|error| error.to_string())?;
        let left: Vec<i64> = replies
            .into_iter()
            .map(|reply| reply.int().unwrap())
            .collect();
        if left == [0; 4] {
            Ok(())
        } else {
            Err(format!("ready, timers, jobs, dead: {left:?}"))
        }
    });
    empty.await.map_err(|error| error.to_string())
}

/// How many listen to wake-ups.
pub(crate) async fn listeners(redis: &Redis) -> usize {
    let channels = Command::new("PUBSUB").args(["CHANNELS"]);
    let reply = redis.run(channels, Repeat::Harmless).await;
    reply.map_or(0, |reply| reply.array().unwrap().len())
}
