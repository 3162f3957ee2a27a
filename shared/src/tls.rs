//! The process-wide TLS provider.

/// Makes `ring` the process's TLS provider, without which no HTTP client can be built; a provider
/// that was installed before stays.
pub(crate) fn install() {
    // The only failure is that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
