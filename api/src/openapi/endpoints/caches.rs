//! What is told of the endpoints about caches.

use super::{Described, Schemas, strict};
use crate::handlers::caches::{Done, Report, ReportOfOne, Schedule};
use crate::openapi::requests;
use crate::router::Endpoint;

const CACHES: &str = "caches";

/// Everything under `/api/cache`.
pub(super) fn describe(endpoint: Endpoint, schemas: &mut Schemas) -> Described {
    let done = schemas.of::<Done>();
    let new = |id: &str, summary: &str| Described::new(CACHES, id, summary);
    match endpoint {
        Endpoint::CacheStats => new(
            "cacheStats",
            "How the caches of the process do that answers",
        )
        .reading("By cache, and all together", schemas.of::<Report>()),
        Endpoint::OneCacheStats => new("oneCacheStats", "How one of them does").reading(
            "Zeros if there is none of that name",
            schemas.of::<ReportOfOne>(),
        ),
        Endpoint::ClearCaches => {
            let body = schemas.written(
                "ClearCaches",
                requests::text_of("cacheName", "Only this one"),
            );
            new("clearCaches", "Empty one cache, or all of them")
                .with(strict())
                .taking(body, false)
                .answering(200, "It is empty", done)
        }
        Endpoint::CleanUpCaches => new("cleanUpCaches", "Remove what is out of date").answering(
            200,
            "How many entries that were",
            done,
        ),
        Endpoint::RemoveCacheEntry => {
            new("removeCacheEntry", "Remove one entry").answering(200, "It is removed", done)
        }
        Endpoint::ResetCaches => {
            let about = "`REDIS_KEY_PREFIX` of the deployment";
            let body = schemas.written("ResetCaches", requests::text_of("confirm", about));
            new("resetCaches", "Empty all caches; records and jobs are kept")
                .taking(body, true)
                .answering(200, "They are empty", done)
        }
        Endpoint::CacheSchedule => new("cacheSchedule", "When caches are emptied by themselves")
            .reading(
                "Never: their entries end one by one",
                schemas.of::<Schedule>(),
            ),
        _ => new("runCacheSchedule", "Empty all caches").answering(200, "They are empty", done),
    }
}
