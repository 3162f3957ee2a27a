//! `/subscribe`, `/psubscribe` and `/monitor` as server-sent events, each on a backend connection
//! of its own that closes with the client's.

use std::convert::Infallible;
use std::io::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::unfold;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::time::timeout;

use super::pool::{Dedicated, Pool};
use super::request::Command;
use super::resp::Reply;
use crate::http::Body;

const KEEP_ALIVE: Bytes = Bytes::from_static(b": keepalive\n\n");

/// Starts the stream; an idle one carries a comment every `heartbeat`.
pub(crate) async fn open(
    pool: &Pool,
    command: Command,
    heartbeat: Duration,
) -> Result<Response<Body>, Error> {
    let mut dedicated = pool.dedicated().await?;
    dedicated.connection.send(&[command]).await?;
    let frames = unfold(dedicated, move |mut dedicated: Dedicated| async move {
        let frame = match timeout(heartbeat, dedicated.connection.receive()).await {
            Ok(Ok(reply)) => event(&reply)?,
            Ok(Err(_)) => return None,
            Err(_) => KEEP_ALIVE,
        };
        Some((Ok::<_, Infallible>(Frame::data(frame)), dedicated))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// One event; `None` ends the stream, as there is no event for an error.
fn event(reply: &Reply) -> Option<Bytes> {
    let text = match reply {
        Reply::Array(items) => join(items),
        Reply::Status(text) if text == "OK" => Bytes::from_static(b"\"OK\""),
        Reply::Status(text) => text.clone(),
        _ => return None,
    };
    let mut event = BytesMut::new();
    for line in text.split(|byte| *byte == b'\n') {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(line);
        event.extend_from_slice(b"\n");
    }
    event.extend_from_slice(b"\n");
    Some(event.freeze())
}

fn join(items: &[Reply]) -> Bytes {
    let mut joined = BytesMut::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            joined.extend_from_slice(b",");
        }
        match item {
            Reply::Integer(value) => joined.extend_from_slice(value.to_string().as_bytes()),
            other => joined.extend_from_slice(other.text().map_or(b"", |text| text)),
        }
    }
    joined.freeze()
}
