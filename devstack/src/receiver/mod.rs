//! Receivers of webhooks that misbehave, byte for byte, on real sockets; see [`Habit`].
//!
//! The [sink](crate::sink) is the receiver that behaves, or answers a wrong status on request. These here
//! are for everything that an HTTP server would never let happen.

mod habit;
mod request;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::task::AbortOnDropHandle;

pub use habit::Habit;
pub use request::read_request;

/// A receiver on loopback that counts who came and keeps what was said; dropping it closes its port.
#[derive(Debug)]
pub struct Receiver {
    addr: SocketAddr,
    seen: Arc<Seen>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl Receiver {
    /// Reads each request to the end of its body, then hands the socket to `script`.
    pub async fn start<S, F>(script: S) -> io::Result<Self>
    where
        S: Fn(TcpStream) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let script = Arc::new(script);
        Self::accepting("127.0.0.1:0", move |mut stream, seen| {
            let script = Arc::clone(&script);
            async move {
                if let Some(request) = read_request(&mut stream).await {
                    seen.requests().push(request);
                    script(stream).await;
                }
            }
        })
        .await
    }

    /// Does with every connection what the habit says.
    pub async fn with(habit: Habit) -> io::Result<Self> {
        Self::at("127.0.0.1:0", habit).await
    }

    /// The same at an address of its own, such as `127.0.0.7:0`.
    pub async fn at(addr: &str, habit: Habit) -> io::Result<Self> {
        let habit = Arc::new(habit);
        Self::accepting(addr, move |mut stream, seen| {
            let habit = Arc::clone(&habit);
            async move {
                if habit.reads_first() {
                    match read_request(&mut stream).await {
                        Some(request) => seen.requests().push(request),
                        None => return,
                    }
                }
                habit.act(stream).await;
            }
        })
        .await
    }

    /// Answers every request with these bytes and closes.
    pub async fn saying(answer: impl Into<Vec<u8>>) -> io::Result<Self> {
        Self::with(Habit::Says(answer.into())).await
    }

    /// Answers every request with this status line, header lines (each with its line end) and no body.
    pub async fn status(status: &str, headers: &str) -> io::Result<Self> {
        Self::saying(format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n"
        ))
        .await
    }

    async fn accepting<S, F>(addr: &str, serve: S) -> io::Result<Self>
    where
        S: Fn(TcpStream, Arc<Seen>) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let counted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // Whoever still talks is cut off together with the listener.
            let mut talks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::SeqCst);
                talks.spawn(serve(stream, Arc::clone(&counted)));
                while talks.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            addr,
            seen,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A URL of it, with a path and a query.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook?x=1", self.addr)
    }

    /// How many connections it accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Head and body of every complete request, as text.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.seen.requests().clone()
    }
}

impl Seen {
    fn requests(&self) -> MutexGuard<'_, Vec<String>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port whose connection requests get no answer, as behind a firewall that drops them.
#[derive(Debug)]
pub struct BlackHole {
    addr: SocketAddr,
    _full: (TcpListener, Vec<TcpStream>),
}

impl BlackHole {
    /// Fills the queue of a listener that never accepts; the kernel then drops what comes.
    pub async fn start() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(1)?;
        let addr = listener.local_addr()?;
        let mut held = Vec::new();
        let patience = std::time::Duration::from_millis(200);
        while let Ok(stream) = tokio::time::timeout(patience, TcpStream::connect(addr)).await {
            held.push(stream?);
        }
        Ok(Self {
            addr,
            _full: (listener, held),
        })
    }

    /// Where nobody answers.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// A port of loopback that nothing listens on.
pub async fn closed_port() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").await?.local_addr()
}
