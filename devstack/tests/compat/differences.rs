//! What is different on purpose. `docs/migrating-from-node.md` tells the same sentences to operators.

use crate::compare::Finding::{self, Code, Missing, Status, Type};
use crate::exchange::Exchange;

/// A difference that is meant.
pub(crate) struct Difference {
    /// One sentence for operators.
    pub(crate) why: &'static str,
    of: fn(&Exchange, &Finding) -> bool,
}

impl Difference {
    /// Whether a finding is this difference.
    pub(crate) fn explains(&self, exchange: &Exchange, finding: &Finding) -> bool {
        (self.of)(exchange, finding)
    }
}

/// In this order; the first that explains a finding counts.
pub(crate) static DIFFERENCES: [Difference; 18] = [
    Difference {
        why: "A `templateId` may be a number.",
        of: |exchange, _| exchange.note == "templateId as a number",
    },
    Difference {
        why: "A name belongs to one instance at a time: a second create of it is answered 409, with the id of the first.",
        of: |exchange, finding| is_create(exchange) && *finding == Status(201, 409),
    },
    Difference {
        why: "A create is answered before the provider is asked; what it chooses, costs or fails at comes by webhook and shows in the instance, or in the answer itself with `Prefer: wait=60`.",
        of: |exchange, finding| match finding {
            Status(_, 201) => is_create(exchange),
            Missing(at) => {
                is_create(exchange)
                    && is_one_of(
                        at,
                        &["/novitaInstanceId", "/productId", "/region", "/spotPrice"],
                    )
            }
            Code(..) | Type(_) | Status(..) => false,
        },
    },
    Difference {
        why: "Malformed JSON is answered 400, a body that is too large 413, and a file that does not exist 404, where all of them were 500.",
        of: |_, finding| matches!(finding, Status(500, 400 | 404 | 413)),
    },
    Difference {
        why: "Stack traces are never sent.",
        of: |_, finding| matches!(finding, Missing(at) if at == "/error/stack"),
    },
    Difference {
        why: "A method that a path does not have is answered 405.",
        of: |_, finding| matches!(finding, Code(_, ours) if ours == "METHOD_NOT_ALLOWED"),
    },
    Difference {
        why: "`/health` leaves out what only told of parts of the old service: the memory of Node.js, its Redis client, its schedulers, its log shipping and its debug section.",
        of: |exchange, finding| {
            is_health(exchange) && matches!(finding, Missing(at) if is_one_of(at, &GONE))
        },
    },
    Difference {
        why: "`/health` says `null` where nothing was measured yet.",
        of: |exchange, finding| is_health(exchange) && matches!(finding, Type(_)),
    },
    Difference {
        why: "Starting what runs or starts and stopping what is stopped is no mistake: the answer is 202 and names the operation that did it.",
        of: |exchange, finding| {
            let is_again = exchange.note.contains("stored as active");
            is_power(exchange) && (matches!(finding, Status(400, 202)) || is_again)
        },
    },
    Difference {
        why: "A start that the provider refuses ends its operation and nothing else: the instance is not deleted.",
        of: |exchange, finding| {
            let of_start = is_power(exchange) && *finding == Status(500, 202);
            of_start || exchange.note == "after the failed start"
        },
    },
    Difference {
        why: "An instance that was deleted can still be read by its id, as `terminated`.",
        of: |exchange, finding| exchange.note == "gone" && *finding == Status(404, 200),
    },
    Difference {
        why: "Nothing is called stopped before the provider says so: `lastStoppedAt` comes with that.",
        of: |_, finding| matches!(finding, Missing(at) if at == "/lastStoppedAt"),
    },
    Difference {
        why: "`readyAt` is that of the present boot, and gone while the instance is stopped.",
        of: |_, finding| matches!(finding, Missing(at) if at.ends_with("/readyAt")),
    },
    Difference {
        why: "An instance that was never ordered shows no ports, and a region only if its caller named one.",
        of: |_, finding| {
            let ends = ["/region", "/portMappings/*"];
            matches!(finding, Missing(at) if ends.iter().any(|end| at.ends_with(end)))
        },
    },
    Difference {
        why: "What failed can be deleted.",
        of: |exchange, finding| exchange.request.method == "DELETE" && *finding == Status(400, 202),
    },
    Difference {
        why: "The routes of the migration scheduler work.",
        of: |exchange, finding| {
            let is_one = exchange.request.path.contains("/migration/scheduler/");
            is_one && matches!(finding, Status(404 | 500, 200 | 202))
        },
    },
    Difference {
        why: "While the provider cannot be reached, wishes are accepted all the same and done when it can.",
        of: |exchange, finding| {
            exchange.note == "breaker open" && matches!(finding, Status(503, 202))
        },
    },
    Difference {
        why: "The comprehensive listing leaves out environment variables, which hold secrets, and what would always be the same: `endTime` and `volumeMounts`.",
        of: |_, finding| {
            let ends = ["/envs", "/endTime", "/volumeMounts"];
            matches!(finding, Missing(at) if ends.iter().any(|end| at.ends_with(end)))
        },
    },
];

const GONE: [&str; 18] = [
    "/debug",
    "/dependencies/cache/lastChecked",
    "/dependencies/jobQueue/completed",
    "/dependencies/jobQueue/failed",
    "/dependencies/novitaApi/note",
    "/dependencies/redis/connectionStats",
    "/dependencies/redis/isHealthy",
    "/dependencies/redis/pingResult",
    "/failedMigrationService",
    "/logging",
    "/migrationService",
    "/redis/cacheManagerConfig",
    "/redis/redisHealthStatus",
    "/sync/cacheSize",
    "/sync/isLocked",
    "/system/memory/externalMB",
    "/system/memory/totalMB",
    "/system/memory/usedMB",
];

fn is_create(exchange: &Exchange) -> bool {
    exchange.request.method == "POST" && exchange.request.path == "/api/instances"
}

fn is_health(exchange: &Exchange) -> bool {
    exchange.request.path == "/health"
}

fn is_power(exchange: &Exchange) -> bool {
    let path = &exchange.request.path;
    exchange.request.method == "POST" && (path.ends_with("/start") || path.ends_with("/stop"))
}

fn is_one_of(at: &str, known: &[&str]) -> bool {
    known.contains(&at)
}
