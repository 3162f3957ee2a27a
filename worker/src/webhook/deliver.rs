//! One attempt to deliver one webhook.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::{Secret, signed_headers};
use crate::outbound::{CallContext, FailureReason, Outbound, Reply, retry_after};

/// Read so that a receiver may finish its answer; more than this and it is cut off.
const MAX_RESPONSE_BYTES: usize = 16 * 1024;

/// How a [`Deliverer`] works.
#[derive(Debug, Clone)]
pub struct DelivererOptions {
    /// The time one attempt may take in all, from the look-up to the last byte read.
    pub timeout: Duration,
    /// Signing secrets, current first; the others are those being rotated out. None: unsigned.
    pub secrets: Vec<Secret>,
    /// The `User-Agent` header.
    pub user_agent: HeaderValue,
}

/// What to deliver.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `webhook-id`: the same for all attempts and replays of one event.
    pub id: String,
    /// The receiver. It is checked again at every attempt.
    pub url: String,
    /// The JSON to send, byte for byte.
    pub body: Bytes,
    /// Headers of the receiver's own. Those that belong to us or to the connection are left out.
    pub headers: BTreeMap<String, String>,
    /// The trace this event belongs to.
    pub context: CallContext,
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took in all.
    pub duration: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A status of 200 to 299.
    Delivered {
        /// That status.
        status: u16,
    },
    /// 410: the receiver wants nothing more at this URL.
    Gone,
    /// Anything else; see [`next_attempt`](super::next_attempt).
    Failed(Failure),
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The reason, as recorded.
    pub reason: FailureReason,
    /// The status, when a response came.
    pub status: Option<u16>,
    /// What a valid `Retry-After` asked for, uncapped.
    pub retry_after: Option<Duration>,
}

/// Delivers webhooks; cheap to clone.
#[derive(Debug, Clone)]
pub struct Deliverer {
    outbound: Outbound,
    options: DelivererOptions,
}

impl Deliverer {
    /// A deliverer that goes out through `outbound`.
    #[must_use]
    pub fn new(outbound: Outbound, options: DelivererOptions) -> Self {
        Self { outbound, options }
    }

    /// Makes one attempt: one request at most, never a redirect, never a resend.
    ///
    /// `now` is the wall clock in Unix seconds: it is signed with the message, and dates in the
    /// answer are read against it.
    pub async fn deliver(&self, delivery: &Delivery, now: u64) -> Attempt {
        let started = Instant::now();
        let outcome = match self
            .send(delivery, now, started + self.options.timeout)
            .await
        {
            Ok(reply) => judge(&reply, SystemTime::UNIX_EPOCH + Duration::from_secs(now)),
            Err(reason) => Outcome::Failed(Failure {
                reason,
                status: None,
                retry_after: None,
            }),
        };
        let duration = started.elapsed();
        metrics::counter!("webhook_attempts_total", "reason" => class(&outcome)).increment(1);
        metrics::histogram!("webhook_attempt_duration_seconds").record(duration);
        Attempt { outcome, duration }
    }

    async fn send(
        &self,
        delivery: &Delivery,
        now: u64,
        deadline: Instant,
    ) -> Result<Reply, FailureReason> {
        let target = self.outbound.guard().check_url(&delivery.url)?;
        let headers = self.headers(delivery, now)?;
        let body = delivery.body.clone();
        self.outbound
            .send(
                &target,
                Method::POST,
                headers,
                body,
                MAX_RESPONSE_BYTES,
                deadline,
            )
            .await
    }

    fn headers(&self, delivery: &Delivery, now: u64) -> Result<HeaderMap, FailureReason> {
        let mut headers = own_headers(&delivery.headers);
        let signed = signed_headers(&self.options.secrets, &delivery.id, now, &delivery.body);
        headers.extend(signed.map_err(|_| FailureReason::Internal)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, self.options.user_agent.clone());
        delivery.context.apply(&mut headers);
        Ok(headers)
    }
}

/// What a receiver asked for beside ours, as far as it can be sent.
fn own_headers(wanted: &BTreeMap<String, String>) -> HeaderMap {
    const OURS: [&str; 10] = [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-webhook-signature",
        "webhook-signature",
    ];
    let parsed = wanted.iter().filter_map(|(name, value)| {
        let name: HeaderName = name.parse().ok()?;
        let value = HeaderValue::from_str(value).ok()?;
        Some((name, value))
    });
    let is_free = |(name, _): &(HeaderName, HeaderValue)| !OURS.contains(&name.as_str());
    parsed.filter(is_free).collect()
}

fn judge(reply: &Reply, now: SystemTime) -> Outcome {
    let status = reply.status.as_u16();
    if reply.status.is_success() {
        return Outcome::Delivered { status };
    }
    if reply.status == StatusCode::GONE {
        return Outcome::Gone;
    }
    let is_redirect = matches!(status, 301 | 302 | 303 | 307 | 308);
    let reason = if is_redirect {
        FailureReason::Redirect
    } else {
        FailureReason::Http(status)
    };
    let retry_after = retry_after(&reply.headers, now);
    Outcome::Failed(Failure {
        reason,
        status: Some(status),
        retry_after,
    })
}

fn class(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered { .. } => "2xx",
        Outcome::Gone => "4xx",
        Outcome::Failed(failure) => failure.reason.class(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receivers_own_headers_never_replace_what_is_ours() {
        let wanted = [
            ("X-Custom", "1"),
            ("Host", "elsewhere"),
            ("Webhook-Signature", "forged"),
            ("not a name", "x"),
            ("X-Broken", "a\nb"),
        ];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = own_headers(&wanted.into());
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-custom"], "1");
    }
}
