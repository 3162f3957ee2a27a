//! The process-wide TLS provider.

/// Makes `ring` the process's TLS provider; a provider that was installed before stays.
pub fn install() {
    // The only failure is that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
