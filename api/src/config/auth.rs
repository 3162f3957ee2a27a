//! Whose keys open the API.

use clap::Args;
use shared::config::{Environment, Reader};

use crate::auth::KeyRing;

/// Flags and variables about it.
#[derive(Debug, Clone, Args)]
pub(super) struct AuthArgs {
    /// Who may ask for what: `name:scope[,scope]:sha256`, several separated by spaces or semicolons, with
    /// the scopes read, write and admin; `novita-api keygen` makes them. Required in production
    #[arg(long, env = "API_KEYS")]
    api_keys: Option<String>,
    /// File that holds them, one a line; `#` begins a comment
    #[arg(long, env = "API_KEYS_FILE")]
    api_keys_file: Option<String>,
    /// true: whoever reaches the port may do everything
    #[arg(long, env = "AUTH_DISABLED", default_value = "false")]
    auth_disabled: String,
}

impl AuthArgs {
    /// The keys; `None` where anybody may ask for anything.
    pub(super) fn read(&self, reader: &mut Reader, environment: Environment) -> Option<KeyRing> {
        let is_disabled = reader.bool("AUTH_DISABLED", &self.auth_disabled);
        let text = match self.text() {
            Ok(text) => text,
            Err((name, problem)) => {
                reader.problem(name, &problem);
                return None;
            }
        };
        let Some(text) = text else {
            if environment == Environment::Production && !is_disabled {
                reader.missing(
                    "API_KEYS",
                    "make a key with `novita-api keygen`, or set AUTH_DISABLED=true where only \
                     trusted callers reach the port",
                );
            }
            return None;
        };
        match KeyRing::parse(&text) {
            Ok(keys) => {
                reader.show("API_KEYS", keys.describe());
                Some(keys).filter(|_| !is_disabled)
            }
            Err(problems) => {
                for problem in problems {
                    reader.problem("API_KEYS", &problem);
                }
                None
            }
        }
    }

    /// The entries, or which variable has which problem.
    fn text(&self) -> Result<Option<String>, (&'static str, String)> {
        match (&self.api_keys, &self.api_keys_file) {
            (Some(_), Some(_)) => {
                let both = "set either API_KEYS or API_KEYS_FILE, not both";
                Err(("API_KEYS", both.to_owned()))
            }
            (Some(text), None) => Ok(Some(text.clone())),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Some(text)),
                Err(error) => Err(("API_KEYS_FILE", format!("cannot be read: {error}"))),
            },
            (None, None) => Ok(None),
        }
    }
}
