//! Novita's error envelope and the reasons the simulator gives.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use super::settings::{AuthError, NotFound, Settings};

/// One refusal: the HTTP status repeats in `code`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// `None` leaves the field out, as the shared gateway does.
    pub(crate) metadata: Option<BTreeMap<String, String>>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: message.into(),
            metadata: Some(BTreeMap::new()),
        }
    }

    /// A business error: those are all 400.
    pub(crate) fn refused(reason: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason, message)
    }

    pub(crate) fn invalid(field: &str, problem: &str) -> Self {
        Self::refused("VALIDATOR_PARAM", format!("{field}: {problem}"))
    }

    pub(crate) fn unreadable(why: impl Into<String>) -> Self {
        Self::refused("INVALID_REQUEST_BODY", why)
    }

    pub(crate) fn insufficient() -> Self {
        Self::refused("INSUFFICIENT_RESOURCE", "no host fits the request")
    }

    pub(crate) fn wrong_state(settings: &Settings) -> Self {
        Self::refused(&settings.wrong_state_reason, "invalid state change")
    }

    pub(crate) fn unauthorized(settings: &Settings) -> Self {
        match settings.auth_error {
            AuthError::InvalidApiKey => Self {
                metadata: None,
                ..Self::new(StatusCode::FORBIDDEN, "INVALID_API_KEY", "invalid api-key")
            },
            AuthError::Unauthorized => {
                Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "unauthorized")
            }
        }
    }

    pub(crate) fn unknown_instance(settings: &Settings) -> Self {
        const REASON: &str = "RESOURCE_NOT_FOUND";
        match settings.not_found {
            NotFound::Http404 => Self::new(StatusCode::NOT_FOUND, REASON, "instance not found"),
            NotFound::Message => Self::refused(REASON, "instance not found"),
            NotFound::Misspelt => Self::refused(REASON, "instance not fount"),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut envelope = json!({
            "code": self.status.as_u16(),
            "reason": self.reason,
            "message": self.message,
        });
        if let Some(metadata) = &self.metadata {
            envelope["metadata"] = json!(metadata);
        }
        envelope
    }
}
