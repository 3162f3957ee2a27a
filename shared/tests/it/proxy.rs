//! A TCP proxy that breaks a connection at a chosen request.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::rig::Trouble;

/// Larger than any request that is to be broken, so that one read holds all of it.
const BUFFER: usize = 256 * 1024;

/// Troubles that wait for a request with their word in it, in the order they were armed.
type Armed = Arc<Mutex<VecDeque<(Trouble, &'static str)>>>;

/// Passes everything on until a trouble is armed; closes its connections when dropped.
pub(crate) struct Proxy {
    pub(crate) addr: SocketAddr,
    armed: Armed,
    acceptor: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let armed = Armed::default();
        let shared = Arc::clone(&armed);
        let acceptor = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, upstream, Arc::clone(&shared)));
            }
        });
        Self {
            addr,
            armed,
            acceptor,
        }
    }

    /// The next request with `word` in it meets this trouble.
    pub(crate) fn arm(&self, trouble: Trouble, word: &'static str) {
        self.armed.lock().unwrap().push_back((trouble, word));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn relay(mut client: TcpStream, upstream: SocketAddr, armed: Armed) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut asked, mut answered) = (vec![0; BUFFER], vec![0; BUFFER]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let request = &asked[..read?];
                match due(&armed, request) {
                    _ if request.is_empty() => return Ok(()),
                    None => server.write_all(request).await?,
                    Some(Trouble::LostRequest) => return Ok(()),
                    Some(Trouble::LostReply) => {
                        server.write_all(request).await?;
                        return server.read(&mut answered).await.map(drop);
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

fn due(armed: &Armed, request: &[u8]) -> Option<Trouble> {
    let mut armed = armed.lock().unwrap();
    let (_, word) = armed.front()?;
    let is_due = request
        .windows(word.len())
        .any(|window| window == word.as_bytes());
    is_due
        .then(|| armed.pop_front())
        .flatten()
        .map(|(trouble, _)| trouble)
}
