//! A subscription that comes back by itself. Messages are hints: delivery is at most once.

use std::time::Duration;

use futures_util::StreamExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::error::RedisError;
use super::{Redis, Transport};
use crate::backoff::Backoff;

const RECONNECT: Backoff = Backoff {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(15),
};
/// Longest wait for a subscription to be established.
const ESTABLISH_WITHIN: Duration = Duration::from_secs(15);
/// A frame longer than this is not ours.
const MAX_LINE: usize = 64 * 1024;
/// Messages that wait for a slow reader; more are dropped, as they are only hints.
const BUFFER: usize = 64;

/// What a subscription tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Messages published from now on will arrive; any before may have been missed.
    Connected,
    /// The connection is gone and being replaced; messages are being missed.
    Lost,
    /// A published message.
    Message(String),
}

/// A running subscription; dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    notices: mpsc::Receiver<Notice>,
    task: JoinHandle<()>,
}

impl Subscription {
    pub(super) fn start(redis: Redis, channel: String) -> Self {
        let (sender, notices) = mpsc::channel(BUFFER);
        let task = tokio::spawn(async move { keep_listening(&redis, &channel, &sender).await });
        Self { notices, task }
    }

    /// The next notice. Safe to cancel.
    pub async fn next(&mut self) -> Option<Notice> {
        self.notices.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_listening(redis: &Redis, channel: &str, sender: &mpsc::Sender<Notice>) {
    let mut failures = 0;
    let mut rng: StdRng = StdRng::from_rng(&mut rand::rng());
    loop {
        let listened = tokio::time::Instant::now();
        if let Err(error) = listen(redis, channel, sender).await {
            tracing::debug!(error = %error, kind = error.kind(), "subscription failed");
        }
        metrics::counter!("redis_subscription_losses_total").increment(1);
        if sender.send(Notice::Lost).await.is_err() {
            return;
        }
        // One that held for a while was good: begin with short waits again.
        failures = if listened.elapsed() > RECONNECT.cap {
            0
        } else {
            failures + 1
        };
        tokio::time::sleep(RECONNECT.at_least_half(failures, &mut rng)).await;
    }
}

/// Listens until the connection ends.
async fn listen(
    redis: &Redis,
    channel: &str,
    sender: &mpsc::Sender<Notice>,
) -> Result<(), RedisError> {
    match &redis.transport {
        Transport::Resp(resp) => relay(established(resp.listen(channel)).await?, sender).await,
        Transport::Cluster(cluster) => {
            relay(established(cluster.listen(channel)).await?, sender).await;
        }
        Transport::Upstash(upstash) => {
            let mut response = established(upstash.listen(channel)).await?;
            let mut lines = Lines::default();
            while let Some(chunk) = response
                .chunk()
                .await
                .map_err(|error| RedisError::Unclear(error.without_url().to_string()))?
            {
                lines.push(&chunk)?;
                while let Some(line) = lines.next() {
                    if let Some(notice) = frame(&line) {
                        tell(sender, notice);
                    }
                }
            }
        }
    }
    Ok(())
}

/// Tells of what is published until the connection ends.
async fn relay(pubsub: redis::aio::PubSub, sender: &mpsc::Sender<Notice>) {
    tell(sender, Notice::Connected);
    let mut messages = pubsub.into_on_message();
    while let Some(message) = messages.next().await {
        let payload = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
        tell(sender, Notice::Message(payload));
    }
}

/// A server that accepts and then says nothing must not keep a subscription waiting for ever.
async fn established<T>(
    listening: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    match tokio::time::timeout(ESTABLISH_WITHIN, listening).await {
        Ok(result) => result,
        Err(_) => Err(RedisError::Unclear("no subscription in time".into())),
    }
}

fn tell(sender: &mpsc::Sender<Notice>, notice: Notice) {
    // A full buffer already holds reason enough to look.
    let _ = sender.try_send(notice);
}

/// One line of the event stream (Upstash REST reference, SSE endpoints); comments and blanks are nothing.
fn frame(line: &str) -> Option<Notice> {
    let data = line.strip_prefix("data:")?.trim_start();
    let mut parts = data.splitn(3, ',');
    match (parts.next()?, parts.next()?, parts.next()?) {
        ("subscribe", _, _) => Some(Notice::Connected),
        ("message", _, payload) => Some(Notice::Message(payload.to_owned())),
        _ => None,
    }
}

/// Cuts a byte stream into lines, ended by LF or CRLF.
#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Result<(), RedisError> {
        if self.buffer.len() + chunk.len() > MAX_LINE {
            return Err(RedisError::Protocol(
                "a subscription line over 64 KiB".into(),
            ));
        }
        self.buffer.extend_from_slice(chunk);
        Ok(())
    }

    fn next(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        Some(
            String::from_utf8_lossy(&line)
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let stream = b"data: subscribe,chat,1\n\n: keepalive\r\n\r\ndata: message,chat,{\"a\":1,\"b\":2}\r\n\n";
        for size in [1, 3, 7, stream.len()] {
            let mut lines = Lines::default();
            let mut notices = Vec::new();
            for chunk in stream.chunks(size) {
                lines.push(chunk).unwrap();
                while let Some(line) = lines.next() {
                    notices.extend(frame(&line));
                }
            }
            let payload = r#"{"a":1,"b":2}"#.to_owned();
            assert_eq!(
                notices,
                [Notice::Connected, Notice::Message(payload)],
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn an_endless_line_is_an_error_and_not_a_growing_buffer() {
        let mut lines = Lines::default();
        assert!((0..20).any(|_| lines.push(&[b'x'; 8192]).is_err()));
    }
}
