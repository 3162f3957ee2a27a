//! Going out through an HTTP proxy without letting it decide where to.
//!
//! A proxy that is given a name looks it up itself, where nobody vets the answer. So it is given an address
//! that was vetted here: what may be reached is the same with a proxy and without.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::FailureReason;

/// Answers of proxies are a line and a few headers.
const MAX_HEAD: usize = 8 * 1024;

/// An HTTP proxy that opens tunnels (`CONNECT`). `Debug` shows nothing of its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// The URL is none of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be http://[user:password@]host:port")]
pub struct InvalidProxy;

impl Proxy {
    /// `http://[user:password@]host:port`, nothing after it.
    pub fn parse(text: &str) -> Result<Self, InvalidProxy> {
        let url = Url::parse(text).map_err(|_| InvalidProxy)?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "http" || !is_bare {
            return Err(InvalidProxy);
        }
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let password = url.password().map(decoded);
        let has_user = !url.username().is_empty() || password.is_some();
        let authorization = has_user.then(|| {
            let user = decoded(url.username());
            let pair = format!("{user}:{}", password.unwrap_or_default());
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        });
        Ok(Self {
            host: url.host_str().ok_or(InvalidProxy)?.to_owned(),
            port: url.port_or_known_default().ok_or(InvalidProxy)?,
            authorization,
        })
    }

    /// A connection to the first of these addresses, by way of the proxy. What the proxy says of the
    /// address counts as the address's; what is wrong with the proxy itself is
    /// [`FailureReason::ProxyError`].
    pub(super) async fn tunnel(
        &self,
        addresses: &[IpAddr],
        port: u16,
        deadline: Instant,
    ) -> Result<TcpStream, FailureReason> {
        let ip = addresses.first().ok_or(FailureReason::DnsError)?;
        let opened = self.open(SocketAddr::new(*ip, port));
        match timeout_at(deadline, opened).await {
            Ok(Ok((stream, status))) => judge(status).map(|()| stream),
            Ok(Err(_)) | Err(_) => Err(FailureReason::ProxyError),
        }
    }

    async fn open(&self, target: SocketAddr) -> std::io::Result<(TcpStream, u16)> {
        let host = self.host.trim_matches(['[', ']']);
        // Whoever runs this names the proxy, so its address need not be public.
        let mut refused = std::io::Error::other("the proxy has no address");
        for address in lookup_host((host, self.port)).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => return self.ask(stream, target).await,
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    async fn ask(
        &self,
        mut stream: TcpStream,
        target: SocketAddr,
    ) -> std::io::Result<(TcpStream, u16)> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = &self.authorization {
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        // Nobody at the other end speaks before we do, so nothing follows the head.
        while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD {
            if stream.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        let status = status(&head).ok_or_else(|| std::io::Error::other("the proxy speaks no HTTP"));
        status.map(|status| (stream, status))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

/// The status of a complete head.
fn status(head: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(head).ok()?;
    let rest = text.strip_suffix("\r\n\r\n")?.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.get(..3)?.parse().ok()
}

fn judge(status: u16) -> Result<(), FailureReason> {
    match status {
        200..=299 => Ok(()),
        403 => Err(FailureReason::AddressBlocked),
        502 | 503 => Err(FailureReason::ConnectionRefused),
        504 => Err(FailureReason::TimeoutConnect),
        _ => Err(FailureReason::ProxyError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_bare_http_url() {
        let proxy = Proxy::parse("http://u%40x:p%3Aw@proxy.example:3128").unwrap();
        let authorization = format!("Basic {}", BASE64_STANDARD.encode("u@x:p:w"));
        assert_eq!(proxy.authorization, Some(authorization));
        assert_eq!(format!("{proxy:?}"), "Proxy(proxy.example:3128)");
        assert_eq!(Proxy::parse("http://[::1]").unwrap().port, 80);
        for text in [
            "https://p:1",
            "socks5://p:1",
            "http://p:1/x",
            "http://p:1?x",
            "p:1",
            "",
        ] {
            assert_eq!(Proxy::parse(text), Err(InvalidProxy), "{text}");
        }
    }

    #[test]
    fn only_a_complete_head_has_a_status() {
        assert_eq!(
            status(b"HTTP/1.1 200 Connection established\r\n\r\n"),
            Some(200)
        );
        assert_eq!(status(b"HTTP/1.0 407 X\r\nA: b\r\n\r\n"), Some(407));
        for head in [
            &b"HTTP/1.1 200 OK\r\n"[..],
            b"SSH-2.0-x\r\n\r\n",
            b"",
            b"HTTP/1.1 2\r\n\r\n",
        ] {
            assert_eq!(status(head), None);
        }
    }
}
