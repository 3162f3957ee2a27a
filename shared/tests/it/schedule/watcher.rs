//! Connections beside those of the queue: one that looks at all that Redis holds, after every one of
//! very many steps and so at little cost, and those on which sessions hear that they are woken.

use std::net::SocketAddr;

use shared::redis::Keys;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::oracle::Snapshot;
use crate::rig::PATIENCE;
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

/// A session that hears when it is woken.
pub(super) struct Listener {
    stream: TcpStream,
    channel: String,
}

impl Listener {
    pub(super) async fn new(server: SocketAddr, channel: String) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        let mut listener = Self { stream, channel };
        listener.ask("SUBSCRIBE").await;
        let told = format!("{}:1\r\n", listener.frame("subscribe"));
        listener.expect(&told).await;
        listener
    }

    /// Takes the wake-up that was sent.
    pub(super) async fn hear(&mut self) {
        let told = format!("{}$4\r\nwake\r\n", self.frame("message"));
        self.expect(&told).await;
    }

    /// Hears nothing from here on; returns when the server knows.
    pub(super) async fn leave(&mut self) {
        self.ask("UNSUBSCRIBE").await;
        let told = format!("{}:0\r\n", self.frame("unsubscribe"));
        self.expect(&told).await;
    }

    async fn ask(&mut self, command: &str) {
        let mut request = String::new();
        push(&mut request, &[command, &self.channel]);
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    fn frame(&self, what: &str) -> String {
        let channel = &self.channel;
        let lengths = (what.len(), channel.len());
        format!(
            "*3\r\n${}\r\n{what}\r\n${}\r\n{channel}\r\n",
            lengths.0, lengths.1
        )
    }

    async fn expect(&mut self, told: &str) {
        let mut found = vec![0; told.len()];
        let read = timeout(PATIENCE, self.stream.read_exact(&mut found)).await;
        read.expect("nothing was sent").unwrap();
        assert_eq!(String::from_utf8_lossy(&found), told);
    }
}
