//! What is to run: the template, with what the caller asked for in its place.

use shared::model::{CreateOptions, EnvVar, PortKind, PublishedPort, Spec};
use shared::store::StoreError;

use super::search::Obstacle;
use super::{Reconciler, failure};
use crate::novita::{Env, Novita, NovitaError, Port, Protocol, Template};

/// Limits of one order (Novita API reference): variables, ours included; ports and tools together.
const MAX_ENVS: usize = 100;
const MAX_PORTS: usize = 15;
/// Variables by which an instance is recognised.
const OUR_ENVS: usize = 3;

impl<N: Novita> Reconciler<N> {
    /// What is to run, once it is known that it can be ordered so. All that is wrong with it shows
    /// before anything is paid for.
    pub(super) async fn template(&self, spec: &Spec) -> Result<Template, Obstacle> {
        let template = match self.provider.template(&spec.template_id).await {
            Ok(template) => template,
            // Without a known code it may be a proxy that knows nothing.
            Err(error @ NovitaError::NotFound(_)) if !error.may_have_applied() => {
                let message = format!("the provider has no template {:?}", spec.template_id);
                return Err(definite("TEMPLATE_NOT_FOUND", message));
            }
            Err(error) => return Err(Obstacle::of(error)),
        };
        if template.image.is_empty() {
            let message = format!("template {:?} names no image", spec.template_id);
            return Err(definite("INVALID_TEMPLATE_IMAGE_URL", message));
        }
        let envs = self.envs_of(spec).await?;
        let wanted = with_options(template, &spec.options, envs);
        check(spec, &wanted)?;
        self.check_login(&wanted).await?;
        Ok(wanted)
    }

    async fn check_login(&self, template: &Template) -> Result<(), Obstacle> {
        if template.image_auth.is_empty() {
            return Ok(());
        }
        let auths = self.provider.registry_auths().await.map_err(Obstacle::of)?;
        if auths.iter().any(|auth| auth.id == template.image_auth) {
            return Ok(());
        }
        let message = "the registry login that is asked for does not exist";
        Err(definite("REGISTRY_AUTH_NOT_FOUND", message))
    }

    /// The caller's variables. An instance is never ordered without those that it should have.
    async fn envs_of(&self, spec: &Spec) -> Result<Vec<EnvVar>, Obstacle> {
        if !spec.options.has_envs {
            return Ok(Vec::new());
        }
        self.store.envs(&spec.id).await.map_err(|error| {
            tracing::error!(instance = %spec.id, %error, "its variables cannot be read");
            let code = match error {
                StoreError::Redis(_) => "REDIS_UNAVAILABLE",
                _ => "ENVS_UNREADABLE",
            };
            Obstacle::Passing(failure(code, error.to_string()))
        })
    }
}

fn definite(code: &str, message: impl Into<String>) -> Obstacle {
    Obstacle::Definite(failure(code, message))
}

fn with_options(mut template: Template, options: &CreateOptions, envs: Vec<EnvVar>) -> Template {
    if let Some(ports) = &options.ports {
        template.ports = ports.iter().copied().map(port).collect();
    }
    let texts = [
        (&mut template.start_command, &options.command),
        (&mut template.entrypoint, &options.entrypoint),
        (&mut template.image_auth, &options.image_auth_id),
    ];
    for (text, wanted) in texts {
        if let Some(wanted) = wanted {
            text.clone_from(wanted);
        }
    }
    let is_replaced = |env: &Env| envs.iter().any(|own| own.key == env.key);
    template.envs.retain(|env| !is_replaced(env));
    template.envs.extend(envs.into_iter().map(|env| Env {
        key: env.key,
        value: env.value,
    }));
    template
}

fn port(port: PublishedPort) -> Port {
    Port {
        port: port.port,
        protocol: match port.kind {
            PortKind::Http => Protocol::Http,
            PortKind::Tcp => Protocol::Tcp,
        },
    }
}

/// What the provider would refuse, or what could never get ready.
fn check(spec: &Spec, template: &Template) -> Result<(), Obstacle> {
    let envs = template.envs.len() + OUR_ENVS;
    if envs > MAX_ENVS {
        let message = format!("{envs} environment variables with the template's and ours");
        return Err(definite(
            "TOO_MANY_ENVS",
            format!("{message}; the provider takes {MAX_ENVS}"),
        ));
    }
    let ports = template.ports.iter().map(|port| port.port);
    let tools = template.tools.iter().map(|tool| tool.port);
    let published: Vec<u16> = ports.chain(tools).collect();
    if published.len() > MAX_PORTS {
        let message = format!(
            "{} ports with the template's tools; the provider takes {MAX_PORTS}",
            published.len()
        );
        return Err(definite("TOO_MANY_PORTS", message));
    }
    match spec.health_check().target_port {
        Some(target) if !published.contains(&target) => {
            let message = format!("the health check's target port {target} is not published");
            Err(definite("INVALID_TARGET_PORT", message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use shared::model::{Desired, HealthCheck};

    use super::*;
    use crate::reconcile::testing::spec;

    fn env(key: &str, value: &str) -> Env {
        Env {
            key: key.into(),
            value: value.into(),
        }
    }

    fn own(key: &str, value: &str) -> EnvVar {
        EnvVar {
            key: key.into(),
            value: value.into(),
        }
    }

    fn template() -> Template {
        Template {
            image: "image".into(),
            start_command: "serve".into(),
            image_auth: "login".into(),
            ports: vec![Port {
                port: 8080,
                protocol: Protocol::Http,
            }],
            envs: vec![env("MODEL", "small"), env("LEVEL", "info")],
            ..Template::default()
        }
    }

    fn code(spec: &Spec, template: &Template) -> String {
        match check(spec, template) {
            Ok(()) => "fine".into(),
            Err(Obstacle::Definite(failure)) => failure.code,
            Err(_) => "not definite".into(),
        }
    }

    #[test]
    fn what_nobody_asked_for_stays_the_templates() {
        let options = CreateOptions::default();
        assert_eq!(with_options(template(), &options, Vec::new()), template());
    }

    #[test]
    fn what_was_asked_for_takes_its_place() {
        let options = CreateOptions {
            ports: Some(vec![PublishedPort {
                port: 22,
                kind: PortKind::Tcp,
            }]),
            command: Some("train".into()),
            entrypoint: Some("/init".into()),
            image_auth_id: Some("other".into()),
            ..CreateOptions::default()
        };
        let envs = vec![own("MODEL", "large"), own("TOKEN", "t")];
        let wanted = with_options(template(), &options, envs);
        let texts = (wanted.start_command, wanted.entrypoint, wanted.image_auth);
        assert_eq!(texts, ("train".into(), "/init".into(), "other".into()));
        assert_eq!((wanted.ports.len(), wanted.ports[0].port), (1, 22));
        assert_eq!(
            wanted.envs,
            [
                env("LEVEL", "info"),
                env("MODEL", "large"),
                env("TOKEN", "t")
            ]
        );
        let none = CreateOptions {
            ports: Some(Vec::new()),
            ..CreateOptions::default()
        };
        assert!(with_options(template(), &none, Vec::new()).ports.is_empty());
    }

    #[test]
    fn what_the_provider_would_refuse_is_not_ordered() {
        let mut spec = spec(Desired::Running);
        assert_eq!(code(&spec, &template()), "fine");
        let mut crowded = template();
        crowded.envs = (0..97).map(|n| env(&n.to_string(), "")).collect();
        assert_eq!(code(&spec, &crowded), "fine");
        crowded.envs.push(env("one more", ""));
        assert_eq!(code(&spec, &crowded), "TOO_MANY_ENVS");
        let mut open = template();
        open.ports = vec![template().ports[0].clone(); 16];
        assert_eq!(code(&spec, &open), "TOO_MANY_PORTS");
        let target = |port| {
            Some(HealthCheck {
                target_port: Some(port),
                ..HealthCheck::default()
            })
        };
        spec.options.health_check = target(8080);
        assert_eq!(code(&spec, &template()), "fine");
        spec.options.health_check = target(9090);
        assert_eq!(code(&spec, &template()), "INVALID_TARGET_PORT");
    }
}
