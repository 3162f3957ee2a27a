//! Through a proxy: the same addresses may be reached as without, and its own troubles are its own.

use std::time::Duration;

use bytes::Bytes;
use devstack::receiver::{Habit, Receiver, closed_port};
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use worker::outbound::{CallContext, Guard, Proxy};
use worker::webhook::{Deliverer, DelivererOptions, Delivery, Outcome};

use crate::support::{LAX, outbound};

/// A proxy that opens the tunnel it is asked for; the first lines it was told come out of the channel.
async fn proxy() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:pass@{}", listener.local_addr().unwrap());
    let (told, heads) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                client.read_buf(&mut head).await.unwrap();
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            told.send(head).unwrap();
            let mut server = TcpStream::connect(target).await.unwrap();
            client
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (url, heads)
}

async fn deliver(guard: Guard, proxy: &str, url: String) -> Outcome {
    let options = DelivererOptions {
        timeout: Duration::from_secs(1),
        secrets: vec![],
        user_agent: HeaderValue::from_static("test"),
    };
    let delivery = Delivery {
        id: "msg_1".into(),
        url,
        body: Bytes::from_static(b"{}"),
        headers: std::collections::BTreeMap::new(),
        context: CallContext::default(),
    };
    let outbound = outbound(guard).through(Some(Proxy::parse(proxy).unwrap()));
    let deliverer = Deliverer::new(outbound, options);
    deliverer.deliver(&delivery, 1).await.outcome
}

fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(failure) => failure.reason.to_string(),
        Outcome::Delivered { .. } | Outcome::Gone => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn the_proxy_is_told_a_vetted_address_and_never_a_name() {
    let receiver = Receiver::with(Habit::KeepsOpen).await.unwrap();
    let (proxy, mut heads) = proxy().await;
    let port = receiver.addr().port();
    let outcome = deliver(LAX, &proxy, format!("http://localhost:{port}/hook")).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
    let head = heads.recv().await.unwrap();
    assert!(
        head.starts_with(&format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n")),
        "{head}"
    );
    assert!(head.contains("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n"));
    let request = &receiver.requests()[0];
    assert!(request.contains(&format!("\r\nhost: localhost:{port}\r\n")));
    assert!(!request.to_lowercase().contains("proxy"), "{request}");
}

#[tokio::test]
async fn what_may_not_be_reached_may_not_be_reached_through_a_proxy_either() {
    let way_out = Receiver::with(Habit::Silent).await.unwrap();
    let proxy = format!("http://{}", way_out.addr());
    let strict = Guard {
        allow_private: false,
        allow_http: true,
    };
    for url in [
        "http://127.0.0.1:8080/",
        "http://169.254.169.254/",
        "http://[::1]:8080/",
    ] {
        let outcome = deliver(strict, &proxy, url.to_owned()).await;
        assert_eq!(reason(&outcome), "address_blocked", "{url}");
    }
    assert_eq!(way_out.connections(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_the_proxy_is_told_apart_from_what_it_says_of_the_receiver() {
    for (answer, expected) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "address_blocked"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "connection_refused"),
        ("HTTP/1.1 504 Gateway Timeout\r\n\r\n", "timeout_connect"),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "proxy_error",
        ),
        ("HTTP/1.1 500 X\r\n\r\n", "proxy_error"),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "proxy_error"),
        ("HTTP/1.1 200", "proxy_error"),
    ] {
        let way_out = Receiver::saying(answer).await.unwrap();
        let proxy = format!("http://{}", way_out.addr());
        let outcome = deliver(LAX, &proxy, "http://127.0.0.1:8080/".to_owned()).await;
        assert_eq!(reason(&outcome), expected, "{answer:?}");
    }
    let silent = Receiver::with(Habit::Silent).await.unwrap();
    let nobody = closed_port().await.unwrap();
    for proxy in [silent.addr(), nobody] {
        let url = "http://127.0.0.1:8080/".to_owned();
        let outcome = deliver(LAX, &format!("http://{proxy}"), url).await;
        assert_eq!(reason(&outcome), "proxy_error");
    }
}
