//! What is told of each endpoint.

mod caches;
mod webhooks;

use serde_json::{Value, json};
use shared::queue::view::{JobView, PageView, PauseView, RetriedView, RevivalView, StatsView};
use shared::queue::{JobState, QueueAdmin};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, RefOr, Required, Schema, Type};

use super::schemas::Schemas;
use super::{Answer, Body, JSON, requests};
use crate::handlers::{changes, events, fleet, instances, usage};
use crate::router::Endpoint;
use crate::view::{InstanceDetails, OperationDetails};
use crate::wish::Wish;

/// One operation of the document, but for what follows from its route and its errors.
pub(super) struct Described {
    pub(super) id: String,
    pub(super) tag: &'static str,
    pub(super) summary: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
}

impl Described {
    fn new(tag: &'static str, id: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            tag,
            summary: summary.into(),
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
        }
    }

    fn with(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    fn taking(self, schema: RefOr<Schema>, is_required: bool) -> Self {
        let body = Some(Body {
            schema,
            is_required,
        });
        Self { body, ..self }
    }

    fn answering(mut self, status: u16, about: &'static str, schema: RefOr<Schema>) -> Self {
        let content = vec![(JSON, schema)];
        self.answers.push(Answer {
            status,
            about,
            content,
        });
        self
    }

    fn without_body(mut self, status: u16, about: &'static str) -> Self {
        self.answers.push(Answer {
            status,
            about,
            content: Vec::new(),
        });
        self
    }

    /// The same as it happens, for whoever accepts that.
    fn streaming(mut self) -> Self {
        let text: RefOr<Schema> = ObjectBuilder::new().schema_type(Type::String).into();
        if let Some(answer) = self.answers.iter_mut().find(|answer| answer.status == 200) {
            answer.content.push((EVENTS, text));
        }
        self.with(last_event_id())
    }

    /// A read, which is not answered again to whoever has the answer.
    fn reading(self, about: &'static str, schema: RefOr<Schema>) -> Self {
        self.answering(200, about, schema)
            .without_body(304, "The caller has it already, by its `If-None-Match`")
    }
}

const EVENTS: &str = "text/event-stream";
const INSTANCES: &str = "instances";
const FLEET: &str = "fleet";
const OPERATIONS: &str = "operations";
const QUEUE: &str = "queue";
const PROCESS: &str = "process";

pub(super) fn describe(endpoint: Endpoint, schemas: &mut Schemas) -> Described {
    match endpoint {
        Endpoint::CreateInstance
        | Endpoint::ListInstances
        | Endpoint::ReadInstance
        | Endpoint::ListEvents
        | Endpoint::ListFleetEvents
        | Endpoint::ChangeInstance(_)
        | Endpoint::ChangeNamedInstance(_)
        | Endpoint::StopAllInstances
        | Endpoint::TouchInstance => of_instances(endpoint, schemas),
        Endpoint::ListFleet
        | Endpoint::SyncFleet
        | Endpoint::AutoStopStats
        | Endpoint::TriggerAutoStop
        | Endpoint::CheckFailedMigrations
        | Endpoint::MigrationStatus
        | Endpoint::TriggerMigration => of_fleet(endpoint, schemas),
        Endpoint::ReadOperation => Described::new(OPERATIONS, "readOperation", "One operation")
            .reading("Its state", schemas.of::<OperationDetails<'_>>()),
        Endpoint::ListJobs
        | Endpoint::QueueStats
        | Endpoint::RetryDeadJobs
        | Endpoint::ReadJob
        | Endpoint::DropJob
        | Endpoint::RetryJob
        | Endpoint::PauseQueue
        | Endpoint::ResumeQueue => of_queue(endpoint, schemas),
        Endpoint::ListDeliveries
        | Endpoint::ReadDelivery
        | Endpoint::ReplayDelivery
        | Endpoint::ReplayDeliveries
        | Endpoint::TestWebhook => webhooks::describe(endpoint, schemas),
        Endpoint::CacheStats
        | Endpoint::OneCacheStats
        | Endpoint::ClearCaches
        | Endpoint::CleanUpCaches
        | Endpoint::RemoveCacheEntry
        | Endpoint::ResetCaches
        | Endpoint::CacheSchedule
        | Endpoint::RunCacheSchedule => caches::describe(endpoint, schemas),
        Endpoint::Health
        | Endpoint::Live
        | Endpoint::Ready
        | Endpoint::OpenApi
        | Endpoint::Page(_) => of_process(endpoint, schemas),
    }
}

fn of_instances(endpoint: Endpoint, schemas: &mut Schemas) -> Described {
    match endpoint {
        Endpoint::CreateInstance => {
            let body = schemas.written("CreateInstance", requests::create());
            let about = "It is durable, and a worker orders it; `Location` tells where it is";
            Described::new(INSTANCES, "createInstance", "Create an instance")
                .with(strict())
                .with(prefer())
                .taking(body, true)
                .answering(201, about, schemas.of::<instances::Answer<'_>>())
        }
        Endpoint::ListInstances => {
            Described::new(INSTANCES, "listInstances", "Instances, newest first")
                .with(number("page", 1, instances::MAX_PAGE, "From 1"))
                .with(number(
                    "pageSize",
                    1,
                    instances::MAX_PAGE_SIZE,
                    "Without both: all, up to 1000",
                ))
                .reading("A page of them", schemas.of::<instances::List<'_>>())
        }
        Endpoint::ReadInstance => Described::new(INSTANCES, "readInstance", "One instance")
            .with(fresh())
            .reading("How it is", schemas.of::<InstanceDetails<'_>>()),
        Endpoint::ListEvents => {
            Described::new(INSTANCES, "listEvents", "What happened to an instance")
                .with(number(
                    "after",
                    0,
                    events::MAX_NUMBER,
                    "Only later ones than this",
                ))
                .with(number(
                    "limit",
                    1,
                    events::MAX_LIMIT,
                    "At most so many; 100 without it",
                ))
                .reading("Its events, oldest first", schemas.of::<events::Log<'_>>())
                .streaming()
        }
        Endpoint::ListFleetEvents => {
            Described::new(INSTANCES, "listFleetEvents", "What happened to all")
                .with(text(
                    "after",
                    "Only later ones than this, which was `next` of an earlier page",
                ))
                .reading("Events, oldest first", schemas.of::<events::FleetLog<'_>>())
                .streaming()
        }
        Endpoint::ChangeNamedInstance(wish) => change(wish, true, schemas),
        Endpoint::ChangeInstance(wish) => change(wish, false, schemas),
        Endpoint::StopAllInstances => Described::new(
            INSTANCES,
            "stopAllInstances",
            "Stop every instance that runs or will",
        )
        .answering(
            202,
            "What became of each",
            schemas.of::<changes::AllStopped>(),
        ),
        _ => {
            let body = schemas.written("TouchInstance", requests::touch());
            Described::new(INSTANCES, "touchInstance", "Note that an instance was used")
                .with(strict())
                .taking(body, false)
                .answering(
                    200,
                    "Since when it counts as idle",
                    schemas.of::<usage::Used<'_>>(),
                )
        }
    }
}

fn change(wish: Wish, is_named: bool, schemas: &mut Schemas) -> Described {
    let boots = matches!(wish, Wish::Start | Wish::Restart);
    let (verb, title) = match wish {
        Wish::Start => ("start", "Start"),
        Wish::Stop => ("stop", "Stop"),
        Wish::Restart => ("restart", "Restart"),
        Wish::Delete => ("delete", "Delete"),
    };
    let (id, summary) = if is_named {
        (
            format!("{verb}InstanceByName"),
            format!("{title} the instance that bears a name"),
        )
    } else {
        (format!("{verb}Instance"), format!("{title} an instance"))
    };
    let name = match (boots, is_named) {
        (true, true) => "BootNamedInstance",
        (true, false) => "BootInstance",
        (false, true) => "ChangeNamedInstance",
        (false, false) => "ChangeInstance",
    };
    let body = schemas.written(name, requests::change(boots, is_named));
    let about =
        "It is durable, and a worker does it; the same as before if it was asked for already";
    let answer = schemas.of::<changes::Answer<'_>>();
    Described::new(INSTANCES, id, summary)
        .with(strict())
        .with(prefer())
        .taking(body, is_named)
        .answering(
            200,
            "It came to an end while its caller waited for it",
            answer.clone(),
        )
        .answering(202, about, answer)
}

fn of_fleet(endpoint: Endpoint, schemas: &mut Schemas) -> Described {
    let told = |schemas: &mut Schemas| schemas.written("Told", told());
    match endpoint {
        Endpoint::ListFleet => Described::new(
            FLEET,
            "listFleet",
            "Our instances beside everything else of the account",
        )
        .with(flag(
            "includeNovitaOnly",
            "Whether those that we did not make are shown",
        ))
        .with(flag(
            "syncLocalState",
            "Has a worker read the provider's list soon",
        ))
        .with(fresh())
        .reading("All of them", schemas.of::<fleet::Listing<'_>>()),
        Endpoint::SyncFleet => {
            let flags = [
                ("forceSync", false),
                ("handleObsoleteInstances", true),
                ("dryRun", false),
            ];
            let body = schemas.written("SyncFleet", requests::flags(&flags));
            let answer = schemas.written("FleetSync", synced());
            Described::new(
                FLEET,
                "syncFleet",
                "Have a worker read the provider's list now",
            )
            .with(strict())
            .taking(body, false)
            .answering(200, "It was read", answer.clone())
            .answering(202, "It is being read", answer)
        }
        Endpoint::AutoStopStats => Described::new(
            FLEET,
            "autoStopStats",
            "When instances are stopped that nobody uses",
        )
        .reading(
            "The rules and what they lead to",
            schemas.of::<usage::Stats>(),
        ),
        Endpoint::TriggerAutoStop => {
            let body = schemas.written("TriggerAutoStop", requests::flags(&[("dryRun", true)]));
            Described::new(
                FLEET,
                "triggerAutoStop",
                "Look for instances that nobody uses",
            )
            .taking(body, false)
            .answering(200, "What was found", schemas.of::<usage::Triggered<'_>>())
        }
        Endpoint::CheckFailedMigrations => {
            let flags = requests::flags(&[("immediate", false)]);
            let body = schemas.written("CheckFailedMigrations", flags);
            let answer = told(schemas);
            Described::new(
                FLEET,
                "checkFailedMigrations",
                "Look at what the provider took back",
            )
            .with(strict())
            .taking(body, false)
            .answering(200, "How many there are", answer.clone())
            .answering(202, "Workers will look", answer)
        }
        Endpoint::MigrationStatus => Described::new(
            FLEET,
            "migrationStatus",
            "What is done about spot machines taken back",
        )
        .reading("The rules, and how the last look went", told(schemas)),
        _ => Described::new(
            FLEET,
            "triggerMigration",
            "Have the provider's list read now",
        )
        .answering(202, "Workers will look", told(schemas)),
    }
}

fn of_queue(endpoint: Endpoint, schemas: &mut Schemas) -> Described {
    match endpoint {
        Endpoint::ListJobs => {
            let states = JobState::ALL.map(JobState::as_str);
            let schema = json!({ "type": "string", "enum": states });
            let state = parameter("state", ParameterIn::Query, Required::True, "", schema);
            Described::new(QUEUE, "listJobs", "Jobs in one state")
                .with(state)
                .with(number(
                    "limit",
                    1,
                    QueueAdmin::PAGE as u64,
                    "At most so many; 50 without it",
                ))
                .with(number(
                    "offset",
                    0,
                    crate::handlers::jobs::MAX_OFFSET,
                    "How many to skip",
                ))
                .reading("A page of them", schemas.of::<PageView>())
        }
        Endpoint::QueueStats => Described::new(QUEUE, "queueStats", "How much work there is")
            .reading("Numbers, and who works", schemas.of::<StatsView>()),
        Endpoint::RetryDeadJobs => {
            let body = schemas.written("RetryDeadJobs", requests::revival());
            Described::new(QUEUE, "retryDeadJobs", "Have dead jobs begin anew")
                .taking(body, false)
                .answering(200, "How many did", schemas.of::<RevivalView>())
        }
        Endpoint::ReadJob => Described::new(QUEUE, "readJob", "One job")
            .reading("All that is known of it", schemas.of::<JobView>()),
        Endpoint::DropJob => {
            Described::new(QUEUE, "dropJob", "Remove a dead job").without_body(204, "It is gone")
        }
        Endpoint::RetryJob => Described::new(QUEUE, "retryJob", "Have a dead job begin anew")
            .answering(200, "It is due", schemas.of::<RetriedView>()),
        Endpoint::PauseQueue => pausing("pauseQueue", "Hand out no more jobs", schemas),
        _ => pausing("resumeQueue", "Hand out jobs again", schemas),
    }
}

fn pausing(id: &str, summary: &str, schemas: &mut Schemas) -> Described {
    let body = schemas.written("PauseQueue", requests::pause());
    Described::new(QUEUE, id, summary)
        .taking(body, false)
        .answering(200, "What is paused", schemas.of::<PauseView>())
}

fn of_process(endpoint: Endpoint, schemas: &mut Schemas) -> Described {
    let status = json!({
        "type": "object", "required": ["status"], "properties": { "status": { "type": "string" } },
    });
    match endpoint {
        Endpoint::Health => {
            let health = schemas.written("Health", health());
            Described::new(PROCESS, "health", "How everything is; with a key in detail").answering(
                200,
                "Requests can be served and get done",
                health,
            )
        }
        Endpoint::Live => Described::new(PROCESS, "live", "Whether this process lives").answering(
            200,
            "It does",
            schemas.written("Probe", status),
        ),
        Endpoint::Ready => Described::new(PROCESS, "ready", "Whether this process takes requests")
            .answering(200, "It does", schemas.written("Probe", status)),
        _ => Described::new(PROCESS, "openApi", "This document").reading(
            "OpenAPI 3.1",
            schemas.written("Document", json!({ "type": "object" })),
        ),
    }
}

fn told() -> Value {
    json!({
        "type": "object",
        "required": ["success", "message"],
        "properties": {
            "success": { "type": "boolean" },
            "message": { "type": "string" },
            "jobId": { "type": "string" },
            "duration": { "type": "integer", "minimum": 0, "description": "In ms" },
            "result": { "type": "object" },
            "status": { "type": "object" },
            "healthDetails": { "type": "object" },
        },
    })
}

fn synced() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    json!({
        "type": "object",
        "required": ["success", "message", "data"],
        "properties": {
            "success": { "type": "boolean" },
            "message": { "type": "string" },
            "data": {
                "type": "object",
                "properties": {
                    "beforeSync": count, "afterSync": count, "novitaInstances": count,
                    "localInstances": count, "mergedInstances": count, "totalInstances": count,
                    "instancesRemoved": count, "duration": count,
                    "timestamp": { "type": "string", "format": "date-time" },
                    "options": { "type": "object" },
                },
            },
        },
    })
}

fn health() -> Value {
    json!({
        "type": "object",
        "required": ["status", "timestamp", "uptime", "services"],
        "properties": {
            "status": { "type": "string", "enum": ["healthy", "degraded", "unhealthy"] },
            "timestamp": { "type": "string", "format": "date-time" },
            "uptime": { "type": "number", "description": "In seconds" },
            "services": { "type": "object", "additionalProperties": { "type": "string" } },
            "version": { "type": "string" },
            "dependencies": { "type": "object" },
            "redis": { "type": "object" },
            "sync": { "type": "object" },
            "performance": { "type": "object" },
            "system": { "type": "object" },
        },
    })
}

fn strict() -> Parameter {
    flag(
        "strict",
        "Refuses fields that are not known, rather than dropping them",
    )
}

fn fresh() -> Parameter {
    flag(
        "fresh",
        "Has a worker look at the provider first, and waits for that up to 10 s",
    )
}

fn prefer() -> Parameter {
    let schema = json!({ "type": "string", "examples": ["wait=30"] });
    let about = "`wait=N` waits up to N (at most 60) seconds for the outcome";
    parameter(
        "Prefer",
        ParameterIn::Header,
        Required::False,
        about,
        schema,
    )
}

fn last_event_id() -> Parameter {
    let schema = json!({ "type": "string" });
    let about = "With `Accept: text/event-stream`: the id that was told last, to go on after it";
    parameter(
        "Last-Event-ID",
        ParameterIn::Header,
        Required::False,
        about,
        schema,
    )
}

fn text(name: &str, about: &str) -> Parameter {
    let schema = json!({ "type": "string" });
    parameter(name, ParameterIn::Query, Required::False, about, schema)
}

fn flag(name: &str, about: &str) -> Parameter {
    let schema = json!({ "type": "string", "enum": ["true", "false"] });
    parameter(name, ParameterIn::Query, Required::False, about, schema)
}

fn number(name: &str, least: u64, most: u64, about: &str) -> Parameter {
    let schema = json!({ "type": "integer", "minimum": least, "maximum": most });
    parameter(name, ParameterIn::Query, Required::False, about, schema)
}

fn parameter(
    name: &str,
    place: ParameterIn,
    required: Required,
    about: &str,
    schema: Value,
) -> Parameter {
    // Written here, and read by the test of the document.
    let schema: RefOr<Schema> = serde_json::from_value(schema).unwrap_or_default();
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(about))
        .schema(Some(schema))
        .build()
}
