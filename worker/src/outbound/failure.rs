//! Why an exchange failed: a closed set of words that logs, listings and clients may rely on.

use std::fmt;
use std::io;

use serde::{Serialize, Serializer};

/// One reason. Its `Display` and JSON form are stable strings such as `timeout_connect` or
/// `http_503`; none of them holds a host name or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// `http_<status>`: an answer came, and its status was not a success.
    Http(u16),
    /// The answer was a redirect, which is never followed.
    Redirect,
    /// The name was not resolved in time.
    TimeoutDns,
    /// No address accepted the connection in time.
    TimeoutConnect,
    /// The TLS handshake did not end in time.
    TimeoutTls,
    /// No complete response head came in time.
    TimeoutResponse,
    /// The name does not resolve.
    DnsError,
    /// The peer refused the connection.
    ConnectionRefused,
    /// The peer closed the connection before a complete response head.
    ConnectionReset,
    /// No route to the address, or the network layer refused it.
    NetworkUnreachable,
    /// The TLS handshake failed for another reason than the certificate.
    TlsError,
    /// The certificate is expired, for another name, or not trusted.
    TlsCertificate,
    /// What came back is not HTTP/1.1.
    ProtocolError,
    /// The response head is over the limit.
    ResponseTooLarge,
    /// The address is not one this deployment may call.
    AddressBlocked,
    /// The URL is malformed or uses a form that is refused.
    UrlInvalid,
    /// The proxy on the way out does not work; the receiver has nothing to do with it.
    ProxyError,
    /// A fault on our side; nothing was sent.
    Internal,
}

impl FailureReason {
    /// A label with few values, for metrics.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Http(200..=299) => "2xx",
            Self::Http(300..=399) | Self::Redirect => "3xx",
            Self::Http(400..=499) => "4xx",
            Self::Http(500..=599) => "5xx",
            Self::TimeoutDns | Self::TimeoutConnect | Self::TimeoutTls | Self::TimeoutResponse => {
                "timeout"
            }
            Self::DnsError => "dns",
            Self::ConnectionRefused | Self::ConnectionReset | Self::NetworkUnreachable => "connect",
            Self::TlsError | Self::TlsCertificate => "tls",
            Self::AddressBlocked => "blocked",
            Self::Http(_)
            | Self::ProtocolError
            | Self::ResponseTooLarge
            | Self::UrlInvalid
            | Self::ProxyError
            | Self::Internal => "other",
        }
    }

    /// True for each of the four timeouts.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        self.class() == "timeout"
    }

    /// Classifies what a socket or the TLS layer on top of it reported.
    pub(super) fn from_io(error: &io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (inner, error.kind()) {
            (Some(rustls::Error::InvalidCertificate(_)), _) => Self::TlsCertificate,
            (Some(_), _) => Self::TlsError,
            (None, io::ErrorKind::ConnectionRefused) => Self::ConnectionRefused,
            (
                None,
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof,
            ) => Self::ConnectionReset,
            (None, io::ErrorKind::TimedOut) => Self::TimeoutConnect,
            (None, _) => Self::NetworkUnreachable,
        }
    }

    /// Classifies a failed HTTP/1.1 exchange on an established connection.
    pub(super) fn from_hyper(error: &hyper::Error) -> Self {
        let source = std::error::Error::source(error);
        if error.is_parse_too_large() {
            Self::ResponseTooLarge
        } else if error.is_parse() {
            Self::ProtocolError
        } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            Self::ConnectionReset
        } else if let Some(io) = source.and_then(|source| source.downcast_ref::<io::Error>()) {
            Self::from_io(io)
        } else {
            Self::ProtocolError
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http(status) => return write!(f, "http_{status}"),
            Self::Redirect => "redirect",
            Self::TimeoutDns => "timeout_dns",
            Self::TimeoutConnect => "timeout_connect",
            Self::TimeoutTls => "timeout_tls",
            Self::TimeoutResponse => "timeout_response",
            Self::DnsError => "dns_error",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionReset => "connection_reset",
            Self::NetworkUnreachable => "network_unreachable",
            Self::TlsError => "tls_error",
            Self::TlsCertificate => "tls_certificate",
            Self::ProtocolError => "protocol_error",
            Self::ResponseTooLarge => "response_too_large",
            Self::AddressBlocked => "address_blocked",
            Self::UrlInvalid => "url_invalid",
            Self::ProxyError => "proxy_error",
            Self::Internal => "internal",
        })
    }
}

impl std::error::Error for FailureReason {}

impl Serialize for FailureReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
