//! A TCP proxy that makes the network longer without making it narrower.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

const CHUNK: usize = 64 * 1024;
/// Chunks under way in one direction of one connection; with 10 ms of delay this is reached above
/// 6 GB/s, or when the receiver does not read.
const CHUNKS_UNDER_WAY: usize = 1024;

/// A listener on `127.0.0.1` whose connections lead to a backend, a fixed time away.
///
/// Each byte is released when its delay has passed since its arrival, in order, however many are
/// under way: the delay costs latency and no throughput. Timers are rounded up to the next
/// millisecond. Dropping the proxy closes the listener and every connection.
#[derive(Debug)]
pub struct DelayProxy {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl DelayProxy {
    /// Listens on a free port; `each_way` is added to requests and to replies.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(backend: SocketAddr, each_way: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("the delaying proxy cannot listen")?;
        let addr = listener.local_addr()?;
        let task = tokio::spawn(accept_all(listener, backend, each_way));
        Ok(Self { addr, task })
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_all(listener: TcpListener, backend: SocketAddr, each_way: Duration) {
    // Connections end with the set, and the set with the proxy.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                // One that breaks is its two ends' business.
                connections.spawn(async move { let _ = connect(client, backend, each_way).await; });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(
    client: TcpStream,
    backend: SocketAddr,
    each_way: Duration,
) -> std::io::Result<()> {
    let server = TcpStream::connect(backend).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        carry(from_client, to_server, each_way),
        carry(from_server, to_client, each_way)
    )?;
    Ok(())
}

/// Carries one direction until its sender closes it.
async fn carry(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    delay: Duration,
) -> std::io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS_UNDER_WAY);
    tokio::try_join!(stamp(from, sender, delay), release(receiver, to))?;
    Ok(())
}

async fn stamp(
    mut from: impl AsyncRead + Unpin,
    sender: mpsc::Sender<(Instant, Bytes)>,
    delay: Duration,
) -> std::io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let due = Instant::now() + delay;
        if sender.send((due, buffer.split().freeze())).await.is_err() {
            return Ok(());
        }
    }
}

async fn release(
    mut receiver: mpsc::Receiver<(Instant, Bytes)>,
    mut to: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    while let Some((due, bytes)) = receiver.recv().await {
        sleep_until(due).await;
        to.write_all(&bytes).await?;
    }
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    const EACH_WAY: Duration = Duration::from_millis(10);

    /// Both ends of one connection through a proxy: the client's, the server's.
    async fn behind_proxy() -> (DelayProxy, TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let backend = listener.local_addr().unwrap();
        let proxy = DelayProxy::start(backend, EACH_WAY).await.unwrap();
        let client = TcpStream::connect(proxy.addr()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        (proxy, client, accepted)
    }

    #[tokio::test]
    async fn a_round_trip_takes_both_delays_and_hardly_more() {
        let (_proxy, mut client, mut server) = behind_proxy().await;
        tokio::spawn(async move {
            let (mut reader, mut writer) = server.split();
            tokio::io::copy(&mut reader, &mut writer).await
        });
        client.set_nodelay(true).unwrap();
        let mut fastest = Duration::MAX;
        for byte in 0..20_u8 {
            let sent = Instant::now();
            client.write_all(&[byte]).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), byte);
            assert!(sent.elapsed() >= 2 * EACH_WAY, "{:?}", sent.elapsed());
            fastest = fastest.min(sent.elapsed());
        }
        assert!(
            fastest < 2 * EACH_WAY + Duration::from_millis(10),
            "{fastest:?}"
        );
    }

    #[tokio::test]
    async fn a_long_way_is_not_a_narrow_one_and_keeps_order() {
        const CHUNKS: usize = 1024;
        let (_proxy, mut client, mut server) = behind_proxy().await;
        let reading = tokio::spawn(async move {
            let mut chunk = vec![0; CHUNK];
            for number in 0..CHUNKS {
                server.read_exact(&mut chunk).await.unwrap();
                assert!(chunk.iter().all(|byte| *byte == number as u8), "{number}");
            }
            Instant::now()
        });
        let began = Instant::now();
        for number in 0..CHUNKS {
            client.write_all(&vec![number as u8; CHUNK]).await.unwrap();
        }
        let took = reading.await.unwrap() - began;
        assert!(took >= EACH_WAY);
        // A proxy that held one chunk at a time would need the delay for each.
        assert!(took < EACH_WAY * CHUNKS as u32 / 2, "{took:?}");
    }
}
