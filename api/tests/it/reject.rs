//! What cannot be done is said at once, completely, and without touching Redis.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Api, wish};

#[tokio::test]
async fn every_problem_is_told_at_once_in_the_order_of_the_schema() {
    let api = Api::start().await;
    let body = json!({
        "billingMode": "monthly", "webhookUrl": "ftp://x", "region": "MOON-1", "rootfsSize": 10,
        "gpuNum": 0, "templateId": "", "productName": "", "name": "bad name!",
    });
    let answer = api.post("/api/instances", &body).await;
    answer.is(400, "VALIDATION_ERROR");
    assert_eq!(answer.text("/error/message"), "Validation failed");
    let region = "Region must be one of: CN-HK-01, AS-SGP-02, AS-IN-01, US-CA-06, US-WEST-01, \
                  EU-DE-01, EU-WEST-01, OC-AU-01";
    let url = "\"webhookUrl\" must be a valid uri with a scheme matching the http|https pattern";
    let expected = [
        (
            "name",
            "Name must contain only alphanumeric characters, hyphens, and underscores",
        ),
        ("productName", "\"productName\" is not allowed to be empty"),
        ("templateId", "\"templateId\" is not allowed to be empty"),
        ("gpuNum", "GPU number must be at least 1"),
        ("rootfsSize", "Root filesystem size must be at least 20GB"),
        ("region", region),
        ("webhookUrl", url),
        (
            "billingMode",
            "Billing mode must be either \"spot\" or \"onDemand\"",
        ),
    ];
    let expected: Vec<Value> = expected
        .iter()
        .map(|(field, message)| json!({"field": field, "message": message, "value": body[field]}))
        .collect();
    assert_eq!(answer.body["error"]["validationErrors"], json!(expected));
    assert_eq!(api.get("/api/instances").await.body["total"], 0);
}

#[tokio::test]
async fn no_body_at_all_is_an_empty_object() {
    let api = Api::start().await;
    let bare = api.request(Method::POST, "/api/instances");
    let typed = api
        .request(Method::POST, "/api/instances")
        .header("content-type", "application/json");
    for request in [bare, typed] {
        let answer = api.ask(request).await;
        answer.is(400, "VALIDATION_ERROR");
        let fields: Vec<_> = answer.body["error"]["validationErrors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| problem["message"].as_str().unwrap())
            .collect();
        let missing = ["name", "productName", "templateId"].map(|f| format!("\"{f}\" is required"));
        assert_eq!(fields, missing);
    }
}

#[tokio::test]
async fn each_kind_of_bad_body_has_its_own_answer() {
    let api = Api::start().await;
    let json = "application/json";
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(40), "]".repeat(40));
    let cases: [(&str, &str, u16, &str); 12] = [
        (json, "{\"name\":", 400, "INVALID_JSON"),
        (json, "{}x", 400, "INVALID_JSON"),
        (json, "{\"a\":1,\"a\":2}", 400, "INVALID_JSON"),
        (json, &deep, 400, "INVALID_JSON"),
        (json, "[\"name\",\"p\",1]", 400, "VALIDATION_ERROR"),
        (json, "null", 400, "VALIDATION_ERROR"),
        (json, "{\"name\":\"a\\u0000\"}", 400, "VALIDATION_ERROR"),
        ("text/plain", "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("application/xml", "<a/>", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            "application/json; charset=utf-16",
            "{}",
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        ("multipart/form-data", "", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("", "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
    ];
    for (media_type, body, status, code) in cases {
        let request = api.request(Method::POST, "/api/instances");
        let request = request.body(body.to_owned());
        let request = match media_type {
            "" => request,
            media_type => request.header("content-type", media_type),
        };
        api.ask(request).await.is(status, code);
    }
    let packed = api.request(Method::POST, "/api/instances").json(&json!({}));
    let packed = api.ask(packed.header("content-encoding", "gzip")).await;
    packed.is(415, "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let api = Api::start_with(|config| config.limits.body_limit = 2048).await;
    let mut body = wish("large").to_string();
    body.push_str(&" ".repeat(2048 - body.len()));
    let post = |body: String| {
        let request = api.request(Method::POST, "/api/instances");
        api.ask(
            request
                .header("content-type", "application/json")
                .body(body),
        )
    };
    assert_eq!(post(body.clone()).await.status, 201);
    body.push(' ');
    post(body).await.is(413, "PAYLOAD_TOO_LARGE");
    post(" ".repeat(60_000)).await.is(413, "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn an_unknown_route_is_404_and_a_wrong_method_405_with_what_is_allowed() {
    let api = Api::start().await;
    for (method, path) in [
        (Method::GET, "/nope"),
        (Method::POST, "/api"),
        (Method::GET, "/api/instances/"),
        (Method::GET, "//api/instances"),
        (Method::GET, "/API/instances"),
        (Method::GET, "/metrics"),
    ] {
        let answer = api.ask(api.request(method.clone(), path)).await;
        answer.is(404, "NOT_FOUND");
        assert_eq!(
            answer.text("/error/message"),
            format!("Route {method} {path} not found")
        );
    }
    for (method, path, allow) in [
        (Method::PUT, "/api/instances", "GET, HEAD, POST"),
        (Method::PATCH, "/api/instances/a", "GET, HEAD, DELETE"),
        (Method::DELETE, "/api/operations/a", "GET, HEAD"),
        (Method::POST, "/health", "GET, HEAD"),
        (Method::POST, "/api/jobs", "GET, HEAD"),
        (Method::DELETE, "/api/jobs/stats", "GET, HEAD"),
        (Method::POST, "/api/jobs/webhook:a", "GET, HEAD, DELETE"),
        (Method::GET, "/api/jobs/webhook:a/retry", "POST"),
        (Method::GET, "/api/jobs/dead/retry", "POST"),
        (Method::GET, "/api/queue/pause", "POST"),
        (Method::DELETE, "/api/queue/resume", "POST"),
        (Method::from_bytes(b"FROB").unwrap(), "/livez", "GET, HEAD"),
    ] {
        let answer = api.ask(api.request(method, path)).await;
        answer.is(405, "METHOD_NOT_ALLOWED");
        assert_eq!(
            answer.header("allow"),
            format!("{allow}, OPTIONS"),
            "{path}"
        );
    }
}
