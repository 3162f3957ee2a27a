//! The HTTPS client of the provider's first API version.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::fail_point::FailPoint;

use super::base_url::{self, InvalidBaseUrl};
use super::wire::{CreateBody, Created, Data, InstanceIdBody, InstanceReply, TemplateReply};
use super::{
    CallContext, Cluster, CreateRequest, Instance, InstancePage, ListQuery, Novita, NovitaError,
    Product, ProductQuery, ProviderId, RegistryAuth, Template, Unclear,
};
use crate::outbound::{client_config, retry_after};

/// A page of a hundred instances with full environments stays well below this.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// Finds a dead HTTP/2 connection long before the system would.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The provider's key. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct ApiKey(HeaderValue);

/// The key is empty or has characters that no header can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be non-empty visible ASCII")]
pub struct InvalidApiKey;

impl ApiKey {
    /// Takes the key as the provider shows it, without `Bearer`.
    pub fn new(key: &str) -> Result<Self, InvalidApiKey> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidApiKey);
        }
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| InvalidApiKey)?;
        bearer.set_sensitive(true);
        Ok(Self(bearer))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

/// Where the provider is and how long it may take.
#[derive(Debug, Clone)]
pub struct NovitaOptions {
    /// `https://api.novita.ai`, with or without the API's path.
    pub base_url: String,
    /// The key.
    pub api_key: ApiKey,
    /// For calls that only read.
    pub read_timeout: Duration,
    /// For create, start, stop, restart, delete. Short ones only make outcomes unclear.
    pub write_timeout: Duration,
    /// For opening a connection, TLS included; 3 s is customary.
    pub connect_timeout: Duration,
}

/// Why a client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The base URL is not one.
    #[error("base URL: {0}")]
    BaseUrl(#[from] InvalidBaseUrl),
    /// The system's root certificates cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client refused its settings.
    #[error("HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// The client; cheap to clone, one connection pool for all clones.
///
/// It follows no redirect and never repeats a request that may have been sent.
#[derive(Debug, Clone)]
pub struct NovitaClient {
    http: Client,
    base: String,
    read_timeout: Duration,
    write_timeout: Duration,
}

impl NovitaClient {
    /// A client that has not connected yet. Proxies are taken from the environment.
    pub fn new(options: NovitaOptions) -> Result<Self, SetupError> {
        let mut tls = client_config()?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, options.api_key.0),
            // Documented as required on every endpoint, reads included.
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]);
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .default_headers(headers)
            .user_agent(concat!("novita-worker/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .build()?;
        Ok(Self {
            http,
            base: base_url::gpu_v1(&options.base_url)?,
            read_timeout: options.read_timeout,
            write_timeout: options.write_timeout,
        })
    }

    async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
        context: &CallContext,
    ) -> Result<T, NovitaError> {
        let request = self.http.get(format!("{}{path}", self.base)).query(query);
        let body = exchange(request.timeout(self.read_timeout), context).await?;
        decode(&body)
    }

    async fn write<T>(
        &self,
        operation: &'static str,
        body: &impl Serialize,
        context: &CallContext,
        read_reply: impl FnOnce(&[u8]) -> Result<T, NovitaError>,
    ) -> Result<T, NovitaError> {
        let request = self
            .http
            .post(format!("{}/gpu/instance/{operation}", self.base))
            .json(body);
        let body = exchange(request.timeout(self.write_timeout), context).await?;
        read_reply(&body)
    }

    /// The body of an accepted action carries nothing, and may be empty.
    async fn act(
        &self,
        operation: &'static str,
        instance_id: &ProviderId,
        context: &CallContext,
    ) -> Result<(), NovitaError> {
        self.write(operation, &InstanceIdBody { instance_id }, context, |_| {
            Ok(())
        })
        .await
    }
}

impl Novita for NovitaClient {
    async fn clusters(&self, context: &CallContext) -> Result<Vec<Cluster>, NovitaError> {
        self.read("/clusters", &(), context).await.map(Data::into)
    }

    async fn products(
        &self,
        query: &ProductQuery,
        context: &CallContext,
    ) -> Result<Vec<Product>, NovitaError> {
        self.read("/products", query, context).await.map(Data::into)
    }

    async fn template(&self, id: &str, context: &CallContext) -> Result<Template, NovitaError> {
        let query = [("templateId", id)];
        let TemplateReply { template } = self.read("/template", &query, context).await?;
        Ok(template)
    }

    async fn registry_auths(
        &self,
        context: &CallContext,
    ) -> Result<Vec<RegistryAuth>, NovitaError> {
        self.read("/repository/auths", &(), context)
            .await
            .map(Data::into)
    }

    async fn create(
        &self,
        request: &CreateRequest,
        context: &CallContext,
    ) -> Result<ProviderId, NovitaError> {
        let id = |body: &[u8]| {
            FailPoint::CreateAnswered.reached();
            let Created { id } = decode(body)?;
            ProviderId::new(id).ok_or_else(|| unusable("no id"))
        };
        self.write("create", &CreateBody::from(request), context, id)
            .await
    }

    async fn get(&self, id: &ProviderId, context: &CallContext) -> Result<Instance, NovitaError> {
        let query = [("instanceId", id.as_str())];
        let reply = self.read("/gpu/instance", &query, context).await?;
        let (InstanceReply::Wrapped { instance } | InstanceReply::Bare(instance)) = reply;
        if instance.id == id.as_str() {
            Ok(*instance)
        } else {
            Err(unusable("another id"))
        }
    }

    async fn list(
        &self,
        query: &ListQuery,
        context: &CallContext,
    ) -> Result<InstancePage, NovitaError> {
        self.read("/gpu/instances", query, context).await
    }

    async fn start(&self, id: &ProviderId, context: &CallContext) -> Result<(), NovitaError> {
        self.act("start", id, context).await
    }

    async fn stop(&self, id: &ProviderId, context: &CallContext) -> Result<(), NovitaError> {
        self.act("stop", id, context).await
    }

    async fn restart(&self, id: &ProviderId, context: &CallContext) -> Result<(), NovitaError> {
        self.act("restart", id, context).await
    }

    async fn migrate(&self, id: &ProviderId, context: &CallContext) -> Result<(), NovitaError> {
        self.act("migrate", id, context).await
    }

    async fn delete(&self, id: &ProviderId, context: &CallContext) -> Result<(), NovitaError> {
        self.act("delete", id, context).await
    }
}

/// The body of a successful answer.
async fn exchange(request: RequestBuilder, context: &CallContext) -> Result<Bytes, NovitaError> {
    let mut headers = HeaderMap::new();
    context.apply(&mut headers);
    let response = request.headers(headers).send().await.map_err(send_failed)?;
    let status = response.status();
    let wait = retry_after(response.headers(), SystemTime::now());
    match body(response).await {
        Ok(body) if status.is_success() => Ok(body),
        Ok(body) => Err(NovitaError::from_answer(status, wait, &body)),
        // The status alone may still settle it; an answer cut short by a refusal is a refusal.
        Err(_) if !status.is_success() => Err(NovitaError::from_answer(status, wait, b"")),
        Err(unclear) => Err(NovitaError::Unclear(unclear)),
    }
}

async fn body(mut response: Response) -> Result<Bytes, Unclear> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(Unclear::Body(format!("over {MAX_BODY_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Only a failure to connect, or to build the request, proves that nothing was sent.
fn send_failed(error: reqwest::Error) -> NovitaError {
    if error.is_connect() || error.is_builder() {
        NovitaError::NotSent(causes(error))
    } else {
        NovitaError::Unclear(broken(error))
    }
}

fn broken(error: reqwest::Error) -> Unclear {
    if error.is_timeout() {
        Unclear::Timeout
    } else {
        Unclear::Connection(causes(error))
    }
}

/// The whole chain, without the URL: `reqwest` shows only the outermost link.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, NovitaError> {
    serde_json::from_slice(body).map_err(|error| {
        // Its full text quotes what it read, which may be a secret.
        let (line, column) = (error.line(), error.column());
        unusable(&format!("{:?} error at {line}:{column}", error.classify()))
    })
}

fn unusable(why: &str) -> NovitaError {
    NovitaError::Unclear(Unclear::Body(why.to_owned()))
}
