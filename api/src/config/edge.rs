//! What callers are told and allowed at the edge: how often they may ask, and from which pages.

use clap::Args;
use http::HeaderValue;
use shared::config::Reader;
use shared::rate::RatePolicy;
use url::Url;

use crate::cors::Cors;

const MAX_ORIGINS: usize = 100;

/// Flags and variables about it.
#[derive(Debug, Clone, Args)]
pub(super) struct EdgeArgs {
    /// Requests that one caller may ask per window, at all replicas together; 0 for no limit (0 to 1000000)
    #[arg(long, env = "RATE_LIMIT_MAX_REQUESTS", default_value = "0")]
    rate_limit_max_requests: String,
    /// Length of that window, in ms (1000 to 3600000)
    #[arg(long, env = "RATE_LIMIT_WINDOW_MS", default_value = "900000")]
    rate_limit_window_ms: String,
    /// Whether pages of other origins may ask
    #[arg(long, env = "ENABLE_CORS", default_value = "true")]
    enable_cors: String,
    /// Which ones: `*`, or a list such as `https://a.example,https://b.example`
    #[arg(long, env = "ALLOWED_ORIGINS", default_value = "*")]
    allowed_origins: String,
    /// Whether answers tell browsers to be careful with them
    #[arg(long, env = "ENABLE_HELMET", default_value = "true")]
    enable_helmet: String,
}

/// The same, read and checked.
#[derive(Debug, Clone)]
pub struct Edge {
    /// How often one caller may ask; `None` for no limit.
    pub rate_limit: Option<RatePolicy>,
    /// From which pages.
    pub cors: Cors,
    /// Whether answers carry security headers.
    pub security_headers: bool,
}

impl EdgeArgs {
    pub(super) fn read(&self, reader: &mut Reader) -> Edge {
        let limit = &self.rate_limit_max_requests;
        let limit = reader.int("RATE_LIMIT_MAX_REQUESTS", limit, 0..=1_000_000) as u32;
        let window = &self.rate_limit_window_ms;
        let window = reader.millis("RATE_LIMIT_WINDOW_MS", window, 1000..=3_600_000);
        let is_enabled = reader.bool("ENABLE_CORS", &self.enable_cors);
        let allowed = self.origins(reader);
        Edge {
            rate_limit: (limit > 0).then_some(RatePolicy { limit, window }),
            cors: if is_enabled { allowed } else { Cors::Off },
            security_headers: reader.bool("ENABLE_HELMET", &self.enable_helmet),
        }
    }

    fn origins(&self, reader: &mut Reader) -> Cors {
        const NAME: &str = "ALLOWED_ORIGINS";
        reader.show(NAME, self.allowed_origins.clone());
        let origins = self.allowed_origins.split(',').map(str::trim);
        let origins: Vec<_> = origins.filter(|origin| !origin.is_empty()).collect();
        if origins == ["*"] {
            return Cors::Any;
        }
        if origins.len() > MAX_ORIGINS {
            reader.problem(NAME, &format!("has more than {MAX_ORIGINS} origins"));
        }
        let mut listed = Vec::new();
        for origin in origins {
            if let Some(header) = origin_header(origin) {
                listed.push(header);
            } else {
                let wanted = "is not an origin such as https://app.example.com:8443";
                reader.problem(NAME, &format!("{origin:?} {wanted}"));
            }
        }
        Cors::Listed(listed)
    }
}

/// An origin as browsers send it: scheme, host and port, and nothing else.
fn origin_header(text: &str) -> Option<HeaderValue> {
    let url = Url::parse(text).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    // Nothing stands for several: whoever wants that would find out too late that it does not work.
    let is_exact = url.origin().ascii_serialization() == text && !text.contains('*');
    HeaderValue::from_str(text)
        .ok()
        .filter(|_| is_web && is_exact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_would_send() {
        for text in [
            "https://a.example",
            "http://localhost:3000",
            "https://a.example:8443",
        ] {
            assert!(origin_header(text).is_some(), "{text}");
        }
        for text in [
            "*",
            "null",
            "a.example",
            "https://a.example/",
            "https://a.example:443",
            "https://A.example",
            "https://*.example",
            "ftp://a.example",
        ] {
            assert!(origin_header(text).is_none(), "{text}");
        }
    }
}
