//! `Idempotency-Key`: a request that is sent again is answered as it was the first time, and done once.
//!
//! Wishes about instances are remembered by the script that accepts them, so nothing can come between the
//! deed and the memory of it. Everything else with an effect may be done twice without harm, and claims its
//! key first.

use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use shared::store::{Claimed, Memo, Recalled};
use tokio::time::{Duration, Instant, timeout_at};

use crate::app::App;
use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::handlers::Input;
use crate::hex;
use crate::reply::{Memory, Reply};
use crate::router::Endpoint;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_KEY: usize = 255;
/// The largest answer that is remembered. What is larger is done again.
const MAX_ANSWER: usize = 512 * 1024;
/// A claim outlives its request by this, and no longer if its process dies.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);

/// How an endpoint sees to it that its answer is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It has no effect, so there is nothing to repeat.
    None,
    /// The script that accepts a create looks by itself.
    Create,
    /// The script that accepts a change does, if there is a change to accept; what it comes to depends on
    /// the instance, which may be another by now.
    Change,
    /// The key is claimed before.
    Claim,
}

impl Way {
    fn of(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::CreateInstance => Self::Create,
            Endpoint::ChangeInstance(_) | Endpoint::ChangeNamedInstance(_) => Self::Change,
            Endpoint::StopAllInstances
            | Endpoint::SyncFleet
            | Endpoint::TouchInstance
            | Endpoint::TriggerAutoStop
            | Endpoint::CheckFailedMigrations
            | Endpoint::TriggerMigration
            | Endpoint::RetryDeadJobs
            | Endpoint::DropJob
            | Endpoint::RetryJob
            | Endpoint::PauseQueue
            | Endpoint::ResumeQueue
            | Endpoint::ReplayDelivery
            | Endpoint::ReplayDeliveries
            | Endpoint::TestWebhook => Self::Claim,
            Endpoint::ListInstances
            | Endpoint::ReadInstance
            | Endpoint::ListEvents
            | Endpoint::ListFleetEvents
            | Endpoint::ListFleet
            | Endpoint::AutoStopStats
            | Endpoint::MigrationStatus
            | Endpoint::ReadOperation
            | Endpoint::ListJobs
            | Endpoint::QueueStats
            | Endpoint::ReadJob
            | Endpoint::ListDeliveries
            | Endpoint::ReadDelivery
            | Endpoint::CacheStats
            | Endpoint::OneCacheStats
            | Endpoint::ClearCaches
            | Endpoint::CleanUpCaches
            | Endpoint::RemoveCacheEntry
            | Endpoint::ResetCaches
            | Endpoint::CacheSchedule
            | Endpoint::RunCacheSchedule
            | Endpoint::Health
            | Endpoint::Live
            | Endpoint::Ready
            | Endpoint::OpenApi
            | Endpoint::Page(_) => Self::None,
        }
    }
}

/// Whether a key means something to this endpoint: it has an effect.
pub(crate) fn is_for(endpoint: Endpoint) -> bool {
    Way::of(endpoint) != Way::None
}

/// What a request asks for under its key, if it has one and an effect.
pub(crate) fn memo(
    endpoint: Endpoint,
    headers: &HeaderMap,
    caller: Option<&Caller>,
    what: [&[u8]; 4],
) -> Result<Option<Memo>, ApiError> {
    if !is_for(endpoint) {
        return Ok(None);
    }
    let Some(key) = key(headers)? else {
        return Ok(None);
    };
    let owner = caller.and_then(|caller| caller.name.as_deref());
    let key = digest(&[owner.unwrap_or_default().as_bytes(), key.as_bytes()]);
    Ok(Some(Memo::new(key, digest(&what))))
}

/// Answers a request, unless it was answered before.
pub(crate) async fn once(
    app: &App,
    endpoint: Endpoint,
    input: &Input,
    caller: Option<&Caller>,
    deadline: Instant,
) -> Result<Reply, ApiError> {
    let handle = async {
        let handled = timeout_at(deadline, app.handle(endpoint, input, caller)).await;
        handled.unwrap_or(Err(ApiError::Overdue))
    };
    let Some(memo) = &input.memo else {
        return handle.await;
    };
    match Way::of(endpoint) {
        Way::None | Way::Create => handle.await,
        Way::Change => {
            if let Some(known) = app.store.recall(memo).await? {
                return recalled(known);
            }
            let reply = handle.await?;
            match reply.memory {
                Memory::Known => Ok(reply),
                Memory::None => remembered(app, memo, reply).await,
            }
        }
        Way::Claim => {
            let lease = app.limits.request_timeout + CLAIM_MARGIN;
            let claim = match app.store.claim(memo, lease).await? {
                Claimed::Ours(claim) => claim,
                Claimed::Known(known) => return recalled(known),
            };
            let result = handle.await;
            let answer = result.as_ref().ok().map(Reply::answered);
            let noted = match answer.filter(|answer| answer.body.len() <= MAX_ANSWER) {
                Some(answer) => app.store.keep(claim, &answer).await,
                None => app.store.give_back(claim).await,
            };
            if let Err(error) = noted {
                // What was done stays done, and its caller is told so; a repetition has to wait for the
                // end of the claim.
                tracing::warn!(%error, "an answer is not remembered");
            }
            result
        }
    }
}

/// Remembers what a request came to that found its wish fulfilled, unless a twin of it was faster.
async fn remembered(app: &App, memo: &Memo, reply: Reply) -> Result<Reply, ApiError> {
    match app.store.remember(memo, &reply.answered()).await? {
        Some(known) => recalled(known),
        None => Ok(reply),
    }
}

/// The answer to a request whose key is known.
pub(crate) fn recalled(known: Recalled) -> Result<Reply, ApiError> {
    match known {
        Recalled::Answer(answer) => Ok(Reply::again(answer)),
        Recalled::InFlight => Err(ApiError::KeyInFlight),
        Recalled::Other => Err(ApiError::KeyReused),
    }
}

/// The key of a request: 1 to 255 visible characters, in quotes or without.
fn key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(&IDEMPOTENCY_KEY).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => unquoted(value),
        (Some(_), Some(_)) => None,
    };
    let is_fit = |key: &&str| {
        let is_visible = key.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
        (1..=MAX_KEY).contains(&key.len()) && is_visible
    };
    let key = value.filter(is_fit).ok_or_else(|| {
        let message = "\"Idempotency-Key\" must be 1 to 255 visible ASCII characters, sent once";
        ApiError::invalid(vec![Problem {
            field: "Idempotency-Key".to_owned(),
            message: message.to_owned(),
            value: None,
        }])
    })?;
    Ok(Some(key))
}

fn unquoted(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.trim();
    match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(text),
    }
}

/// One digest of several texts, each with its length, so that none can pass for a part of another.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    hex::encode(&digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, u16> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        }
        let key = key(&headers).map(|key| key.map(str::to_owned));
        key.map_err(|error| error.face().status.as_u16())
    }

    #[test]
    fn a_key_is_the_same_with_and_without_quotes() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(read(&[b"\"abc\""]), Ok(Some("abc".to_owned())));
        assert_eq!(read(&[&[b'x'; 255]]), Ok(Some("x".repeat(255))));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = [b'x'; 256];
        for value in [
            &b""[..],
            b"\"\"",
            b"\"",
            b"\"abc",
            b"abc\"",
            b"a b",
            b"a\"b",
            b"\xff",
            &long,
        ] {
            assert_eq!(read(&[value]), Err(400), "{value:?}");
        }
        assert_eq!(read(&[b"a", b"a"]), Err(400));
    }

    #[test]
    fn no_part_of_a_digest_passes_for_another() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"", b"a"]), digest(&[b"a", b""]));
        assert_eq!(digest(&[b"a"]).len(), 64);
    }
}
