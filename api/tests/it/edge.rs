//! What answers say to browsers and caches: origins, security headers, tags.

use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use api::{ApiConfig, Cors, KeyRing, NewKey};

use crate::harness::{Answer, Api};

const FRIEND: &str = "https://app.example";

fn friends_only(config: &mut ApiConfig) {
    config.edge.cors = Cors::Listed(vec![HeaderValue::from_static(FRIEND)]);
}

async fn from(api: &Api, method: Method, origin: &str) -> Answer {
    let mut request = api.request(method.clone(), "/api/instances");
    if method == Method::OPTIONS {
        request = request.header("access-control-request-method", "POST");
        request = request.header("access-control-request-headers", "authorization");
    }
    api.ask(request.header("origin", origin)).await
}

#[tokio::test]
async fn any_origin_may_read_but_without_the_browsers_credentials() {
    let api = Api::start().await;
    let answer = from(&api, Method::GET, "https://anywhere.example").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    assert!(
        answer
            .header("access-control-expose-headers")
            .contains("Retry-After")
    );
    let plain = api.get("/api/instances").await;
    assert_eq!(plain.header("access-control-allow-origin"), "");
    assert_eq!(plain.header("vary"), "Origin");
}

#[tokio::test]
async fn only_listed_origins_are_let_in() {
    let api = Api::start_with(friends_only).await;
    for method in [Method::GET, Method::OPTIONS] {
        let friend = from(&api, method.clone(), FRIEND).await;
        assert_eq!(friend.header("access-control-allow-origin"), FRIEND);
        assert_eq!(friend.header("access-control-allow-credentials"), "true");
        assert_eq!(friend.header("vary"), "Origin");
        for origin in [
            "null",
            "https://app.example.evil",
            "http://app.example",
            "*",
        ] {
            let other = from(&api, method.clone(), origin).await;
            assert!(other.status.is_success());
            let told = other
                .headers
                .keys()
                .filter(|name| name.as_str().starts_with("access-"));
            assert_eq!(told.count(), 0, "{origin}");
            assert_eq!(other.header("vary"), "Origin");
        }
    }
}

#[tokio::test]
async fn a_preflight_needs_no_key_and_has_no_body() {
    let new = NewKey::generate("one", "read").unwrap();
    let api = Api::start_with(|config| {
        friends_only(config);
        config.keys = Some(KeyRing::parse(&new.entry).unwrap());
    })
    .await;
    let preflight = from(&api, Method::OPTIONS, FRIEND).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("allow"), "GET, HEAD, POST, OPTIONS");
    assert!(
        preflight
            .header("access-control-allow-methods")
            .contains("DELETE")
    );
    assert!(
        preflight
            .header("access-control-allow-headers")
            .contains("Authorization")
    );
    assert_eq!(preflight.header("access-control-max-age"), "600");
    // The request itself is judged like any other, and the page may read why it was refused.
    let refused = from(&api, Method::GET, FRIEND).await;
    refused.is(401, "UNAUTHORIZED");
    assert_eq!(refused.header("access-control-allow-origin"), FRIEND);
    let unknown = api.request(Method::OPTIONS, "/api/nothing");
    api.ask(unknown).await.is(404, "NOT_FOUND");
}

#[tokio::test]
async fn cors_can_be_switched_off() {
    let api = Api::start_with(|config| config.edge.cors = Cors::Off).await;
    let answer = from(&api, Method::GET, FRIEND).await;
    assert_eq!(
        (
            answer.header("access-control-allow-origin"),
            answer.header("vary")
        ),
        ("", "")
    );
    assert_eq!(from(&api, Method::OPTIONS, FRIEND).await.status, 204);
}

#[tokio::test]
async fn every_answer_tells_browsers_to_be_careful_unless_that_is_off() {
    let expected = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    let careful = Api::start().await;
    let careless = Api::start_with(|config| config.edge.security_headers = false).await;
    for path in ["/api/instances", "/api/nothing", "/livez"] {
        for (name, value) in expected {
            assert_eq!(careful.get(path).await.header(name), value, "{path}");
            assert_eq!(careless.get(path).await.header(name), "", "{path}");
        }
    }
}

#[tokio::test]
async fn what_the_caller_has_already_is_not_sent_again() {
    let api = Api::start().await;
    let id = api.create("tagged").await;
    for path in [
        format!("/api/instances/{id}"),
        format!("/api/instances/{id}/events"),
        "/api/instances".to_owned(),
    ] {
        let first = api.get(&path).await;
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() == 34, "{path}: {tag}");
        let ask = async |method: Method, known: &str| {
            let request = api.request(method, &path).header("if-none-match", known);
            api.ask(request).await
        };
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            for method in [Method::GET, Method::HEAD] {
                let again = ask(method, &known).await;
                assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path} {known}");
                assert_eq!(again.header("etag"), tag);
                assert_eq!(again.header("content-length"), "");
            }
        }
        assert_eq!(ask(Method::GET, "\"x\"").await.body, first.body);
    }
    // Another state is another tag.
    let path = format!("/api/instances/{id}");
    let tag = api.get(&path).await.header("etag").to_owned();
    let used = json!({"lastUsedAt": "2026-01-01T00:00:00Z"});
    assert_eq!(
        api.put(&format!("{path}/last-used"), &used).await.status,
        200
    );
    let changed = api
        .request(Method::GET, &path)
        .header("if-none-match", &tag);
    assert_eq!(api.ask(changed).await.status, 200);
    // A tag is for what is read, and a failure is nothing to keep.
    let missing = api
        .request(Method::GET, "/api/instances/inst_0")
        .header("if-none-match", "*");
    let missing = api.ask(missing).await;
    missing.is(404, "INSTANCE_NOT_FOUND");
    assert_eq!(missing.header("etag"), "");
}
