//! The accept loop: a permit per connection, taken before accepting, and a drain at the end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::connection;

/// A connection, whose it is, and its place.
type Accepted = (TcpStream, IpAddr, OwnedSemaphorePermit);

/// Accepts until `close` is cancelled, then returns once every connection has ended. Dropping the
/// future cuts all of them off.
pub(crate) async fn serve(listener: TcpListener, app: Arc<App>, close: CancellationToken) {
    let permits = Arc::new(Semaphore::new(app.limits.max_connections));
    let mut connections = JoinSet::new();
    let mut spawn = |(stream, peer, permit)| {
        let (app, close) = (Arc::clone(&app), close.clone());
        connections.spawn(async move {
            connection::serve(stream, peer, app, close).await;
            drop::<OwnedSemaphorePermit>(permit);
        });
        while connections.try_join_next().is_some() {}
    };
    loop {
        tokio::select! {
            () = close.cancelled() => break,
            Some(accepted) = accept(&listener, &permits) => spawn(accepted),
        }
    }
    for accepted in close_listener(listener, &permits) {
        spawn(accepted);
    }
    while connections.join_next().await.is_some() {}
}

/// Closes the listener. Who had connected and was not accepted yet would be reset with it, so they come first.
fn close_listener(listener: TcpListener, permits: &Arc<Semaphore>) -> Vec<Accepted> {
    let Ok(listener) = listener.into_std() else {
        return Vec::new();
    };
    let mut accepted = Vec::new();
    while let Ok(permit) = Arc::clone(permits).try_acquire_owned()
        && let Ok((stream, peer)) = listener.accept()
        && stream.set_nonblocking(true).is_ok()
        && let Ok(stream) = TcpStream::from_std(stream)
    {
        accepted.push((stream, peer.ip(), permit));
    }
    accepted
}

async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer.ip(), permit)),
        Err(error) => {
            tracing::warn!(%error, "cannot accept");
            // Out of descriptors, most likely: trying again at once would only spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}
