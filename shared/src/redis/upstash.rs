//! Redis over Upstash's REST API: JSON arrays in, base64 strings out.
//!
//! Facts: Upstash REST reference. Only `POST` with a JSON body is used, arguments are always strings,
//! and base64 is always asked for, because without it bytes that are not UTF-8 come back damaged.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use reqwest::{Client, Response, Url, header};
use serde_json::Value;

use super::command::Command;
use super::error::{RedisError, ServerError};
use super::reply::Reply;
use super::{Batch, BatchReply};

/// Replies over this size are refused; the service's own limit is 10 MiB.
const MAX_RESPONSE: usize = 32 * 1024 * 1024;
/// Requests over this size are refused by every plan's smallest limit.
const MAX_REQUEST: usize = 10 * 1024 * 1024 - 64 * 1024;
const SYNC_TOKEN: &str = "upstash-sync-token";

/// A REST client; clones share its connections and its sync token.
#[derive(Clone)]
pub(super) struct Upstash {
    http: Client,
    streaming: Client,
    base: Url,
    authorization: header::HeaderValue,
    /// The last token the service handed out: sent back, it makes us read our own writes.
    sync_token: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Upstash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstash")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl Upstash {
    pub(super) fn new(
        url: &str,
        token: &str,
        connect: Duration,
        command: Duration,
    ) -> Result<Self, RedisError> {
        let base = Url::parse(url)
            .map_err(|error| RedisError::Refused(format!("not an Upstash URL: {error}")))?;
        let mut authorization = header::HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_| RedisError::Refused("the Upstash token has unusable characters".into()))?;
        authorization.set_sensitive(true);
        crate::tls::install();
        let builder = || {
            Client::builder()
                .connect_timeout(connect)
                .redirect(reqwest::redirect::Policy::none())
                // A resend that we do not see could apply a write twice.
                .retry(reqwest::retry::never())
                .tcp_nodelay(true)
        };
        let failed = |error: reqwest::Error| RedisError::Refused(error.to_string());
        Ok(Self {
            http: builder().timeout(command).build().map_err(failed)?,
            streaming: builder().build().map_err(failed)?,
            base,
            authorization,
            sync_token: Arc::default(),
        })
    }

    /// Sends a batch in one request: one command to `/`, several to `/pipeline`.
    pub(super) async fn execute(&self, batch: Batch<'_>) -> Result<BatchReply, RedisError> {
        let (path, body) = match batch {
            [single] => ("", serde_json::to_vec(single.parts())),
            several => {
                let parts: Vec<_> = several.iter().map(Command::parts).collect();
                ("pipeline", serde_json::to_vec(&parts))
            }
        };
        let body = body.map_err(|error| RedisError::Refused(error.to_string()))?;
        if body.len() > MAX_REQUEST {
            return Err(RedisError::Refused(format!(
                "{} bytes are too many",
                body.len()
            )));
        }
        let response = self.send(path, body).await?;
        let status = response.status();
        self.keep_sync_token(&response);
        let body = read(response).await?;
        decode(status, &body, batch.len())
    }

    async fn send(&self, path: &str, body: Vec<u8>) -> Result<Response, RedisError> {
        let mut request = self
            .http
            .post(self.url(path))
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("Upstash-Encoding", "base64")
            .body(body);
        let token = self.sync_token.lock().ok().and_then(|token| token.clone());
        if let Some(token) = token {
            request = request.header(SYNC_TOKEN, token);
        }
        request
            .send()
            .await
            .map_err(|error| self.network_error(&error))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url
    }

    fn keep_sync_token(&self, response: &Response) {
        let token = response
            .headers()
            .get(SYNC_TOKEN)
            .and_then(|value| value.to_str().ok());
        if let (Some(token), Ok(mut kept)) = (token, self.sync_token.lock()) {
            *kept = Some(token.to_owned());
        }
    }

    fn network_error(&self, error: &reqwest::Error) -> RedisError {
        let cause = root_cause(error);
        if error.is_connect() || error.is_builder() {
            let host = self.base.host_str().unwrap_or_default();
            let port = self.base.port_or_known_default().unwrap_or_default();
            RedisError::Unreachable {
                address: format!("{host}:{port}"),
                cause,
            }
        } else {
            RedisError::Unclear(cause)
        }
    }

    /// A stream of server-sent events from `channel`; open once the service answered 200.
    pub(super) async fn listen(&self, channel: &str) -> Result<Response, RedisError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| RedisError::Refused("the Upstash URL cannot have a path".into()))?
            .pop_if_empty()
            .push("subscribe")
            .push(channel);
        let response = self
            .streaming
            .post(url)
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::ACCEPT, "text/event-stream")
            .send()
            .await
            .map_err(|error| self.network_error(&error))?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::UNAUTHORIZED => Err(unauthorized()),
            status => Err(RedisError::Unclear(format!(
                "HTTP {status} to a subscription"
            ))),
        }
    }
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() {
        "timed out".into()
    } else {
        cause.to_string()
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, RedisError> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_RESPONSE => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err(RedisError::Protocol("a reply over 32 MiB".into())),
            Ok(None) => return Ok(body),
            Err(error) => return Err(RedisError::Unclear(root_cause(&error))),
        }
    }
}

fn unauthorized() -> RedisError {
    RedisError::Unauthorized("check UPSTASH_REDIS_REST_TOKEN and UPSTASH_REDIS_REST_URL".into())
}

/// Reads an answer: one object for a single command, an array of them for a pipeline.
fn decode(status: StatusCode, body: &[u8], commands: usize) -> Result<BatchReply, RedisError> {
    match status {
        StatusCode::UNAUTHORIZED => return Err(unauthorized()),
        StatusCode::OK | StatusCode::BAD_REQUEST => {}
        // A proxy in front of the service speaks: whether the command went through is unknown.
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(RedisError::Unclear(format!(
                "HTTP {status} from the REST endpoint"
            )));
        }
        status => return Err(RedisError::Protocol(format!("HTTP {status}"))),
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|_| RedisError::Protocol(format!("HTTP {status} with a body that is not JSON")))?;
    let entries = match value {
        Value::Array(entries) if status == StatusCode::OK => entries,
        entry @ Value::Object(_) if commands == 1 || status == StatusCode::BAD_REQUEST => {
            vec![entry]
        }
        _ => {
            return Err(RedisError::Protocol(
                "neither an entry nor a list of entries".into(),
            ));
        }
    };
    let replies: BatchReply = entries.into_iter().map(entry).collect::<Result<_, _>>()?;
    match replies.as_slice() {
        [Err(error)] if error.is_quota() => Err(RedisError::Quota(error.message.clone())),
        [Err(error)] if commands != 1 => Err(RedisError::Server(error.clone())),
        replies if replies.len() != commands => Err(RedisError::Protocol(format!(
            "{} entries for {commands} commands",
            replies.len()
        ))),
        _ => Ok(replies),
    }
}

fn entry(value: Value) -> Result<Result<Reply, ServerError>, RedisError> {
    let Value::Object(mut entry) = value else {
        return Err(RedisError::Protocol(
            "an entry that is not an object".into(),
        ));
    };
    if let Some(Value::String(line)) = entry.get("error") {
        return Ok(Err(ServerError::parse(line)));
    }
    match entry.remove("result") {
        Some(result) => reply(result).map(Ok),
        None => Err(RedisError::Protocol(
            "an entry with neither result nor error".into(),
        )),
    }
}

fn reply(value: Value) -> Result<Reply, RedisError> {
    Ok(match value {
        Value::Null => Reply::Nil,
        Value::Number(number) => Reply::Int(
            number
                .as_i64()
                .ok_or_else(|| RedisError::Protocol("not a 64-bit integer".into()))?,
        ),
        // The status OK is the one string that is not encoded; base64 cannot have two letters.
        Value::String(text) if text == "OK" => Reply::Text(text.into_bytes()),
        Value::String(text) => Reply::Text(
            BASE64
                .decode(text)
                .map_err(|_| RedisError::Protocol("not base64".into()))?,
        ),
        Value::Array(items) => {
            Reply::Array(items.into_iter().map(reply).collect::<Result<_, _>>()?)
        }
        Value::Bool(_) | Value::Object(_) => {
            return Err(RedisError::Protocol(
                "a boolean or an object as a result".into(),
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(status: u16, body: &str, commands: usize) -> Result<BatchReply, RedisError> {
        decode(
            StatusCode::from_u16(status).unwrap(),
            body.as_bytes(),
            commands,
        )
    }

    fn text(text: &str) -> Reply {
        Reply::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn ok_is_literal_and_every_other_string_is_base64() {
        assert_eq!(
            decoded(200, r#"{"result":"OK"}"#, 1).unwrap(),
            [Ok(text("OK"))]
        );
        assert_eq!(
            decoded(200, r#"{"result":"YmFy"}"#, 1).unwrap(),
            [Ok(text("bar"))]
        );
        assert_eq!(
            decoded(200, r#"{"result":["OK","T0s=",null]}"#, 1).unwrap(),
            [Ok(Reply::Array(vec![text("OK"), text("OK"), Reply::Nil]))]
        );
        assert_eq!(
            decoded(200, r#"{"result":"bar!"}"#, 1).unwrap_err().kind(),
            "protocol"
        );
    }

    #[test]
    fn integers_keep_all_their_digits() {
        for number in [i64::MAX, 9_007_199_254_740_993] {
            let body = format!(r#"{{"result":{number}}}"#);
            assert_eq!(decoded(200, &body, 1).unwrap(), [Ok(Reply::Int(number))]);
        }
    }

    #[test]
    fn an_error_keeps_its_code_and_is_never_decoded() {
        let replies = decoded(400, r#"{"error":"WRONGTYPE bad","x":1}"#, 1).unwrap();
        assert_eq!(replies[0].as_ref().unwrap_err().code, "WRONGTYPE");
    }

    #[test]
    fn what_is_not_an_answer_of_the_service_is_named_for_what_it_is() {
        assert_eq!(decoded(502, "<html>", 1).unwrap_err().kind(), "unclear");
        assert_eq!(decoded(429, "slow down", 1).unwrap_err().kind(), "unclear");
        assert_eq!(decoded(200, "OK-PLAIN", 1).unwrap_err().kind(), "protocol");
        assert_eq!(
            decoded(200, r#"[{"result":1}]"#, 2).unwrap_err().kind(),
            "protocol"
        );
        assert_eq!(decoded(401, "", 1).unwrap_err().kind(), "unauthorized");
        let quota = r#"{"error":"ERR max requests limit exceeded. Limit: 500000, Usage: 500000."}"#;
        assert_eq!(decoded(400, quota, 1).unwrap_err().kind(), "quota");
        assert_eq!(
            decoded(400, r#"{"error":"ERR empty"}"#, 3)
                .unwrap_err()
                .kind(),
            "server"
        );
    }
}
