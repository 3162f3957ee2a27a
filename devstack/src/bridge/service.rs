//! One request from authentication to answer.

use std::io::Error;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::auth::{Access, Tokens};
use super::billing::BilledCommands;
use super::encode::{Format, error, response};
use super::exec::Executor;
use super::faults::{self, FaultKind, Faults};
use super::request::{Call, Command, Malformed, Target, parse};
use super::resp::Reply;
use super::{control, lock, policy, sse};
use crate::http::{Answer, Body, HangUp, empty};

const ALLOWED: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::PUT];
const SYNC_TOKEN: &str = "upstash-sync-token";

/// Everything a request may touch.
pub(crate) struct Service {
    pub(crate) tokens: Tokens,
    pub(crate) executor: Executor,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) heartbeat: Duration,
}

/// An authenticated, well-formed request.
struct Job {
    call: Call,
    access: Access,
    format: Format,
}

impl Service {
    pub(crate) async fn answer(&self, request: Request<Bytes>) -> Answer {
        if let Some(path) = request.uri().path().strip_prefix(control::PREFIX) {
            return Ok(control::answer(self, path, &request).await);
        }
        let Some(access) = self.tokens.access(&Target::of(&request), request.headers()) else {
            let text = "WRONGPASS invalid or missing auth token";
            return Ok(error(StatusCode::UNAUTHORIZED, text));
        };
        if !ALLOWED.contains(request.method()) {
            return Ok(empty(StatusCode::METHOD_NOT_ALLOWED));
        }
        match understand(&request) {
            Ok((call, format)) => {
                let fault = self.choose_fault(&call, request.headers()).await;
                self.run(
                    Job {
                        call,
                        access,
                        format,
                    },
                    fault,
                )
                .await
            }
            Err(Malformed(text)) => Ok(error(StatusCode::BAD_REQUEST, &text)),
        }
    }

    pub(crate) async fn billed(&self) -> Result<BilledCommands, Error> {
        self.executor.meter.billed(&self.executor.pool).await
    }

    pub(crate) fn unavailable() -> Response<Body> {
        error(
            StatusCode::SERVICE_UNAVAILABLE,
            "ERR the backend is not available",
        )
    }

    async fn choose_fault(&self, call: &Call, headers: &HeaderMap) -> Option<FaultKind> {
        if lock(&self.faults).is_empty() {
            return None;
        }
        let table = self.executor.table().await.ok();
        let commands = call.commands();
        let newest = self.executor.sync_token();
        let may_be_stale = matches!(call, Call::Single(_) | Call::Pipeline(_))
            && commands
                .iter()
                .all(|command| table.is_some_and(|table| table.is_read_only(command)))
            && headers
                .get(SYNC_TOKEN)
                .is_none_or(|token| token != newest.as_str());
        lock(&self.faults).take(&faults::Request {
            commands,
            may_be_stale,
        })
    }

    async fn run(&self, job: Job, fault: Option<FaultKind>) -> Answer {
        match fault {
            Some(FaultKind::Latency { ms }) => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            Some(FaultKind::ResetBefore) => return Err(HangUp),
            Some(FaultKind::Status {
                status,
                retry_after,
            }) => {
                return Ok(proxy_page(status, retry_after));
            }
            Some(FaultKind::FlushScripts) => {
                // A backend that is down has no script cache to lose.
                let _ = self
                    .executor
                    .pool
                    .exchange(&[Command::new("SCRIPT", &["FLUSH"])])
                    .await;
            }
            Some(FaultKind::ResetAfter | FaultKind::TruncatedBody | FaultKind::StaleReads)
            | None => {}
        }
        let stale = fault == Some(FaultKind::StaleReads);
        let response = self
            .execute(job, stale)
            .await
            .unwrap_or_else(|_| Self::unavailable());
        match fault {
            Some(FaultKind::ResetAfter) => Err(HangUp),
            Some(FaultKind::TruncatedBody) => Ok(truncated(response).await),
            _ => Ok(response),
        }
    }

    async fn execute(&self, job: Job, stale: bool) -> Result<Response<Body>, Error> {
        let Job {
            call,
            access,
            format,
        } = job;
        let mut response = match call {
            Call::Single(command) => {
                match self.replies(vec![command], access, stale).await?.pop() {
                    Some(reply) => format.one(&reply),
                    None => Self::unavailable(),
                }
            }
            Call::Pipeline(commands) => format.batch(&self.replies(commands, access, stale).await?),
            Call::Transaction(commands) => {
                match self.executor.transaction(&commands, access).await? {
                    Ok(entries) => format.batch(&entries),
                    Err(discarded) => format.one(&discarded),
                }
            }
            Call::Stream(command) => return self.stream(command, access).await,
        };
        if let Ok(token) = HeaderValue::from_str(&self.executor.sync_token()) {
            response.headers_mut().insert(SYNC_TOKEN, token);
        }
        Ok(response)
    }

    async fn replies(
        &self,
        commands: Vec<Command>,
        access: Access,
        stale: bool,
    ) -> Result<Vec<Reply>, Error> {
        if !stale {
            return self.executor.pipeline(&commands, access).await;
        }
        let remembered = lock(&self.faults).recall(&commands);
        if let Some(replies) = remembered {
            return Ok(replies);
        }
        let replies = self.executor.pipeline(&commands, access).await?;
        lock(&self.faults).remember(commands, &replies);
        Ok(replies)
    }

    async fn stream(&self, command: Command, access: Access) -> Result<Response<Body>, Error> {
        let table = self.executor.table().await?;
        match policy::forbidden(&command, access, table) {
            Some(text) => Ok(error(StatusCode::BAD_REQUEST, &text)),
            None => sse::open(&self.executor.pool, command, self.heartbeat).await,
        }
    }
}

fn understand(request: &Request<Bytes>) -> Result<(Call, Format), Malformed> {
    let call = parse(request)?;
    let format = match call {
        Call::Transaction(_) => Format::for_transaction(request.headers()),
        _ => Format::of(request.headers())?,
    };
    Ok((call, format))
}

/// What a gateway in front of the service says when it answers itself.
fn proxy_page(status: u16, retry_after: Option<u64>) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let page = format!("<html><body><h1>{status}</h1></body></html>\n");
    let mut response = response(status, "text/html", page.into());
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// Announces the whole body and ends after half of it.
async fn truncated(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    let body = body.to_bytes();
    head.headers
        .insert(header::CONTENT_LENGTH, body.len().into());
    let half = body.slice(..body.len() / 2);
    // The pause lets the half be flushed before the connection breaks.
    let frames = stream::once(async { Ok(Frame::data(half)) })
        .chain(stream::once(tokio::task::yield_now()).filter_map(|()| async { None }));
    Response::from_parts(head, StreamBody::new(frames).boxed_unsync())
}
