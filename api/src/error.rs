//! Everything that can go wrong with a request, with one sentence for the log and one for the caller.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use shared::model::{Claim, Rate};
use shared::queue::JobState;
use shared::redis::RedisError;
use shared::store::StoreError;
use utoipa::ToSchema;

use crate::auth::{Refusal, Scope};
use crate::wish::Wish;

/// Why a request was not done. `Display` is for our log, [`ApiError::face`] for the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("invalid request: {} problem(s)", .problems.len())]
    Invalid {
        /// The heading above the problems.
        message: &'static str,
        problems: Vec<Problem>,
    },
    #[error("not authenticated: {0:?}")]
    Unauthenticated(Refusal),
    #[error("lacks the scope {}", .0.as_str())]
    Forbidden(Scope),
    #[error("asks too often")]
    TooOften {
        /// Seconds until it may ask again.
        retry_after: u32,
    },
    #[error("the idempotency key was used for something else")]
    KeyReused,
    #[error("the same request is being answered")]
    KeyInFlight,
    #[error("malformed JSON: {0}")]
    Json(String),
    #[error("bad framing: {0}")]
    Framing(&'static str),
    #[error("the request target is too long")]
    TargetTooLong,
    #[error("unknown transfer coding")]
    TransferEncoding,
    #[error("{0} is switched off")]
    SwitchedOff(&'static str),
    #[error("no such route")]
    NoRoute { method: String, path: String },
    #[error("method not allowed")]
    MethodNotAllowed { allow: String },
    #[error("no such instance: {0}")]
    NoInstance(String),
    #[error("no such operation: {0}")]
    NoOperation(String),
    #[error("no such job: {0}")]
    NoJob(String),
    #[error("no such delivery: {0}")]
    NoDelivery(String),
    #[error("no such entry of a cache: {name} {key}")]
    NoCacheEntry { name: String, key: String },
    #[error("{id} is {state}, not dead")]
    JobNotDead { id: String, state: JobState },
    #[error("no {}: {why}", wish.verb())]
    NotPossible { wish: Wish, why: &'static str },
    #[error("the name is held by {holder}")]
    NameTaken { name: String, holder: String },
    #[error("over budget: {reserved:?} reserved, {claim:?} wanted")]
    OverBudget { reserved: Rate, claim: Claim },
    #[error("the instance kept changing under our hands")]
    Contended,
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the body is not JSON by its headers")]
    MediaType,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body broke off: {0}")]
    BodyBroken(String),
    #[error("not finished in time")]
    Overdue,
    #[error("not ready: {0}")]
    NotReady(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("panicked: {0}")]
    Panicked(String),
}

/// One thing that is wrong with one field.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ValidationError)]
pub(crate) struct Problem {
    /// Its name.
    pub(crate) field: String,
    /// The rule it breaks.
    pub(crate) message: String,
    /// What was sent, where showing it back is harmless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Value>,
}

/// An error as the caller sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Face {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) retry: Retry,
}

/// What a caller may hope for from repeating a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The same again.
    Useless,
    /// Success, perhaps, after a second.
    Soon,
    /// Success after so many seconds.
    After(u32),
}

impl Retry {
    /// Seconds to wait; `None` where waiting does not help.
    pub(crate) fn seconds(self) -> Option<u32> {
        match self {
            Self::Useless => None,
            Self::Soon => Some(1),
            Self::After(seconds) => Some(seconds),
        }
    }
}

impl From<RedisError> for ApiError {
    fn from(error: RedisError) -> Self {
        Self::Store(error.into())
    }
}

const INTERNAL: (StatusCode, &str) = (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR");

impl ApiError {
    /// Problems with fields.
    pub(crate) fn invalid(problems: Vec<Problem>) -> Self {
        Self::Invalid {
            message: "Validation failed",
            problems,
        }
    }

    /// What the caller is told.
    pub(crate) fn face(&self) -> Face {
        let (status, code) = self.status_and_code();
        Face {
            status,
            code,
            message: self.public_message(),
            retry: self.retry(),
        }
    }

    fn status_and_code(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::Invalid { .. } => (S::BAD_REQUEST, "VALIDATION_ERROR"),
            Self::Unauthenticated(_) => (S::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::Forbidden(_) => (S::FORBIDDEN, "FORBIDDEN"),
            Self::TooOften { .. } => (S::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED"),
            Self::KeyReused => (S::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED"),
            Self::KeyInFlight => (S::CONFLICT, "IDEMPOTENCY_IN_PROGRESS"),
            Self::Json(_) => (S::BAD_REQUEST, "INVALID_JSON"),
            Self::Framing(_) | Self::BodyBroken(_) => (S::BAD_REQUEST, "INVALID_REQUEST"),
            Self::TargetTooLong => (S::URI_TOO_LONG, "URI_TOO_LONG"),
            Self::TransferEncoding => (S::NOT_IMPLEMENTED, "NOT_IMPLEMENTED"),
            Self::SwitchedOff(_) => (S::NOT_FOUND, "FEATURE_DISABLED"),
            Self::NoRoute { .. } => (S::NOT_FOUND, "NOT_FOUND"),
            Self::MethodNotAllowed { .. } => (S::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            Self::NoInstance(_) => (S::NOT_FOUND, "INSTANCE_NOT_FOUND"),
            Self::NoOperation(_) => (S::NOT_FOUND, "OPERATION_NOT_FOUND"),
            Self::NoJob(_) => (S::NOT_FOUND, "JOB_NOT_FOUND"),
            Self::NoDelivery(_) => (S::NOT_FOUND, "DELIVERY_NOT_FOUND"),
            Self::NoCacheEntry { .. } => (S::NOT_FOUND, "CACHE_KEY_NOT_FOUND"),
            Self::JobNotDead { .. } => (S::CONFLICT, "JOB_NOT_DEAD"),
            Self::NotPossible { wish, .. } => (S::BAD_REQUEST, wish.refusal()),
            Self::NameTaken { .. } => (S::CONFLICT, "INSTANCE_ALREADY_EXISTS"),
            Self::OverBudget { .. } => (S::CONFLICT, "BUDGET_EXCEEDED"),
            Self::Contended => (S::CONFLICT, "RESOURCE_CONFLICT"),
            Self::BodyTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
            Self::MediaType => (S::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, "REQUEST_TIMEOUT"),
            Self::Store(error) if !is_outage(error) => INTERNAL,
            Self::Overdue | Self::NotReady(_) | Self::Store(_) => {
                (S::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE")
            }
            Self::Panicked(_) => INTERNAL,
        }
    }

    /// Server errors are fixed sentences: their cause is for the log.
    fn public_message(&self) -> String {
        match self {
            Self::Invalid { message, .. } => (*message).to_owned(),
            Self::Unauthenticated(refusal) => match refusal {
                Refusal::Missing => {
                    "An API key is required, as Authorization: Bearer <key> or as X-API-Key"
                }
                Refusal::InQuery => {
                    "API keys are not taken from the query; send Authorization: Bearer <key>"
                }
                Refusal::Wrong => "The API key is not valid",
            }
            .to_owned(),
            Self::Forbidden(scope) => {
                format!("The API key lacks the scope \"{}\"", scope.as_str())
            }
            Self::TooOften { .. } => "Too many requests; try again later".to_owned(),
            Self::KeyReused => {
                "The Idempotency-Key was used for another method, path or body before".to_owned()
            }
            Self::KeyInFlight => "A request with this Idempotency-Key is being answered".to_owned(),
            Self::Json(why) => format!("The request body is not valid JSON: {why}"),
            Self::Framing(why) => (*why).to_owned(),
            Self::TargetTooLong => "The request target is longer than 8192 bytes".to_owned(),
            Self::TransferEncoding => "The only transfer coding is chunked".to_owned(),
            Self::SwitchedOff(what) => format!("{what} is switched off"),
            Self::NoRoute { method, path } => format!("Route {method} {path} not found"),
            Self::MethodNotAllowed { allow } => {
                format!("Method not allowed here; allowed: {allow}")
            }
            Self::NoInstance(id) => format!("Instance not found: {id}"),
            Self::NoOperation(id) => format!("Operation not found: {id}"),
            Self::NoJob(id) => format!("Job not found: {id}"),
            Self::NoDelivery(id) => format!("Delivery not found, or no longer kept: {id}"),
            Self::NoCacheEntry { name, key } => format!("Key '{key}' not found in cache '{name}'"),
            Self::JobNotDead { id, state } => format!("Job {id} is {state}, not dead"),
            Self::NotPossible { wish, why } => {
                format!(
                    "The {} of this instance is not possible: {why}",
                    wish.verb()
                )
            }
            Self::NameTaken { name, holder } => {
                format!("An instance named {name} already exists: {holder}")
            }
            Self::OverBudget { reserved, claim } => format!(
                "The hourly budget is {} US dollars and {} are reserved, so there is no room for {} \
                 more until something is stopped or deleted",
                claim.limit.dollars(),
                reserved.dollars(),
                claim.rate.dollars()
            ),
            Self::Contended => "The instance was changed at the same time".to_owned(),
            Self::BodyTooLarge { limit } => {
                format!("The request body is larger than {limit} bytes")
            }
            Self::MediaType => {
                "The request body must be application/json in UTF-8, not compressed".to_owned()
            }
            Self::BodyTimeout => "The request body did not arrive in time".to_owned(),
            Self::BodyBroken(_) => "The request body could not be read".to_owned(),
            Self::Overdue => "The request took too long".to_owned(),
            Self::NotReady(check) => format!("Not ready: {check}"),
            Self::Store(error) if is_outage(error) => {
                "The service is temporarily unavailable".to_owned()
            }
            Self::Store(_) | Self::Panicked(_) => "An unexpected error occurred".to_owned(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::TooOften { retry_after } => Retry::After(*retry_after),
            Self::Contended | Self::KeyInFlight | Self::BodyTimeout | Self::Overdue => Retry::Soon,
            Self::Store(StoreError::Redis(error)) if error.is_passing() => Retry::Soon,
            Self::Invalid { .. }
            | Self::Unauthenticated(_)
            | Self::Forbidden(_)
            | Self::KeyReused
            | Self::Json(_)
            | Self::Framing(_)
            | Self::TargetTooLong
            | Self::TransferEncoding
            | Self::SwitchedOff(_)
            | Self::NoRoute { .. }
            | Self::MethodNotAllowed { .. }
            | Self::NoInstance(_)
            | Self::NoOperation(_)
            | Self::NoJob(_)
            | Self::NoDelivery(_)
            | Self::NoCacheEntry { .. }
            | Self::JobNotDead { .. }
            | Self::NotPossible { .. }
            | Self::NameTaken { .. }
            | Self::OverBudget { .. }
            | Self::BodyTooLarge { .. }
            | Self::MediaType
            | Self::BodyBroken(_)
            | Self::NotReady(_)
            | Self::Store(_)
            | Self::Panicked(_) => Retry::Useless,
        }
    }

    /// The connection cannot be trusted, or not cheaply be used, for another request.
    pub(crate) fn closes_connection(&self) -> bool {
        match self {
            Self::Framing(_)
            | Self::TargetTooLong
            | Self::TransferEncoding
            | Self::MethodNotAllowed { .. }
            | Self::BodyTooLarge { .. }
            | Self::MediaType
            | Self::BodyTimeout
            | Self::BodyBroken(_) => true,
            Self::Invalid { .. }
            | Self::Unauthenticated(_)
            | Self::Forbidden(_)
            | Self::TooOften { .. }
            | Self::KeyReused
            | Self::KeyInFlight
            | Self::Json(_)
            | Self::SwitchedOff(_)
            | Self::NoRoute { .. }
            | Self::NoInstance(_)
            | Self::NoOperation(_)
            | Self::NoJob(_)
            | Self::NoDelivery(_)
            | Self::NoCacheEntry { .. }
            | Self::JobNotDead { .. }
            | Self::NotPossible { .. }
            | Self::NameTaken { .. }
            | Self::OverBudget { .. }
            | Self::Contended
            | Self::Overdue
            | Self::NotReady(_)
            | Self::Store(_)
            | Self::Panicked(_) => false,
        }
    }

    /// More about it, where there is more.
    pub(crate) fn details(&self) -> Option<Value> {
        match self {
            Self::Forbidden(scope) => Some(json!({"requiredScope": scope.as_str()})),
            Self::NameTaken { holder, .. } => Some(json!({ "instanceId": holder })),
            _ => None,
        }
    }

    /// What is wrong with single fields.
    pub(crate) fn problems(&self) -> &[Problem] {
        if let Self::Invalid { problems, .. } = self {
            problems
        } else {
            &[]
        }
    }
}

/// Redis cannot serve us at the moment, whatever was asked.
fn is_outage(error: &StoreError) -> bool {
    match error {
        StoreError::Redis(error) => {
            let is_refusing = matches!(error, RedisError::Quota(_) | RedisError::Unauthorized(_));
            error.is_passing() || is_refusing
        }
        StoreError::Corrupt { .. }
        | StoreError::Envs(..)
        | StoreError::NoEnvsKey
        | StoreError::Unsealable(_) => false,
    }
}
