//! The web page: small files of our own, in the binary.

use http::StatusCode;
use http::header::CONTENT_SECURITY_POLICY;

use crate::reply::Reply;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// Nothing but what this process serves is run, shown or asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asset {
    /// The fleet.
    Index,
    /// What it does.
    Script,
    /// What it does about webhooks.
    WebhooksScript,
    /// How all pages look.
    Style,
    /// The API, for people.
    Docs,
    /// What that does.
    DocsScript,
}

impl Asset {
    /// The file.
    pub(crate) fn reply(self) -> Reply {
        let (media_type, bytes): (_, &'static [u8]) = match self {
            Self::Index => (HTML, include_bytes!("page/index.html")),
            Self::Script => (SCRIPT, include_bytes!("page/app.js")),
            Self::WebhooksScript => (SCRIPT, include_bytes!("page/webhooks.js")),
            Self::Style => (STYLE, include_bytes!("page/style.css")),
            Self::Docs => (HTML, include_bytes!("page/docs.html")),
            Self::DocsScript => (SCRIPT, include_bytes!("page/docs.js")),
        };
        let reply = Reply::file(StatusCode::OK, media_type, bytes);
        reply.with(CONTENT_SECURITY_POLICY, POLICY.to_owned())
    }
}
