//! A TCP proxy that breaks a connection at a chosen request, and keeps what the client did not get.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use redis::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::rig::Trouble;

/// Larger than any request that is to be broken, so that one read holds all of it.
const BUFFER: usize = 256 * 1024;

/// What a proxy and its connections share.
#[derive(Default)]
struct Line {
    /// Troubles that wait for a request with their word in it, in the order they were armed.
    armed: Mutex<VecDeque<(Trouble, &'static str)>>,
    held_back: Mutex<VecDeque<Vec<u8>>>,
    lost: Mutex<VecDeque<Value>>,
}

/// Passes everything on until a trouble is armed; closes its connections when dropped.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    pub(crate) upstream: SocketAddr,
    line: Arc<Line>,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let line = Arc::<Line>::default();
        let shared = Arc::clone(&line);
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, upstream, Arc::clone(&shared)));
            }
        });
        Self {
            addr,
            upstream,
            line,
            acceptor,
        }
    }

    /// The next request with `word` in it meets this trouble.
    pub(crate) fn arm(&self, trouble: Trouble, word: &'static str) {
        self.line.armed.lock().unwrap().push_back((trouble, word));
    }

    /// The first request that was held back and not asked for yet.
    pub(crate) fn held_back(&self) -> Option<Vec<u8>> {
        self.line.held_back.lock().unwrap().pop_front()
    }

    /// The first reply that was lost and not asked for yet.
    pub(crate) fn lost_reply(&self) -> Option<Value> {
        self.line.lost.lock().unwrap().pop_front()
    }

    /// Brings the server a request that was held back; what it answers.
    pub(crate) async fn deliver(&self, request: &[u8]) -> Value {
        let mut server = TcpStream::connect(self.upstream).await.unwrap();
        server.write_all(request).await.unwrap();
        read_reply(&mut server).await.unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn relay(mut client: TcpStream, upstream: SocketAddr, line: Arc<Line>) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let request = &asked[..read?];
                match line.due(request) {
                    _ if request.is_empty() => return Ok(()),
                    None => server.write_all(request).await?,
                    Some(Trouble::LostRequest) => return Ok(()),
                    Some(Trouble::HeldBack) => {
                        line.held_back.lock().unwrap().push_back(request.to_vec());
                        return Ok(());
                    }
                    Some(Trouble::LostReply) => {
                        server.write_all(request).await?;
                        let reply = read_reply(&mut server).await?;
                        line.lost.lock().unwrap().push_back(reply);
                        return Ok(());
                    }
                    Some(Trouble::Silence) => while client.read(&mut asked).await? > 0 {},
                }
            }
            read = server.read(&mut answered) => match read? {
                0 => return Ok(()),
                length => client.write_all(&answered[..length]).await?,
            },
        }
    }
}

async fn read_reply(server: &mut TcpStream) -> io::Result<Value> {
    let mut reply = Vec::new();
    loop {
        if server.read_buf(&mut reply).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Ok(value) = redis::parse_redis_value(&reply) {
            return Ok(value);
        }
    }
}

impl Line {
    fn due(&self, request: &[u8]) -> Option<Trouble> {
        let mut armed = self.armed.lock().unwrap();
        let (_, word) = armed.front()?;
        let is_due = request
            .windows(word.len())
            .any(|window| window == word.as_bytes());
        is_due
            .then(|| armed.pop_front())
            .flatten()
            .map(|(trouble, _)| trouble)
    }
}
