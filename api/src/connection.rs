//! One connection: hyper's HTTP/1.1, with a deadline of our own for every stretch of it.
//!
//! hyper has one timer for both the wait for a request and the arrival of its head, and none before
//! the answer is taken. Here a head that has begun must be complete soon, while a quiet connection
//! may be kept for longer.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::Limits;
use crate::metrics;

const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// How long after its last sign of life no request is expected on a connection any more.
const LINGER: Duration = Duration::from_millis(500);

/// Serves requests until the caller leaves or a deadline passes; once `close` is cancelled, only
/// what has begun is finished.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    app: Arc<App>,
    close: CancellationToken,
) {
    let _gauge = metrics::Connection::open();
    // Nagle would hold back the last part of an answer; without the option it is only slower.
    let _ = stream.set_nodelay(true);
    let pace = Arc::new(Pace::new());
    let watched = Watched {
        stream,
        pace: Arc::clone(&pace),
    };
    let limits = app.limits.clone();
    let service = service_fn(|request| {
        let (app, pace) = (Arc::clone(&app), Arc::clone(&pace));
        pace.enter(Stretch::Answering);
        async move {
            let response = app.answer(request, peer).await;
            pace.enter(Stretch::Quiet);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(watched), service);
    let mut connection = pin!(connection);
    let mut is_closing = false;
    loop {
        tokio::select! {
            // A caller that breaks its connection off is its own concern.
            _ = connection.as_mut() => return,
            () = pace.overdue(&limits) => return,
            () = left(&close, &pace), if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Returns once the process is to end and this connection brings nothing more: a request may be on its way
/// on a connection that was made or used a moment ago. Its answer closes it.
async fn left(close: &CancellationToken, pace: &Pace) {
    close.cancelled().await;
    pace.silent_for(LINGER).await;
}

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stretch {
    /// The rest of a request's head, or its first byte on a new connection.
    Head,
    /// The answer; the request has deadlines of its own.
    Answering,
    /// The next request, or the caller to take the answer.
    Quiet,
}

/// Which stretch a connection is in, and since when.
#[derive(Debug)]
struct Pace {
    changed: watch::Sender<(Stretch, Instant)>,
}

impl Pace {
    fn new() -> Self {
        Self {
            changed: watch::Sender::new((Stretch::Head, Instant::now())),
        }
    }

    fn enter(&self, stretch: Stretch) {
        self.changed.send_replace((stretch, Instant::now()));
    }

    /// A stream that goes on is not quiet.
    fn bytes_left(&self) {
        if self.changed.borrow().0 == Stretch::Quiet {
            self.enter(Stretch::Quiet);
        }
    }

    fn bytes_arrived(&self) {
        if self.changed.borrow().0 == Stretch::Quiet {
            self.enter(Stretch::Head);
        }
    }

    /// Returns once the current stretch has lasted too long.
    async fn overdue(&self, limits: &Limits) {
        self.lasted(|stretch| match stretch {
            Stretch::Head => Some(limits.head_timeout),
            Stretch::Quiet => Some(limits.idle_timeout),
            Stretch::Answering => None,
        })
        .await;
    }

    /// Returns once no request has been answered, and none has begun to arrive, for so long.
    async fn silent_for(&self, time: Duration) {
        self.lasted(|stretch| (stretch != Stretch::Answering).then_some(time))
            .await;
    }

    /// Returns once a stretch has lasted for as long as it may.
    async fn lasted(&self, limit: impl Fn(Stretch) -> Option<Duration>) {
        let mut changes = self.changed.subscribe();
        loop {
            let (stretch, since) = *changes.borrow_and_update();
            let over = async {
                match limit(stretch) {
                    Some(limit) => sleep_until(since + limit).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                // The sender is ours.
                _ = changes.changed() => {}
            }
        }
    }
}

/// A stream that tells the pace when bytes arrive.
struct Watched {
    stream: TcpStream,
    pace: Arc<Pace>,
}

impl Watched {
    fn note(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.pace.bytes_left();
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pace.bytes_arrived();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
