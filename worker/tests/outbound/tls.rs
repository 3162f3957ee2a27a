//! HTTPS receivers: the certificate must be trusted and for the right name, and a handshake that
//! does not end is its own kind of time-out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use worker::outbound::{CallContext, Outbound};
use worker::webhook::{Deliverer, DelivererOptions, Delivery, Outcome};

use crate::support::{LAX, outbound};

/// Serves one certificate for `name`; returns the port and the certificate.
async fn serve(name: &str) -> (u16, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust us ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await
                .unwrap();
        }
    });
    (port, cert.der().clone())
}

fn trusting(cert: CertificateDer<'static>) -> Outbound {
    let mut roots = RootCertStore::empty();
    roots.add(cert).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Outbound::with_tls(LAX, config)
}

async fn deliver(outbound: Outbound, url: String) -> Outcome {
    let options = DelivererOptions {
        timeout: Duration::from_secs(1),
        secrets: vec![],
        user_agent: HeaderValue::from_static("test"),
    };
    let delivery = Delivery {
        id: "msg_01".into(),
        url,
        body: Bytes::from_static(b"{}"),
        headers: std::collections::BTreeMap::new(),
        context: CallContext::default(),
    };
    Deliverer::new(outbound, options)
        .deliver(&delivery, 1)
        .await
        .outcome
}

fn reason(outcome: &Outcome) -> String {
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    failure.reason.to_string()
}

#[tokio::test]
async fn a_trusted_certificate_for_the_host_is_accepted_and_any_other_is_not() {
    let (port, cert) = serve("127.0.0.1").await;
    let url = format!("https://127.0.0.1:{port}/");
    let trusted = deliver(trusting(cert.clone()), url.clone()).await;
    assert_eq!(trusted, Outcome::Delivered { status: 200 });

    let other_name = deliver(trusting(cert), format!("https://localhost:{port}/")).await;
    assert_eq!(reason(&other_name), "tls_certificate");
    let untrusted = deliver(outbound(LAX), url).await;
    assert_eq!(reason(&untrusted), "tls_certificate");
}

#[tokio::test]
async fn a_handshake_that_never_ends_times_out_as_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    assert_eq!(reason(&deliver(outbound(LAX), url).await), "timeout_tls");
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_is_a_tls_error() {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", receiver.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = receiver.accept().await.unwrap();
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    });
    assert_eq!(reason(&deliver(outbound(LAX), url).await), "tls_error");
}
