//! The names of what our deployments order, as the domain rules spell them.

/// `<slug>-nga-<deployment>-<ULID>-<attempt>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The deployment's tag.
    pub deployment: String,
    /// The ULID of the instance that it was ordered for.
    pub instance: String,
    /// Which order it was.
    pub attempt: u32,
}

impl Name {
    /// `None` for any other name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.rsplitn(5, '-');
        let attempt = parts.next()?.parse().ok()?;
        let (instance, deployment) = (parts.next()?, parts.next()?);
        let is_ours = parts.next()? == "nga" && instance.len() == 26 && deployment.len() == 6;
        is_ours.then(|| Self {
            deployment: deployment.to_owned(),
            instance: instance.to_owned(),
            attempt,
        })
    }
}
