//! Backend connections. One is owned by one request at a time and returns only after its last
//! reply; a request that fails or is cancelled takes its connection down with it.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::lock;
use super::request::Command;
use super::resp::{Decoder, Reply, write_request};

const MAX_REQUESTS: usize = 128;
const MAX_STREAMS: usize = 128;
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Blocking commands are refused, so only a runaway script takes this long.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A RESP2 connection. [`Connection::receive`] may be cancelled and called again.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    decoder: Decoder,
}

impl Connection {
    async fn open(backend: SocketAddr) -> Result<Self, Error> {
        let stream = timeout(CONNECT_WITHIN, TcpStream::connect(backend)).await??;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            decoder: Decoder::default(),
        })
    }

    pub(crate) async fn send(&mut self, commands: &[Command]) -> Result<(), Error> {
        let mut wire = BytesMut::new();
        for command in commands {
            write_request(&mut wire, &command.name, &command.args);
        }
        self.stream.write_all(&wire).await
    }

    pub(crate) async fn receive(&mut self) -> Result<Reply, Error> {
        loop {
            if let Some(reply) = self.decoder.next_reply()? {
                return Ok(reply);
            }
            self.decoder.buffer.reserve(16 * 1024);
            if self.stream.read_buf(&mut self.decoder.buffer).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn exchange(&mut self, commands: &[Command]) -> Result<Vec<Reply>, Error> {
        self.send(commands).await?;
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            replies.push(self.receive().await?);
        }
        Ok(replies)
    }

    /// Whether the backend has neither closed it nor sent something nobody asked for.
    fn is_quiet(&self) -> bool {
        let unread = self.stream.try_read(&mut [0]);
        self.decoder.buffer.is_empty()
            && unread.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// A connection that streams to one client until either side ends it.
#[derive(Debug)]
pub(crate) struct Dedicated {
    pub(crate) connection: Connection,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(crate) struct Pool {
    backend: SocketAddr,
    idle: Mutex<Vec<Connection>>,
    requests: Semaphore,
    streams: Arc<Semaphore>,
}

impl Pool {
    pub(crate) fn new(backend: SocketAddr) -> Self {
        Self {
            backend,
            idle: Mutex::default(),
            requests: Semaphore::new(MAX_REQUESTS),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }

    /// Sends all commands in one write and awaits one reply for each, in order.
    pub(crate) async fn exchange(&self, commands: &[Command]) -> Result<Vec<Reply>, Error> {
        let _permit = self.requests.acquire().await.map_err(Error::other)?;
        let mut connection = match self.idle_connection() {
            Some(connection) => connection,
            None => Connection::open(self.backend).await?,
        };
        let replies = timeout(ANSWER_WITHIN, connection.exchange(commands)).await??;
        lock(&self.idle).push(connection);
        Ok(replies)
    }

    pub(crate) async fn dedicated(&self) -> Result<Dedicated, Error> {
        let permit = Arc::clone(&self.streams)
            .try_acquire_owned()
            .map_err(Error::other)?;
        Ok(Dedicated {
            connection: Connection::open(self.backend).await?,
            _permit: permit,
        })
    }

    fn idle_connection(&self) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        std::iter::from_fn(|| idle.pop()).find(Connection::is_quiet)
    }
}
