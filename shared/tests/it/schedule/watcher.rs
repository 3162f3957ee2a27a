//! Looking at all that Redis holds, after every one of very many steps: so it costs little.

use std::net::SocketAddr;

use shared::redis::Keys;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::oracle::Snapshot;
use crate::things::instance;

/// A connection of its own, on which whole requests are prepared.
pub(super) struct Watcher {
    stream: TcpStream,
    events: String,
    /// Everything but the events.
    request: String,
}

/// The answer to the last command of a request.
const END: &[u8] = b"+PONG\r\n";

fn push(request: &mut String, words: &[&str]) {
    use std::fmt::Write;
    write!(request, "*{}\r\n", words.len()).unwrap();
    for word in words {
        write!(request, "${}\r\n{word}\r\n", word.len()).unwrap();
    }
}

impl Watcher {
    pub(super) async fn new(server: SocketAddr, keys: &Keys) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = String::new();
        push(&mut request, &["TIME"]);
        for key in [keys.ready(), keys.timers(), keys.dead(), keys.idle()] {
            push(&mut request, &["ZRANGE", &key, "0", "-1", "WITHSCORES"]);
        }
        push(&mut request, &["HGETALL", &keys.jobs()]);
        Self {
            stream,
            events: keys.events(&instance("log")),
            request,
        }
    }

    /// All there is, and so many of the newest events.
    pub(super) async fn look(&mut self, events: usize) -> Snapshot {
        let mut request = self.request.clone();
        let first = format!("-{events}");
        push(&mut request, &["LRANGE", &self.events, &first, "-1"]);
        push(&mut request, &["PING"]);
        self.stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::with_capacity(64 * 1024);
        while !reply.ends_with(END) {
            let read = self.stream.read_buf(&mut reply).await.unwrap();
            assert_ne!(read, 0, "the server hung up");
        }
        Snapshot::new(String::from_utf8(reply).unwrap())
    }
}
