//! Which Redis, over which transport, with how much patience.

use clap::Args;
use url::{Host, Url};

use super::reader::{Reader, Secret};
use super::seeds;
use crate::redis::{Keys, RedisOptions, Target};

/// Flags and variables about Redis.
#[derive(Debug, Clone, Args)]
pub struct RedisArgs {
    /// Upstash REST endpoint, `https://<name>.upstash.io` (http only for loopback)
    #[arg(long, env = "UPSTASH_REDIS_REST_URL")]
    upstash_redis_rest_url: Option<String>,
    /// Upstash REST token
    #[arg(long, env = "UPSTASH_REDIS_REST_TOKEN")]
    upstash_redis_rest_token: Option<String>,
    /// File that holds the Upstash REST token
    #[arg(long, env = "UPSTASH_REDIS_REST_TOKEN_FILE")]
    upstash_redis_rest_token_file: Option<String>,
    /// redis:// or rediss:// with host, port and credentials; redis+cluster:// or rediss+cluster://
    /// with one or more nodes, host:port[,host:port...]
    #[arg(long, env = "REDIS_URL")]
    redis_url: Option<String>,
    /// Host of a Redis over RESP, instead of an URL
    #[arg(long, env = "REDIS_HOST")]
    redis_host: Option<String>,
    /// Its port (1 to 65535) [default: 6379]
    #[arg(long, env = "REDIS_PORT")]
    redis_port: Option<String>,
    /// Its user name
    #[arg(long, env = "REDIS_USERNAME")]
    redis_username: Option<String>,
    /// Its password
    #[arg(long, env = "REDIS_PASSWORD")]
    redis_password: Option<String>,
    /// File that holds its password
    #[arg(long, env = "REDIS_PASSWORD_FILE")]
    redis_password_file: Option<String>,
    /// Longest wait for a connection, in ms (1000 to 60000)
    #[arg(long, env = "REDIS_CONNECTION_TIMEOUT_MS", default_value = "10000")]
    redis_connection_timeout_ms: String,
    /// Longest wait for an answer, in ms (1000 to 30000)
    #[arg(long, env = "REDIS_COMMAND_TIMEOUT_MS", default_value = "5000")]
    redis_command_timeout_ms: String,
    /// Tries after the first one, where repeating is harmless (0 to 10)
    #[arg(long, env = "REDIS_RETRY_ATTEMPTS", default_value = "3")]
    redis_retry_attempts: String,
    /// First wait between tries, in ms (100 to 10000); it doubles
    #[arg(long, env = "REDIS_RETRY_DELAY_MS", default_value = "1000")]
    redis_retry_delay_ms: String,
    /// Whether callers are served while Redis does not answer: reads from what was read before, writes from a
    /// file that keeps them until it does. Without it they are told to come again
    #[arg(long, env = "REDIS_ENABLE_FALLBACK", default_value = "false")]
    redis_enable_fallback: String,
    /// Prefix of every key: 1 to 50 letters, digits, hyphens or underscores
    #[arg(long, env = "REDIS_KEY_PREFIX", default_value = "novita_api")]
    redis_key_prefix: String,
}

/// Which Redis, and where in it.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    /// How to talk to it.
    pub options: RedisOptions,
    /// The key names.
    pub keys: Keys,
    /// Their prefix.
    pub prefix: String,
    /// Callers are served, as far as possible, while Redis does not answer.
    pub has_fallback: bool,
}

impl RedisArgs {
    /// Reads and checks.
    pub fn read(&self, reader: &mut Reader) -> Option<RedisConfig> {
        let target = self.target(reader);
        let prefix = reader.text(
            "REDIS_KEY_PREFIX",
            &self.redis_key_prefix,
            "1 to 50 letters, digits, hyphens or underscores",
            |text| {
                (1..=50).contains(&text.len())
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            },
        );
        let connect_timeout = reader.millis(
            "REDIS_CONNECTION_TIMEOUT_MS",
            &self.redis_connection_timeout_ms,
            1000..=60_000,
        );
        let command_timeout = reader.millis(
            "REDIS_COMMAND_TIMEOUT_MS",
            &self.redis_command_timeout_ms,
            1000..=30_000,
        );
        let retries = reader.int("REDIS_RETRY_ATTEMPTS", &self.redis_retry_attempts, 0..=10) as u32;
        let retry_delay = reader.millis(
            "REDIS_RETRY_DELAY_MS",
            &self.redis_retry_delay_ms,
            100..=10_000,
        );
        let has_fallback = reader.bool("REDIS_ENABLE_FALLBACK", &self.redis_enable_fallback);
        let options = RedisOptions {
            target: target?,
            connect_timeout,
            command_timeout,
            retries,
            retry_delay,
        };
        Some(RedisConfig {
            options,
            keys: Keys::new(&prefix),
            prefix,
            has_fallback,
        })
    }

    fn target(&self, reader: &mut Reader) -> Option<Target> {
        let has_upstash = self.upstash_redis_rest_url.is_some();
        let resp = match (&self.redis_url, &self.redis_host) {
            (Some(_), _) => Some("REDIS_URL"),
            (None, Some(_)) => Some("REDIS_HOST"),
            (None, None) => None,
        };
        match (has_upstash, resp) {
            (true, Some(name)) => {
                reader.problem(
                    "UPSTASH_REDIS_REST_URL",
                    &format!("{name} is set too; keep the one that is meant"),
                );
                None
            }
            (true, None) => self.upstash(reader),
            (false, Some(_)) => self.resp(reader),
            (false, None) => {
                reader.missing(
                    "UPSTASH_REDIS_REST_URL",
                    "set it with UPSTASH_REDIS_REST_TOKEN for Upstash, or REDIS_URL for any Redis",
                );
                None
            }
        }
    }

    fn upstash(&self, reader: &mut Reader) -> Option<Target> {
        let raw = self.upstash_redis_rest_url.as_deref()?;
        let url = reader.url("UPSTASH_REDIS_REST_URL", raw, &["https", "http"]);
        let token = reader.secret(
            "UPSTASH_REDIS_REST_TOKEN",
            self.upstash_redis_rest_token.as_deref(),
            self.upstash_redis_rest_token_file.as_deref(),
            1,
        );
        if token.is_none() && self.upstash_redis_rest_token_file.is_none() {
            reader.missing("UPSTASH_REDIS_REST_TOKEN", "the REST token of the database");
        }
        let url = url?;
        if url.scheme() == "http" && !is_loopback(&url) {
            reader.problem(
                "UPSTASH_REDIS_REST_URL",
                "the token would travel in clear text: use https:// (http:// is for loopback only)",
            );
        }
        Some(Target::Upstash {
            url: url.to_string(),
            token: token?.reveal().to_owned(),
        })
    }

    fn resp(&self, reader: &mut Reader) -> Option<Target> {
        if let Some(raw) = self.redis_url.as_deref()
            && let Some(seeds) = seeds::parse(raw)
        {
            return self.cluster(reader, seeds);
        }
        let schemes = ["redis", "rediss", "redis+cluster", "rediss+cluster"];
        let given = match &self.redis_url {
            Some(raw) => Some(reader.url("REDIS_URL", raw, &schemes)?),
            None => None,
        };
        let password = self.password(reader);
        let Some(host) = &self.redis_host else {
            return Some(Target::Resp {
                url: self.with_credentials(given?, password).to_string(),
            });
        };
        let port = reader.int(
            "REDIS_PORT",
            self.redis_port.as_deref().unwrap_or("6379"),
            1..=65535,
        );
        let Ok(url) = Url::parse(&format!("redis://{host}:{port}")) else {
            reader.problem("REDIS_HOST", &format!("{host:?} is not a host name"));
            return None;
        };
        // The predecessor wanted both and used only the scheme of the URL; they must agree here.
        if let Some(given) = &given
            && (given.host() != url.host() || given.port().unwrap_or(6379) != port as u16)
        {
            reader.problem(
                "REDIS_URL",
                "names another server than REDIS_HOST and REDIS_PORT; keep the one that is meant",
            );
        }
        let url = given.unwrap_or(url);
        Some(Target::Resp {
            url: self.with_credentials(url, password).to_string(),
        })
    }

    fn cluster(
        &self,
        reader: &mut Reader,
        seeds: Result<Vec<Url>, &'static str>,
    ) -> Option<Target> {
        let password = self.password(reader);
        if self.redis_host.is_some() {
            reader.problem(
                "REDIS_HOST",
                "names one server, but REDIS_URL is a cluster's; keep the one that is meant",
            );
        }
        let seeds = match seeds {
            Ok(seeds) => seeds,
            Err(problem) => {
                reader.problem("REDIS_URL", problem);
                return None;
            }
        };
        reader.show("REDIS_URL", seeds::shown(&seeds));
        let with_credentials =
            |seed: Url| self.with_credentials(seed, password.clone()).to_string();
        Some(Target::Cluster {
            seeds: seeds.into_iter().map(with_credentials).collect(),
        })
    }

    fn password(&self, reader: &mut Reader) -> Option<Secret> {
        reader.secret(
            "REDIS_PASSWORD",
            self.redis_password.as_deref(),
            self.redis_password_file.as_deref(),
            1,
        )
    }

    fn with_credentials(&self, mut url: Url, password: Option<Secret>) -> Url {
        // Only an URL without a host refuses these, and `Reader::url` let none through.
        if let Some(user) = &self.redis_username {
            let _ = url.set_username(user);
        }
        if let Some(password) = password {
            let _ = url.set_password(Some(password.reveal()));
        }
        url
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        redis: RedisArgs,
    }

    fn read(args: &[&str]) -> Result<Target, String> {
        let cli = Cli::parse_from(std::iter::once("test").chain(args.iter().copied()));
        let mut reader = Reader::default();
        let config = cli.redis.read(&mut reader);
        let config = reader.finish(config).map_err(|error| error.to_string())?;
        Ok(config.options.target)
    }

    fn resp_url(args: &[&str]) -> String {
        match read(args).unwrap() {
            Target::Resp { url } => url,
            other => panic!("not RESP: {other:?}"),
        }
    }

    #[test]
    fn two_kinds_of_redis_are_one_too_many() {
        let error = read(&[
            "--upstash-redis-rest-url=https://x.upstash.io",
            "--upstash-redis-rest-token=t",
            "--redis-url=redis://h",
        ])
        .unwrap_err();
        assert!(
            error.contains("UPSTASH_REDIS_REST_URL") && error.contains("REDIS_URL"),
            "{error}"
        );
    }

    #[test]
    fn none_at_all_tells_both_ways() {
        let error = read(&[]).unwrap_err();
        assert!(
            error.contains("UPSTASH_REDIS_REST_TOKEN") && error.contains("REDIS_URL"),
            "{error}"
        );
    }

    #[test]
    fn the_predecessors_complete_set_of_variables_is_one_server() {
        let url = resp_url(&[
            "--redis-url=rediss://db.example.com:6380",
            "--redis-host=db.example.com",
            "--redis-port=6380",
            "--redis-username=app",
            "--redis-password=p@ss/word",
        ]);
        assert_eq!(url, "rediss://app:p%40ss%2Fword@db.example.com:6380");
        let error = read(&[
            "--redis-url=redis://a:1",
            "--redis-host=b",
            "--redis-port=1",
        ]);
        assert!(error.unwrap_err().contains("another server"));
    }

    #[test]
    fn a_cluster_has_several_nodes_and_one_set_of_credentials() {
        let args = [
            "--redis-url=rediss+cluster://a.example.com:7000,[::1]:7001,b",
            "--redis-username=app",
            "--redis-password=p@ss/word",
        ];
        let Target::Cluster { seeds } = read(&args).unwrap() else {
            panic!("not a cluster");
        };
        assert_eq!(
            seeds,
            [
                "rediss://app:p%40ss%2Fword@a.example.com:7000",
                "rediss://app:p%40ss%2Fword@[::1]:7001",
                "rediss://app:p%40ss%2Fword@b:6379",
            ]
        );
        let error = read(&["--redis-url=redis+cluster://a:1", "--redis-host=a"]).unwrap_err();
        assert!(error.contains("REDIS_HOST: names one server"), "{error}");
    }

    #[test]
    fn a_cluster_counts_as_a_kind_of_redis() {
        let args = [
            "--upstash-redis-rest-url=https://x.upstash.io",
            "--upstash-redis-rest-token=t",
            "--redis-url=redis+cluster://a:1",
        ];
        assert!(read(&args).unwrap_err().contains("keep the one"));
        let error = read(&["--redis-url=redis-cluster://a:1"]).unwrap_err();
        assert!(error.contains("redis+cluster://"), "{error}");
    }

    #[test]
    fn a_token_never_travels_in_clear_text_beyond_this_machine() {
        let token = "--upstash-redis-rest-token=t";
        assert!(read(&["--upstash-redis-rest-url=http://127.0.0.1:9", token]).is_ok());
        assert!(read(&["--upstash-redis-rest-url=http://redis.example.com", token]).is_err());
    }
}
