//! With which statuses a request can fail, by what the endpoint asks of it.

use std::collections::BTreeMap;

use crate::auth::Access;
use crate::idempotency;
use crate::router::Endpoint;

/// Statuses and what they mean, in order.
pub(super) fn of(endpoint: Endpoint, pattern: &str) -> BTreeMap<u16, &'static str> {
    let mut errors = BTreeMap::from([
        (
            400,
            "The request is malformed; `validationErrors` names every problem",
        ),
        (414, "The target is longer than 8 KiB"),
        (500, "A defect of ours, which is in our log"),
        (501, "An unknown transfer coding"),
        (
            503,
            "It cannot be answered now; `Retry-After` tells when to ask again",
        ),
    ]);
    if let Access::Scope(_) = Access::to(endpoint) {
        errors.extend([
            (401, "There is no key, or a wrong one"),
            (403, "The key lacks the scope"),
            (
                429,
                "Too many requests; `Retry-After` tells when to ask again",
            ),
        ]);
    }
    if pattern.contains("{id}") || matches!(endpoint, Endpoint::ChangeNamedInstance(_)) {
        errors.insert(404, "There is no such thing");
    }
    if endpoint == Endpoint::ListFleet {
        errors.insert(404, "It is switched off by `ENABLE_COMPREHENSIVE_LISTING`");
    }
    if endpoint.takes_body() {
        errors.extend([
            (408, "The body did not arrive in time"),
            (413, "The body is too large"),
            (415, "The body is not JSON by its headers"),
        ]);
    }
    if idempotency::is_for(endpoint) {
        errors.extend([
            (
                409,
                "It contradicts what is, or a request with the same key is being answered",
            ),
            (422, "The `Idempotency-Key` was used for another request"),
        ]);
    }
    errors
}
