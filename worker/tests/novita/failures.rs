//! What may be concluded when a call fails. The rule under test: a create counts as "not done"
//! only when that is proven.

use std::time::Duration;

use crate::provider::{Canned, Provider, client, client_waiting, ok};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use worker::novita::{
    BillingMode, CallContext, CreateRequest, Novita, NovitaClient, NovitaError, ProviderId, Reason,
    ReasonClass, Unclear,
};

async fn create(client: &NovitaClient) -> Result<ProviderId, NovitaError> {
    let request = CreateRequest {
        name: "n".into(),
        product_id: "p".into(),
        cluster_id: "c".into(),
        gpu_num: 1,
        rootfs_size: 10,
        image_url: "i".into(),
        image_auth_id: None,
        ports: vec![],
        envs: vec![],
        tools: vec![],
        command: None,
        entrypoint: None,
        billing_mode: BillingMode::OnDemand,
        min_cuda_version: None,
    };
    client.create(&request, &CallContext::default()).await
}

fn refusal(status: u16, reason: &str, message: &str) -> Canned {
    let body = json!({"code": status, "reason": reason, "message": message, "metadata": {}});
    Canned::Text(status, body.to_string())
}

#[tokio::test]
async fn a_create_that_met_a_closed_port_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = create(&client(&url)).await.unwrap_err();
    assert!(matches!(error, NovitaError::NotSent(_)), "{error:?}");
    assert!(!error.may_have_applied());
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_create_whose_tls_handshake_failed_was_not_sent() {
    let provider = Provider::start([ok(&json!({"id": "a"}))]).await;
    let url = provider.url().replace("http://", "https://");
    let error = create(&client(&url)).await.unwrap_err();
    assert!(matches!(error, NovitaError::NotSent(_)), "{error:?}");
    assert!(provider.lines().is_empty());
}

#[tokio::test]
async fn f1_a_create_that_got_no_usable_answer_may_have_been_applied_and_is_sent_once() {
    for answer in [
        Canned::HangUp,
        Canned::Text(200, "{".into()),
        Canned::Text(200, "{}".into()),
        Canned::Text(200, r#"{"id":""}"#.into()),
        Canned::Text(200, "<html>welcome</html>".into()),
        Canned::Text(204, String::new()),
        Canned::Text(302, String::new()),
        Canned::Text(400, "<html>bad request</html>".into()),
        Canned::Text(403, "<html>blocked</html>".into()),
        Canned::Text(408, String::new()),
        Canned::Text(502, "<html>bad gateway</html>".into()),
        Canned::Text(503, String::new()),
        refusal(400, "SOMETHING_NEW", "?"),
        refusal(400, "CONFLICT", "exists"),
        refusal(500, "UNKNOWN", "?"),
        refusal(500, "INSUFFICIENT_RESOURCE", "?"),
    ] {
        let provider = Provider::start([answer]).await;
        let error = create(&provider.client()).await.unwrap_err();
        assert!(error.may_have_applied(), "{error:?}");
        assert_eq!(provider.lines().len(), 1, "{error:?}");
    }
}

#[tokio::test]
async fn a_listed_refusal_is_final_and_says_what_to_do_next() {
    for (answer, class) in [
        (
            refusal(400, "INSUFFICIENT_RESOURCE", "no host fits"),
            ReasonClass::NextOffer,
        ),
        (refusal(400, "CLUSTER_STATUS", ""), ReasonClass::NextOffer),
        (
            refusal(400, "UNSUPPORTED_BILLING_MODE", ""),
            ReasonClass::NextOffer,
        ),
        (
            refusal(400, "EXPIRED_OR_BALANCE_NOT_ENOUGH", ""),
            ReasonClass::Account,
        ),
        (
            refusal(400, "CREATE_GPU_NUM_LIMIT", ""),
            ReasonClass::Account,
        ),
        (refusal(400, "VALIDATOR_PARAM", ""), ReasonClass::Caller),
        (refusal(400, "IMAGE_NOT_FOUND", ""), ReasonClass::Caller),
    ] {
        let provider = Provider::start([answer]).await;
        let error = create(&provider.client()).await.unwrap_err();
        assert!(
            !error.may_have_applied() && !error.is_transient(),
            "{error:?}"
        );
        let NovitaError::Refused(refusal) = error else {
            panic!("{error:?}")
        };
        assert_eq!(refusal.reason.class(), class);
    }
    let provider = Provider::start([refusal(403, "INVALID_API_KEY", "invalid api-key")]).await;
    let error = create(&provider.client()).await.unwrap_err();
    let NovitaError::Unauthorized(refusal) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.reason, Reason::InvalidApiKey);
    assert!(!error.may_have_applied());
}

/// One answer, byte for byte, for what the canned provider cannot say.
async fn raw(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        // The client may hang up first.
        let _ = stream.write_all(answer).await;
    });
    url
}

#[tokio::test]
async fn a_rate_limit_creates_nothing_and_its_wait_is_read() {
    let url =
        raw(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n").await;
    let error = create(&client(&url)).await.unwrap_err();
    assert!(
        matches!(error, NovitaError::RateLimited { .. }),
        "{error:?}"
    );
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(!error.may_have_applied());

    let url = raw(b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n").await;
    let error = create(&client(&url)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(9)));
    assert!(error.may_have_applied());
}

#[tokio::test]
async fn an_answer_cut_short_is_unclear_unless_its_status_settles_it() {
    let url = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"id\":\"9f3c").await;
    let error = create(&client(&url)).await.unwrap_err();
    assert!(
        matches!(error, NovitaError::Unclear(Unclear::Connection(_))),
        "{error:?}"
    );

    let url = raw(b"HTTP/1.1 429 Slow\r\nContent-Length: 50\r\n\r\n{\"code\"").await;
    let error = create(&client(&url)).await.unwrap_err();
    assert!(
        matches!(error, NovitaError::RateLimited { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let writer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
            .await
            .unwrap();
        let mut written = 0;
        while stream.write_all(&vec![b'x'; 65536]).await.is_ok() {
            written += 65536;
        }
        written
    });
    let client = client(&url);
    let error = client.clusters(&CallContext::default()).await.unwrap_err();
    assert!(
        matches!(error, NovitaError::Unclear(Unclear::Body(_))),
        "{error:?}"
    );
    assert!(writer.await.unwrap() < 32 << 20);
}

#[tokio::test]
async fn a_time_out_is_told_apart_from_a_lost_connection() {
    let provider = Provider::start([Canned::Silence]).await;
    let hasty = client_waiting(&provider.url(), Duration::from_millis(300));
    let error = create(&hasty).await.unwrap_err();
    assert_eq!(error, NovitaError::Unclear(Unclear::Timeout));
    assert!(error.may_have_applied());
    assert_eq!(provider.lines().len(), 1);
    let provider = Provider::start([Canned::HangUp]).await;
    let error = create(&provider.client()).await.unwrap_err();
    assert!(
        matches!(error, NovitaError::Unclear(Unclear::Connection(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_connection_that_dies_under_a_second_request_does_not_repeat_it() {
    let provider = Provider::start([ok(&json!({"data": []})), Canned::HangUp]).await;
    let client = provider.client();
    client.clusters(&CallContext::default()).await.unwrap();
    let error = create(&client).await.unwrap_err();
    assert!(error.may_have_applied(), "{error:?}");
    assert_eq!(provider.lines().len(), 2);
}

#[tokio::test]
async fn lifecycle_calls_meet_the_documented_oddities() {
    let context = CallContext::default();
    let id = ProviderId::new("a").unwrap();

    let provider = Provider::start([refusal(400, "OPERATION_LIMIT", "invalid state change")]).await;
    let error = provider.client().start(&id, &context).await.unwrap_err();
    assert!(
        matches!(error, NovitaError::InvalidStateChange(_)),
        "{error:?}"
    );
    assert!(
        error.may_have_applied(),
        "the provider may start it all the same"
    );

    for gone in [
        Canned::Text(404, "404 page not found".into()),
        refusal(400, "RESOURCE_NOT_FOUND", "x"),
        refusal(400, "NOT_FOUNT", "x"),
        refusal(400, "", "instance not fount"),
    ] {
        let provider = Provider::start([gone]).await;
        let error = provider.client().delete(&id, &context).await.unwrap_err();
        assert!(matches!(error, NovitaError::NotFound(_)), "{error:?}");
    }

    let provider =
        Provider::start([refusal(400, "PREPAID_INSTANCE_NOT_SUPPORT_RELEASE", "")]).await;
    let error = provider.client().delete(&id, &context).await.unwrap_err();
    let NovitaError::Refused(refusal) = error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.reason, Reason::PrepaidNotReleasable);
}

#[tokio::test]
async fn an_instance_other_than_the_one_asked_for_is_not_believed() {
    let provider = Provider::start([ok(&json!({"id": "b"})), ok(&json!({}))]).await;
    let client = provider.client();
    for _ in 0..2 {
        let answer = client
            .get(&ProviderId::new("a").unwrap(), &CallContext::default())
            .await;
        assert!(
            matches!(answer, Err(NovitaError::Unclear(Unclear::Body(_)))),
            "{answer:?}"
        );
    }
}
