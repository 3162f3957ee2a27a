//! One HTTP/1.1 request on a connection of its own.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONNECTION, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use url::Host;

use super::{FailureReason, Outbound, Target};

const TLS_BUDGET: Duration = Duration::from_secs(3);
/// Response heads over this are refused.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;

/// What came back: any status, and as much of the body as was wanted.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The final status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// The start of the body, undecoded. Short when the body was longer than asked for, broke
    /// off, or was still coming at the deadline: the status has counted by then.
    pub body: Bytes,
}

impl Outbound {
    /// Sends one request and reads the answer, all of it before `deadline`: look-up, connect,
    /// TLS, request, head, and up to `max_body` bytes of body.
    pub async fn send(
        &self,
        target: &Target,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        max_body: usize,
        deadline: Instant,
    ) -> Result<Reply, FailureReason> {
        let request = request(target, method, headers, body)?;
        let stream = self.dial(&target.host, target.port, deadline).await?;
        if target.tls {
            let stream = self.handshake(&target.host, stream, deadline).await?;
            exchange(stream, request, max_body, deadline).await
        } else {
            exchange(stream, request, max_body, deadline).await
        }
    }

    async fn handshake(
        &self,
        host: &Host<String>,
        stream: TcpStream,
        deadline: Instant,
    ) -> Result<TlsStream<TcpStream>, FailureReason> {
        let name = match host {
            Host::Ipv4(ip) => ServerName::IpAddress((*ip).into()),
            Host::Ipv6(ip) => ServerName::IpAddress((*ip).into()),
            Host::Domain(name) => {
                ServerName::try_from(name.clone()).map_err(|_| FailureReason::UrlInvalid)?
            }
        };
        timeout_at(
            deadline.min(Instant::now() + TLS_BUDGET),
            self.tls.connect(name, stream),
        )
        .await
        .map_err(|_| FailureReason::TimeoutTls)?
        .map_err(|error| FailureReason::from_io(&error))
    }
}

fn request(
    target: &Target,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, FailureReason> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = target
        .path
        .parse::<Uri>()
        .map_err(|_| FailureReason::UrlInvalid)?;
    request.headers_mut().insert(HOST, target.authority.clone());
    request.headers_mut().extend(headers);
    // A compressed answer could be far larger than the bytes we agree to read.
    request
        .headers_mut()
        .insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(request)
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    max_body: usize,
    deadline: Instant,
) -> Result<Reply, FailureReason>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| FailureReason::from_hyper(&error))?;
    // Dropping the handle at the end of this function closes the socket.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = timeout_at(deadline, sender.send_request(request))
        .await
        .map_err(|_| FailureReason::TimeoutResponse)?
        .map_err(|error| FailureReason::from_hyper(&error))?;
    let (head, body) = response.into_parts();
    let body = read_start(body, max_body, deadline).await;
    Ok(Reply {
        status: head.status,
        headers: head.headers,
        body,
    })
}

async fn read_start(mut body: Incoming, max: usize, deadline: Instant) -> Bytes {
    let mut read = BytesMut::new();
    while read.len() < max {
        let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await else {
            break;
        };
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(&data[..data.len().min(max - read.len())]);
        }
    }
    read.freeze()
}
