//! Where webhooks go, in which shape, and how far they may reach.

use std::time::Duration;

use clap::Args;
use shared::config::{Environment, Reader};

use crate::outbound::Proxy;
use crate::webhook::Secret;

/// Each signs every delivery: the current one and ten that are being rotated out.
const MOST_SECRETS: usize = 11;

/// Flags and variables of webhooks.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_field_names,
    reason = "the flags get their names from the fields"
)]
pub(super) struct WebhookArgs {
    /// Where webhooks go for instances that name no URL
    #[arg(long, env = "WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// Signs webhooks (at least 8 characters); several, separated by commas, while rotating
    #[arg(long, env = "WEBHOOK_SECRET")]
    webhook_secret: Option<String>,
    /// File that holds the secrets
    #[arg(long, env = "WEBHOOK_SECRET_FILE")]
    webhook_secret_file: Option<String>,
    /// Longest time for one delivery, in ms (1000 to 30000)
    #[arg(long, env = "WEBHOOK_TIMEOUT", default_value = "10000")]
    webhook_timeout: String,
    /// legacy (flat) or standard (envelope)
    #[arg(long, env = "WEBHOOK_FORMAT", default_value = "legacy")]
    webhook_format: String,
    /// Let webhooks and health checks reach private addresses
    #[arg(long, env = "WEBHOOK_ALLOW_PRIVATE", default_value = "false")]
    webhook_allow_private: String,
    /// Let webhooks go over plain http [default: true outside production]
    #[arg(long, env = "WEBHOOK_ALLOW_HTTP")]
    webhook_allow_http: Option<String>,
    /// HTTP proxy for webhooks, `http://[user:password@]host:port`; names are looked up here all the same
    #[arg(long, env = "WEBHOOK_PROXY", hide_env_values = true)]
    webhook_proxy: Option<String>,
    /// How long the log of deliveries keeps what was sent, in days (1 to 30)
    #[arg(long, env = "WEBHOOK_LOG_DAYS", default_value = "7")]
    webhook_log_days: String,
}

/// Webhooks.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where they go for instances that name no URL.
    pub default_url: Option<String>,
    /// Current secret first.
    pub secrets: Vec<Secret>,
    /// Longest time for one delivery.
    pub timeout: Duration,
    /// Flat or in an envelope.
    pub format: WebhookFormat,
    /// Private addresses may be reached.
    pub allow_private: bool,
    /// Plain http may be used.
    pub allow_http: bool,
    /// The way out, if it is not a direct one.
    pub proxy: Option<Proxy>,
    /// How long the log of deliveries keeps a line.
    pub log_retention: Duration,
}

/// The shape of a webhook's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookFormat {
    /// The predecessor's flat members.
    Legacy,
    /// The Standard Webhooks envelope around them.
    Standard,
}

impl WebhookArgs {
    /// Reads and checks.
    pub(super) fn read(&self, reader: &mut Reader, environment: Environment) -> WebhookConfig {
        let default_url = self.webhook_url.as_deref().and_then(|raw| {
            reader
                .url("WEBHOOK_URL", raw, &["https", "http"])
                .map(|url| url.to_string())
        });
        let secrets = reader.secret(
            "WEBHOOK_SECRET",
            self.webhook_secret.as_deref(),
            self.webhook_secret_file.as_deref(),
            8,
        );
        let secrets: Vec<_> = secrets
            .iter()
            .flat_map(|secrets| secrets.reveal().split(','))
            .filter_map(|text| match Secret::parse(text.trim()) {
                Ok(secret) => Some(secret),
                Err(error) => {
                    reader.problem("WEBHOOK_SECRET", &error.to_string());
                    None
                }
            })
            .collect();
        if secrets.len() > MOST_SECRETS {
            let problem = format!("must not hold more than {MOST_SECRETS} secrets");
            reader.problem("WEBHOOK_SECRET", &problem);
        }
        let allow_http = self
            .webhook_allow_http
            .clone()
            .unwrap_or_else(|| (environment != Environment::Production).to_string());
        let log_days = reader.int("WEBHOOK_LOG_DAYS", &self.webhook_log_days, 1..=30);
        WebhookConfig {
            proxy: self.proxy(reader),
            log_retention: Duration::from_secs(log_days * 24 * 3600),
            default_url,
            secrets,
            timeout: reader.millis("WEBHOOK_TIMEOUT", &self.webhook_timeout, 1000..=30_000),
            format: reader.choice(
                "WEBHOOK_FORMAT",
                &self.webhook_format,
                &[
                    ("legacy", WebhookFormat::Legacy),
                    ("standard", WebhookFormat::Standard),
                ],
            ),
            allow_private: reader.bool("WEBHOOK_ALLOW_PRIVATE", &self.webhook_allow_private),
            allow_http: reader.bool("WEBHOOK_ALLOW_HTTP", &allow_http),
        }
    }

    fn proxy(&self, reader: &mut Reader) -> Option<Proxy> {
        let raw = self
            .webhook_proxy
            .as_deref()
            .filter(|raw| !raw.is_empty())?;
        let proxy = Proxy::parse(raw);
        match &proxy {
            Ok(proxy) => reader.show("WEBHOOK_PROXY", format!("{proxy:?}")),
            // The text may hold a password.
            Err(error) => reader.problem("WEBHOOK_PROXY", &error.to_string()),
        }
        proxy.ok()
    }
}
