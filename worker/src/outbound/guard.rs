//! What a URL given by somebody else may name.

use std::net::IpAddr;

use http::HeaderValue;
use url::{Host, Url};

use super::{FailureReason, address};

const MAX_URL_BYTES: usize = 2048;
/// RFC 1035 limits, without the trailing dot.
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// Ports of services that would obey an HTTP request: Docker, etcd, Redis, kubelet.
const SERVICE_PORTS: [u16; 6] = [2375, 2376, 2379, 2380, 6379, 10250];

/// Suffixes of names that mean something only inside a network.
const INTERNAL_SUFFIXES: [&str; 6] = [
    ".localhost",
    ".local",
    ".internal",
    ".svc",
    ".cluster.local",
    ".home.arpa",
];

/// The address rules of one deployment. The default is the strictest: public hosts over HTTPS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guard {
    /// Also allow loopback, private networks and internal names. Link-local addresses, cloud
    /// metadata services and multicast stay refused.
    pub allow_private: bool,
    /// Also allow `http://`.
    pub allow_http: bool,
}

/// A URL that passed [`Guard::check_url`]. Its addresses are still unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) host: Host<String>,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// The `Host` header: the port is left out when it is the scheme's own.
    pub(super) authority: HeaderValue,
    /// Path and query.
    pub(super) path: String,
}

/// Which rule a URL breaks. The messages name the rule, never an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    /// Over 2048 bytes.
    #[error("the URL is longer than 2048 bytes")]
    TooLong,
    /// Spaces, control characters and backslashes are dropped or repaired by URL parsers, each in
    /// its own way.
    #[error("the URL contains a space, a control character or a backslash")]
    Characters,
    /// Neither `https://` nor `http://`.
    #[error("the URL must start with https:// (or http:// where that is allowed)")]
    Scheme,
    /// Plain HTTP where HTTPS is required.
    #[error("the URL must use https")]
    HttpForbidden,
    /// Not a URL, or its host is not a valid name or address.
    #[error("the URL is malformed")]
    Malformed,
    /// `user:password@`.
    #[error("the URL must not contain credentials")]
    UserInfo,
    /// `#…`.
    #[error("the URL must not contain a fragment")]
    Fragment,
    /// A port of the system or of a known service.
    #[error("the URL's port is not allowed")]
    Port,
    /// A name of an internal network, or an address that is not public.
    #[error("the URL's address is not allowed")]
    Address,
}

impl From<UrlRefused> for FailureReason {
    fn from(why: UrlRefused) -> Self {
        match why {
            UrlRefused::Address => Self::AddressBlocked,
            UrlRefused::TooLong
            | UrlRefused::Characters
            | UrlRefused::Scheme
            | UrlRefused::HttpForbidden
            | UrlRefused::Malformed
            | UrlRefused::UserInfo
            | UrlRefused::Fragment
            | UrlRefused::Port => Self::UrlInvalid,
        }
    }
}

impl Guard {
    /// Checks everything that can be known without DNS. Run it when a URL is accepted and again
    /// before each use, since the rules may have changed in between.
    pub fn check_url(self, text: &str) -> Result<Target, UrlRefused> {
        check_text(text)?;
        let url = Url::parse(text).map_err(|_| UrlRefused::Malformed)?;
        if url.scheme() == "http" && !self.allow_http {
            return Err(UrlRefused::HttpForbidden);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlRefused::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlRefused::Fragment);
        }
        let port = url.port_or_known_default().ok_or(UrlRefused::Port)?;
        self.check_port(port)?;
        let host = self.check_host(url.host().ok_or(UrlRefused::Malformed)?.to_owned())?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        Ok(Target {
            port,
            tls: url.scheme() == "https",
            authority: HeaderValue::try_from(authority).map_err(|_| UrlRefused::Malformed)?,
            path: match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            },
            host,
        })
    }

    /// Checks a host and drops the trailing dot of a fully qualified name.
    pub(super) fn check_host(self, host: Host<String>) -> Result<Host<String>, UrlRefused> {
        let name = match host {
            Host::Ipv4(ip) if self.allows(ip.into()) => return Ok(host),
            Host::Ipv6(ip) if self.allows(ip.into()) => return Ok(host),
            Host::Ipv4(_) | Host::Ipv6(_) => return Err(UrlRefused::Address),
            Host::Domain(name) => name.strip_suffix('.').map(str::to_owned).unwrap_or(name),
        };
        if !is_dns_name(&name) {
            return Err(UrlRefused::Malformed);
        }
        if !self.allow_private && is_internal_name(&name) {
            return Err(UrlRefused::Address);
        }
        Ok(Host::Domain(name))
    }

    /// Whether a connection to `ip` may be opened.
    #[must_use]
    pub fn allows(self, ip: IpAddr) -> bool {
        address::is_public(ip) || (self.allow_private && address::is_private(ip))
    }

    fn check_port(self, port: u16) -> Result<(), UrlRefused> {
        let allowed = match port {
            443 => true,
            80 => self.allow_http,
            _ => port >= 1024 && !SERVICE_PORTS.contains(&port),
        };
        if allowed {
            Ok(())
        } else {
            Err(UrlRefused::Port)
        }
    }
}

/// What must be seen before a parser repairs it: `https:host` and `https:///host` both become
/// `https://host`, and tabs and line breaks vanish.
fn check_text(text: &str) -> Result<(), UrlRefused> {
    if text.len() > MAX_URL_BYTES {
        return Err(UrlRefused::TooLong);
    }
    if text
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
    {
        return Err(UrlRefused::Characters);
    }
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if rest.starts_with('/') => Err(UrlRefused::Malformed),
        Some(_) => Ok(()),
        None => Err(UrlRefused::Scheme),
    }
}

/// Length and shape only; the URL parser has already lower-cased and punycoded it. Underscores
/// are tolerated because names of real hosts have them.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    name.len() <= MAX_NAME_BYTES && name.split('.').all(is_label)
}

fn is_internal_name(name: &str) -> bool {
    !name.contains('.')
        || INTERNAL_SUFFIXES
            .iter()
            .any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Guard = Guard {
        allow_private: false,
        allow_http: false,
    };
    const LAX: Guard = Guard {
        allow_private: true,
        allow_http: true,
    };

    fn refusal(url: &str) -> Option<UrlRefused> {
        Guard {
            allow_http: true,
            ..STRICT
        }
        .check_url(url)
        .err()
    }

    #[test]
    fn forms_that_parsers_repair_or_disagree_about_are_refused() {
        use UrlRefused as R;
        let long = format!("https://example.com/{}", "x".repeat(2029));
        for (url, rule) in [
            ("ftp://example.com/", R::Scheme),
            ("file:///etc/passwd", R::Scheme),
            ("gopher://example.com/", R::Scheme),
            ("data:text/plain,x", R::Scheme),
            ("javascript:alert(1)", R::Scheme),
            ("ws://example.com/", R::Scheme),
            ("//example.com/", R::Scheme),
            ("example.com", R::Scheme),
            ("", R::Scheme),
            ("https:169.254.169.254/", R::Scheme),
            ("https:/\\169.254.169.254/", R::Characters),
            ("https:///x", R::Malformed),
            ("https://u:p@example.com/", R::UserInfo),
            ("https://example.com@169.254.169.254/", R::UserInfo),
            ("https://example.com\\@169.254.169.254/", R::Characters),
            ("https://example.com/#x", R::Fragment),
            (" https://example.com/", R::Characters),
            ("https://example.com/ ", R::Characters),
            ("https://exa\tmple.com/", R::Characters),
            ("https://example.com/\r\nX: y", R::Characters),
            ("https://example.com/\0", R::Characters),
            (&long, R::TooLong),
            ("https://example.com:0/", R::Port),
            ("https://example.com:22/", R::Port),
            ("https://example.com:25/", R::Port),
            ("https://example.com:6379/", R::Port),
            ("https://example.com:2375/", R::Port),
            ("https://example.com:10250/", R::Port),
            ("https://example.com:65536/", R::Malformed),
        ] {
            assert_eq!(refusal(url), Some(rule), "{url:?}");
        }
        assert_eq!(
            STRICT.check_url("http://example.com/"),
            Err(R::HttpForbidden)
        );
    }

    #[test]
    fn internal_and_invalid_names_are_refused_and_internal_ones_allowed_on_request() {
        for name in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "foo.localhost",
            "ｌocalhost",
            "%6c%6f%63alhost",
            "redis",
            "metadata",
            "x.local",
            "x.internal",
            "metadata.google.internal",
            "redis.default.svc",
            "x.cluster.local",
            "x.home.arpa",
        ] {
            let url = format!("https://{name}/");
            assert_eq!(refusal(&url), Some(UrlRefused::Address), "{name}");
            assert!(LAX.check_url(&url).is_ok(), "{name}");
        }
        let label = format!("{}.com", "a".repeat(64));
        let name = format!("{}a.com", "a.".repeat(125));
        assert_eq!(name.len(), 255);
        for name in [label.as_str(), name.as_str(), "a..b", "-a.com", "a-.com"] {
            assert_eq!(
                refusal(&format!("https://{name}/")),
                Some(UrlRefused::Malformed),
                "{name}"
            );
        }
    }

    #[test]
    fn every_spelling_of_a_special_address_is_refused() {
        for host in "127.0.0.1 2130706433 0x7f000001 0177.0.0.1 017700000001 127.1 127.0.1 0x7f.1 \
            0 0.0.0.0 ①②⑦.⓪.⓪.① 127。0。0。1 %31%32%37.0.0.1 127.0.0.1. 169.254.169.254 \
            169.254.170.2 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 \
            100.100.100.200 192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 \
            240.0.0.1 255.255.255.255 [::1] [::] [::ffff:127.0.0.1] [::ffff:a9fe:a9fe] \
            [::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::1] [2002:7f00:1::] [fe80::1] [fc00::1] \
            [fd00:ec2::254] [fec0::1] [ff02::1] [2001::1] [2001:db8::1] [3fff::1] [5f00::1] \
            [100::1]"
            .split_whitespace()
        {
            assert_eq!(
                refusal(&format!("https://{host}/")),
                Some(UrlRefused::Address),
                "{host}"
            );
        }
        for host in [
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "256.256.256.256",
            "1.2.3.4.5",
            "08.0.0.1",
        ] {
            assert_eq!(
                refusal(&format!("https://{host}/")),
                Some(UrlRefused::Malformed),
                "{host}"
            );
        }
    }

    #[test]
    fn metadata_addresses_stay_refused_where_private_networks_are_allowed() {
        for host in [
            "169.254.169.254",
            "100.100.100.200",
            "[fd00:ec2::254]",
            "0.0.0.0",
        ] {
            let url = format!("http://{host}/");
            assert_eq!(LAX.check_url(&url), Err(UrlRefused::Address), "{host}");
        }
        for host in [
            "127.0.0.1:8080",
            "10.0.0.1",
            "[::1]:3000",
            "sink:9000",
            "my_sink:9000",
        ] {
            assert!(LAX.check_url(&format!("http://{host}/")).is_ok(), "{host}");
        }
    }

    #[test]
    fn public_urls_pass_and_keep_their_parts() {
        for (url, authority, path) in [
            ("https://example.com", "example.com", "/"),
            (
                "https://example.com:8443/a?b=c",
                "example.com:8443",
                "/a?b=c",
            ),
            ("https://example.com:443/", "example.com", "/"),
            ("https://münchen.example/", "xn--mnchen-3ya.example", "/"),
            ("https://example.com./", "example.com", "/"),
            ("https://[2606:4700::1]/", "[2606:4700::1]", "/"),
            ("https://1.1.1.1/", "1.1.1.1", "/"),
        ] {
            let target = STRICT
                .check_url(url)
                .unwrap_or_else(|why| panic!("{url}: {why}"));
            assert_eq!(target.authority, authority, "{url}");
            assert_eq!(target.path, path, "{url}");
            assert!(target.tls);
        }
    }
}
