//! Who may ask for what: keys, scopes, and what is open to everybody.

use api::{KeyRing, NewKey};
use http::Method;
use serde_json::json;

use crate::harness::{Answer, Api, shared_redis, wish};

/// An API and three keys: one that reads, one that writes, one that administers.
struct Guarded {
    api: Api,
    reader: String,
    writer: String,
    admin: String,
}

impl Guarded {
    async fn start() -> Self {
        let made = ["reader:read", "writer:write", "admin:admin"].map(|entry| {
            let (name, scopes) = entry.split_once(':').unwrap();
            NewKey::generate(name, scopes).unwrap()
        });
        let entries: Vec<_> = made.iter().map(|new| new.entry.as_str()).collect();
        let ring = KeyRing::parse(&entries.join("\n")).unwrap();
        let api = Api::start_with(|config| config.keys = Some(ring)).await;
        let [reader, writer, admin] = made.map(|new| new.key);
        Self {
            api,
            reader,
            writer,
            admin,
        }
    }

    async fn ask(&self, method: &str, path: &str, key: Option<&str>) -> Answer {
        let method: Method = method.parse().unwrap();
        let has_body = method != Method::GET && method != Method::DELETE;
        let mut request = self.api.request(method, path);
        if has_body {
            request = request.json(&wish("guarded"));
        }
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        self.api.ask(request).await
    }
}

/// Every endpoint that needs a scope, with the scope.
const GUARDED: [(&str, &str, &str); 27] = [
    ("GET", "/api/instances", "read"),
    ("POST", "/api/instances", "write"),
    ("GET", "/api/instances/inst_1", "read"),
    ("DELETE", "/api/instances/inst_1", "write"),
    ("GET", "/api/instances/inst_1/events", "read"),
    ("POST", "/api/instances/inst_1/start", "write"),
    ("POST", "/api/instances/inst_1/stop", "write"),
    ("POST", "/api/instances/inst_1/restart", "write"),
    ("PUT", "/api/instances/inst_1/last-used", "write"),
    ("GET", "/api/instances/auto-stop/stats", "read"),
    ("POST", "/api/instances/auto-stop/trigger", "write"),
    ("POST", "/api/instances/start", "write"),
    ("POST", "/api/instances/stop", "write"),
    ("POST", "/api/instances/restart", "write"),
    ("POST", "/api/instances/delete", "write"),
    ("POST", "/api/instances/stop-all", "write"),
    ("GET", "/api/instances/comprehensive", "read"),
    ("POST", "/api/instances/sync", "write"),
    ("GET", "/api/operations/op_1", "read"),
    ("GET", "/api/jobs", "read"),
    ("GET", "/api/jobs/stats", "read"),
    ("GET", "/api/jobs/cron:x", "read"),
    ("DELETE", "/api/jobs/cron:x", "write"),
    ("POST", "/api/jobs/cron:x/retry", "write"),
    ("POST", "/api/jobs/dead/retry", "write"),
    ("POST", "/api/queue/pause", "admin"),
    ("POST", "/api/queue/resume", "admin"),
];

#[tokio::test]
async fn every_endpoint_needs_its_scope() {
    let guarded = Guarded::start().await;
    for (method, path, scope) in GUARDED {
        let what = format!("{method} {path}");
        let unknown = guarded.ask(method, path, None).await;
        unknown.is(401, "UNAUTHORIZED");
        let challenge = unknown.header("www-authenticate");
        assert_eq!(challenge, "Bearer realm=\"novita-api\"", "{what}");
        for (has, key) in [
            ("read", &guarded.reader),
            ("write", &guarded.writer),
            ("admin", &guarded.admin),
        ] {
            // The right scope gets past the door, whatever the handler then says; not all of them
            // are harmless to the others, so only the wrong scopes are tried here.
            if has == scope {
                continue;
            }
            let refused = guarded.ask(method, path, Some(key)).await;
            refused.is(403, "FORBIDDEN");
            let required = &refused.body["error"]["details"]["requiredScope"];
            assert_eq!(required, scope, "{what}");
        }
    }
    let created = guarded
        .ask("POST", "/api/instances", Some(&guarded.writer))
        .await;
    assert_eq!(created.status, 201);
    let path = format!("/api/instances/{}", created.text("/instanceId"));
    assert_eq!(
        guarded
            .ask("GET", &path, Some(&guarded.reader))
            .await
            .status,
        200
    );
    let paused = guarded.api.request(Method::POST, "/api/queue/pause");
    let paused = paused.json(&json!({})).bearer_auth(&guarded.admin);
    assert_eq!(guarded.api.ask(paused).await.status, 200);
}

#[tokio::test]
async fn a_wrong_key_is_told_that_it_is_wrong_and_a_key_in_the_query_is_not_looked_at() {
    let guarded = Guarded::start().await;
    let wrong = guarded
        .ask("GET", "/api/instances", Some("gpk_wrong"))
        .await;
    wrong.is(401, "UNAUTHORIZED");
    assert_eq!(
        wrong.header("www-authenticate"),
        "Bearer realm=\"novita-api\", error=\"invalid_token\""
    );
    assert!(!wrong.body.to_string().contains("gpk_wrong"));
    let path = format!("/api/instances?api_key={}", guarded.reader);
    let query = guarded.ask("GET", &path, None).await;
    query.is(401, "UNAUTHORIZED");
    assert!(query.text("/error/message").contains("query"));
    assert!(!query.body.to_string().contains(&guarded.reader));
    let header = guarded.api.request(Method::GET, "/api/instances");
    let header = header.header("x-api-key", &guarded.reader);
    assert_eq!(guarded.api.ask(header).await.status, 200);
}

#[tokio::test]
async fn a_refused_caller_can_go_on_on_the_same_connection() {
    let guarded = Guarded::start().await;
    let mut connection = crate::harness::Raw::open(guarded.api.addr).await;
    let body = wish("unread").to_string();
    let refused = format!(
        "POST /api/instances HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.send(refused.as_bytes()).await;
    connection.answer().await.is(401, "UNAUTHORIZED");
    connection
        .send(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert_eq!(connection.answer().await.status, 200);
    // Who waits for leave to send a body is refused without being asked for it.
    let expecting = "POST /api/instances HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\
                     content-length: 10\r\n\r\n";
    connection.send(expecting.as_bytes()).await;
    connection.answer().await.is(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn probes_need_no_key_and_health_says_little_without_one() {
    let guarded = Guarded::start().await;
    for path in ["/livez", "/readyz", "/health"] {
        assert_eq!(guarded.ask("GET", path, None).await.status, 200, "{path}");
        assert_eq!(
            guarded.ask("GET", path, Some("wrong")).await.status,
            200,
            "{path}"
        );
    }
    for key in [None, Some("wrong"), Some(guarded.writer.as_str())] {
        let short = guarded.ask("GET", "/health", key).await;
        let members: Vec<_> = short.body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["services", "status", "timestamp", "uptime"]);
    }
    let full = guarded.ask("GET", "/health", Some(&guarded.reader)).await;
    assert!(full.body["dependencies"].is_object());
    let unknown = guarded.ask("GET", "/api/nothing", None).await;
    unknown.is(404, "NOT_FOUND");
}

#[tokio::test]
async fn without_keys_anybody_may_do_everything() {
    let api = Api::start_on(&shared_redis().await.url(), |config| {
        assert!(config.keys.is_none());
    })
    .await;
    api.create("open").await;
    let ignored = api.request(Method::GET, "/api/instances").bearer_auth("x");
    assert_eq!(api.ask(ignored).await.status, 200);
}
