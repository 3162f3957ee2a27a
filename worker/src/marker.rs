//! The name under which an attempt is created: how an order whose answer was lost is found again.
//!
//! `<slug>-nga-<deployment>-<ULID of the instance>-<attempt>`. The provider has neither idempotency
//! keys nor labels, and its search is fuzzy, so a name is parsed strictly and compared exactly.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use shared::config::Secret;
use shared::model::InstanceId;
use ulid::Ulid;

const TAG: &str = "nga";
const SLUG_MAX: usize = 40;

/// Tells deployments on one provider account apart: six lower-case letters or digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentId(String);

/// Why a text is not a deployment id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be exactly six lower-case letters or digits")]
pub struct DeploymentIdError;

impl DeploymentId {
    /// The id of a deployment that was given none: derived from its key prefix, so that all its
    /// replicas agree on it.
    #[must_use]
    pub fn from_prefix(prefix: &str) -> Self {
        let digest = Sha256::digest(prefix.as_bytes());
        Self(
            digest
                .iter()
                .take(3)
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .concat(),
        )
    }
}

impl FromStr for DeploymentId {
    type Err = DeploymentIdError;
    fn from_str(text: &str) -> Result<Self, DeploymentIdError> {
        let is_valid = text.len() == 6
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        is_valid
            .then(|| Self(text.to_owned()))
            .ok_or(DeploymentIdError)
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a marker says: whose instance, which attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The deployment that ordered it.
    pub deployment: DeploymentId,
    /// The instance it was ordered for.
    pub instance: Ulid,
    /// The attempt, from 1.
    pub attempt: u32,
}

impl Marker {
    /// The name for the provider; `slug` is for people who look at its console.
    #[must_use]
    pub fn name(&self, slug: &str) -> String {
        let slug: String = slug
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(SLUG_MAX)
            .collect();
        format!("{slug}-{}-{}", self.instance_part(), self.attempt)
    }

    /// The part that all attempts of the instance share: what to search for.
    #[must_use]
    pub fn instance_part(&self) -> String {
        format!("{TAG}-{}-{}", self.deployment, self.instance)
    }

    /// Reads a provider's instance name; `None` when it is not one of ours to the letter.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.rsplitn(5, '-');
        let attempt = parts.next()?;
        let instance = parts.next()?;
        let deployment = parts.next()?.parse().ok()?;
        let (tag, slug) = (parts.next()?, parts.next()?);
        let number: u32 = attempt.parse().ok()?;
        let ulid = Ulid::from_string(instance).ok()?;
        let is_exact = tag == TAG
            && slug.len() <= SLUG_MAX
            && number >= 1
            && number.to_string() == attempt
            && ulid.to_string() == instance;
        is_exact.then_some(Self {
            deployment,
            instance: ulid,
            attempt: number,
        })
    }

    /// The instance's public id.
    #[must_use]
    pub fn instance_id(&self) -> InstanceId {
        InstanceId::from(self.instance)
    }

    /// A short proof that this deployment made the marker, for `NGA_SIG`.
    #[must_use]
    pub fn signature(&self, secret: &Secret) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).ok()?;
        mac.update(format!("{}-{}", self.instance_part(), self.attempt).as_bytes());
        let digest = mac.finalize().into_bytes();
        Some(
            digest
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .concat(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> Marker {
        Marker {
            deployment: "a1b2c3".parse().unwrap(),
            instance: Ulid::from_string("01JD3Q5V8M0000000000000000").unwrap(),
            attempt: 12,
        }
    }

    #[test]
    fn a_name_reads_back_whatever_the_slug() {
        for slug in ["", "train", "train_b-2", "x-nga-y", &"long".repeat(30)] {
            let name = marker().name(slug);
            assert!(
                name.len() <= 100 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            );
            assert_eq!(Marker::parse(&name), Some(marker()), "{name}");
        }
    }

    #[test]
    fn what_only_looks_like_ours_is_not() {
        let good = marker().name("train");
        let others = [
            good.replace("-nga-", "-NGA-"),
            good.replace("a1b2c3", "a1b2c"),
            good.replace("-12", "-012"),
            good.replace("-12", "-0"),
            good.replace("-12", ""),
            good.replace("01JD", "01jd"),
            format!("{good}-copy"),
            good.replace("train-", ""),
            "foreign".to_owned(),
        ];
        for name in others {
            assert_eq!(Marker::parse(&name), None, "{name}");
        }
    }

    #[test]
    fn the_default_deployment_id_is_valid_and_depends_on_the_prefix() {
        let id = DeploymentId::from_prefix("novita_api");
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_ne!(id, DeploymentId::from_prefix("novita_api_dev"));
    }

    #[test]
    fn a_signature_depends_on_secret_and_attempt() {
        let (a, b) = (Secret::new("secret-a"), Secret::new("secret-b"));
        let other = Marker {
            attempt: 13,
            ..marker()
        };
        assert_ne!(marker().signature(&a), marker().signature(&b));
        assert_ne!(marker().signature(&a), other.signature(&a));
    }
}
