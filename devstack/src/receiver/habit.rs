//! What receivers do that no HTTP server does.

use std::future::pending;
use std::time::Duration;

use tokio::io::{self, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

const OK_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
/// More than anybody should ever read.
const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n";

const PIECE: [u8; 8192] = [b'x'; 8192];

/// What a receiver does with every connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Habit {
    /// Reads the request, says these bytes and closes.
    Says(Vec<u8>),
    /// Reads the request and keeps the connection open without a word.
    Silent,
    /// Accepts, reads nothing and says nothing: a TLS handshake never ends with it.
    Deaf,
    /// Reads the request and sends a head that never ends, a byte each time.
    DripsHead(Duration),
    /// Answers 200 at once and sends a body that never ends, a byte each time.
    DripsBody(Duration),
    /// Answers 200 and sends ten gigabytes as fast as they are taken.
    Floods,
    /// Reads the request and closes without an answer.
    HangsUp,
    /// Reads the request and breaks the connection off with a reset.
    Resets,
    /// Says these bytes before it has read anything, then reads what comes.
    SaysFirst(Vec<u8>),
    /// Answers 200 and keeps the connection open for another request.
    KeepsOpen,
}

impl Habit {
    /// 200 and a MiB of body that says it is gzip; whoever unpacks what it asked not to be packed finds out.
    #[must_use]
    pub fn claims_gzip() -> Self {
        let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1048576\r\n\r\n";
        let mut answer = head.as_bytes().to_vec();
        answer.resize(head.len() + (1 << 20), 0x1f);
        Self::Says(answer)
    }

    /// The request is read before anything else happens.
    pub(super) fn reads_first(&self) -> bool {
        !matches!(self, Self::Deaf | Self::SaysFirst(_))
    }

    /// Whoever is talked to may leave at any byte; that ends it.
    pub(super) async fn act(&self, mut stream: TcpStream) {
        match self {
            Self::Says(answer) => {
                let _ = stream.write_all(answer).await;
            }
            Self::Silent | Self::Deaf => pending().await,
            Self::DripsHead(pause) => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await;
                drip(stream, *pause).await;
            }
            Self::DripsBody(pause) => {
                let _ = stream.write_all(ENDLESS).await;
                drip(stream, *pause).await;
            }
            Self::Floods => {
                let _ = stream.write_all(ENDLESS).await;
                while stream.write_all(&PIECE).await.is_ok() {}
            }
            Self::HangsUp => {}
            Self::Resets => {
                // Closing a socket that does not linger resets it.
                let _ = stream.set_zero_linger();
            }
            Self::SaysFirst(answer) => {
                let _ = stream.write_all(answer).await;
                let _ = io::copy(&mut stream, &mut io::sink()).await;
            }
            Self::KeepsOpen => {
                let _ = stream.write_all(OK_HEAD).await;
                let _ = io::copy(&mut stream, &mut io::sink()).await;
            }
        }
    }
}

async fn drip(mut stream: TcpStream, pause: Duration) {
    while stream.write_all(b"x").await.is_ok() {
        sleep(pause).await;
    }
}
