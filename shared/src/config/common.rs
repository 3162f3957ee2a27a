//! What every long-running process is told: its surroundings, its admin port, its logs, its end.

use std::time::Duration;

use clap::Args;

use super::reader::Reader;

/// Flags and variables of every long-running process.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// development, production or test; production logs JSON and starts strictly
    #[arg(long, env = "NODE_ENV", default_value = "development")]
    node_env: String,
    /// Another name for `NODE_ENV`
    #[arg(long, env = "APP_ENV")]
    app_env: Option<String>,
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "0.0.0.0")]
    host: String,
    /// Port of /metrics, /livez and /readyz; 0 picks a free one [default: 9464 api, 9465 worker]
    #[arg(long, env = "METRICS_PORT")]
    metrics_port: Option<String>,
    /// Another name for `METRICS_PORT`
    #[arg(long, env = "ADMIN_PORT")]
    admin_port: Option<String>,
    /// error, warn, info or debug; `RUST_LOG` refines it
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// json or pretty [default: json in production, else pretty]
    #[arg(long, env = "LOG_FORMAT")]
    log_format: Option<String>,
    /// How long to keep serving after SIGTERM before closing, in ms (0 to 60000)
    #[arg(long, env = "SHUTDOWN_DELAY_MS", default_value = "0")]
    shutdown_delay_ms: String,
    /// Hard stop after SIGTERM, in ms (1000 to 300000)
    #[arg(long, env = "SHUTDOWN_TIMEOUT_MS", default_value = "25000")]
    shutdown_timeout_ms: String,
}

/// Where the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// A person watches.
    Development,
    /// Machines watch; nothing lax is allowed.
    Production,
    /// A test suite watches.
    Test,
}

/// The same, read and checked.
#[derive(Debug, Clone)]
pub struct Common {
    /// Where the process runs.
    pub environment: Environment,
    /// Address to listen on.
    pub host: std::net::IpAddr,
    /// Port of metrics and probes; 0 picks a free one.
    pub metrics_port: u16,
    /// `error`, `warn`, `info` or `debug`.
    pub log_level: String,
    /// One JSON object a line instead of text for people.
    pub log_json: bool,
    /// How long to keep serving after SIGTERM.
    pub shutdown_delay: Duration,
    /// Hard stop after SIGTERM.
    pub shutdown_timeout: Duration,
}

impl CommonArgs {
    /// Reads and checks; `default_port` is the admin port of this binary.
    pub fn read(&self, reader: &mut Reader, default_port: u16) -> Common {
        let (name, raw) = match &self.app_env {
            Some(app_env) if self.node_env == "development" => ("APP_ENV", app_env),
            _ => ("NODE_ENV", &self.node_env),
        };
        let words = [
            ("development", Environment::Development),
            ("production", Environment::Production),
            ("test", Environment::Test),
        ];
        let environment = reader.choice(name, raw, &words);
        let default_port = default_port.to_string();
        let (name, raw) = match (&self.metrics_port, &self.admin_port) {
            (Some(port), _) => ("METRICS_PORT", port),
            (None, Some(port)) => ("ADMIN_PORT", port),
            (None, None) => ("METRICS_PORT", &default_port),
        };
        let metrics_port = reader.int(name, raw, 0..=65535) as u16;
        let levels = ["error", "warn", "info", "debug"].map(|level| (level, level));
        let log_level = reader
            .choice("LOG_LEVEL", &self.log_level, &levels)
            .to_owned();
        let default_format = if environment == Environment::Production {
            "json"
        } else {
            "pretty"
        };
        let format = self.log_format.as_deref().unwrap_or(default_format);
        Common {
            environment,
            host: host(reader, &self.host),
            metrics_port,
            log_level,
            log_json: reader.choice("LOG_FORMAT", format, &[("json", true), ("pretty", false)]),
            shutdown_delay: reader.millis("SHUTDOWN_DELAY_MS", &self.shutdown_delay_ms, 0..=60_000),
            shutdown_timeout: reader.millis(
                "SHUTDOWN_TIMEOUT_MS",
                &self.shutdown_timeout_ms,
                1000..=300_000,
            ),
        }
    }
}

fn host(reader: &mut Reader, raw: &str) -> std::net::IpAddr {
    let text = if raw == "localhost" { "127.0.0.1" } else { raw };
    let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    let text = reader.text("HOST", text, "an IP address such as 0.0.0.0", is_address);
    text.parse()
        .unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
}
