//! TLS settings for every connection this process opens.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;

/// TLS 1.2 or 1.3 by `ring`, trusting the system's certificate authorities (or those named by
/// `SSL_CERT_FILE`), without a client certificate.
///
/// The provider is named here rather than installed for the whole process, so no caller depends
/// on what `main` did first. Fails when the system has no usable root certificates.
pub fn client_config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth())
}
