//! Replies as HTTP answers: JSON, JSON with base64 strings, or raw RESP2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::request::Malformed;
use super::resp::Reply;
use crate::http::{Body, full};

/// The form the client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json { base64: bool },
    Resp2,
}

impl Format {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Malformed> {
        let is = |name, value: &str| {
            headers
                .get(name)
                .is_some_and(|given: &HeaderValue| given == value)
        };
        let base64 = is("upstash-encoding", "base64");
        if !headers.contains_key("upstash-response-format") || is("upstash-response-format", "json")
        {
            return Ok(Self::Json { base64 });
        }
        match (is("upstash-response-format", "resp2"), base64) {
            (true, false) => Ok(Self::Resp2),
            (true, true) => Err(Malformed::new("ERR resp2 cannot be combined with base64")),
            (false, _) => Err(Malformed::new("ERR unknown Upstash-Response-Format")),
        }
    }

    /// Transactions are answered in JSON whatever response format is asked for.
    pub(crate) fn for_transaction(headers: &HeaderMap) -> Self {
        let base64 = headers
            .get("upstash-encoding")
            .is_some_and(|value| value == "base64");
        Self::Json { base64 }
    }

    /// The answer to a single command: 400 for an error.
    pub(crate) fn one(self, reply: &Reply) -> Response<Body> {
        let status = match reply {
            Reply::Error(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        match self {
            Self::Json { base64 } => {
                let mut json = Vec::new();
                write_entry(&mut json, reply, base64);
                json_response(status, json)
            }
            Self::Resp2 => resp2_response(status, std::slice::from_ref(reply)),
        }
    }

    /// The answer to a batch: 200 whatever its entries are.
    pub(crate) fn batch(self, replies: &[Reply]) -> Response<Body> {
        match self {
            Self::Json { base64 } => {
                let mut json = Vec::new();
                write_list(&mut json, replies, |json, reply| {
                    write_entry(json, reply, base64);
                });
                json_response(StatusCode::OK, json)
            }
            Self::Resp2 => resp2_response(StatusCode::OK, replies),
        }
    }
}

/// `{"error": …}`, never encoded.
pub(crate) fn error(status: StatusCode, text: &str) -> Response<Body> {
    let mut json = Vec::new();
    write_entry(&mut json, &Reply::error(text), false);
    json_response(status, json)
}

fn json_response(status: StatusCode, json: Vec<u8>) -> Response<Body> {
    response(status, "application/json", json.into())
}

fn resp2_response(status: StatusCode, replies: &[Reply]) -> Response<Body> {
    let mut wire = BytesMut::new();
    for reply in replies {
        reply.write(&mut wire);
    }
    response(status, "application/octet-stream", wire.freeze())
}

pub(crate) fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// `{"result": …}` or `{"error": …}`. Of all strings only the top-level status `OK` stays plain.
fn write_entry(json: &mut Vec<u8>, reply: &Reply, base64: bool) {
    match reply {
        Reply::Error(text) => {
            json.extend_from_slice(b"{\"error\":");
            write_string(json, text, false);
        }
        Reply::Status(text) if text == "OK" => json.extend_from_slice(b"{\"result\":\"OK\""),
        _ => {
            json.extend_from_slice(b"{\"result\":");
            write_value(json, reply, base64);
        }
    }
    json.push(b'}');
}

/// An error inside an array becomes its text: Upstash does not document what it does with one.
fn write_value(json: &mut Vec<u8>, reply: &Reply, base64: bool) {
    match reply {
        Reply::Status(text) | Reply::Bulk(text) | Reply::Error(text) => {
            write_string(json, text, base64);
        }
        Reply::Integer(value) => json.extend_from_slice(value.to_string().as_bytes()),
        Reply::NullBulk | Reply::NullArray => json.extend_from_slice(b"null"),
        Reply::Array(items) => {
            write_list(json, items, |json, item| write_value(json, item, base64));
        }
    }
}

fn write_list(json: &mut Vec<u8>, items: &[Reply], write: impl Fn(&mut Vec<u8>, &Reply)) {
    json.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write(json, item);
    }
    json.push(b']');
}

fn write_string(json: &mut Vec<u8>, bytes: &[u8], base64: bool) {
    let text = if base64 {
        STANDARD.encode(bytes).into()
    } else {
        String::from_utf8_lossy(bytes)
    };
    json.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}
