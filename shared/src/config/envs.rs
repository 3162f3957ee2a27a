//! Under which key the environment variables of callers are stored.

use clap::Args;

use super::common::Environment;
use super::reader::Reader;
use crate::envs::EnvsKey;

/// Flags and variables about it; the API and the worker must be told the same.
#[derive(Debug, Clone, Args)]
pub struct EnvsArgs {
    /// Encrypts the environment variables of callers in Redis (at least 16 characters; the same for API
    /// and worker). Without it production refuses them, and elsewhere they are merely obfuscated
    #[arg(long, env = "ENVS_SECRET")]
    envs_secret: Option<String>,
    /// File that holds that secret
    #[arg(long, env = "ENVS_SECRET_FILE")]
    envs_secret_file: Option<String>,
}

impl EnvsArgs {
    /// The key; `None` where there must be a secret and is none. `prefix` names the deployment.
    pub fn read(
        &self,
        reader: &mut Reader,
        environment: Environment,
        prefix: &str,
    ) -> Option<EnvsKey> {
        let secret = reader.secret(
            "ENVS_SECRET",
            self.envs_secret.as_deref(),
            self.envs_secret_file.as_deref(),
            16,
        );
        match (secret, environment) {
            (Some(secret), _) => EnvsKey::derive(secret.reveal()),
            (None, Environment::Production) => None,
            // Everybody knows the prefix, so this hides values from a glance and from nothing else.
            (None, Environment::Development | Environment::Test) => {
                EnvsKey::derive(&format!("prefix:{prefix}"))
            }
        }
    }
}
