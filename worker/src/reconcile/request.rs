//! The body of an order.

use shared::model::{Offer, Spec};

use super::Reconciler;
use super::offers::billing;
use crate::marker::Marker;
use crate::novita::{CreateRequest, Env, Novita, Template};

impl<N: Novita> Reconciler<N> {
    /// The template's variables, and ours, by which the instance is recognised.
    pub(super) fn envs(&self, marker: &Marker, template: &Template) -> Vec<Env> {
        let ours = [
            ("NGA_ID", Some(marker.instance_id().to_string())),
            ("NGA_DEPLOYMENT", Some(marker.deployment.to_string())),
            (
                "NGA_SIG",
                self.config
                    .marker_secret
                    .as_ref()
                    .and_then(|s| marker.signature(s)),
            ),
        ];
        let is_ours = |env: &&Env| ours.iter().all(|(key, _)| env.key != *key);
        let mut envs: Vec<Env> = template.envs.iter().filter(is_ours).cloned().collect();
        envs.extend(ours.into_iter().filter_map(|(key, value)| {
            Some(Env {
                key: key.to_owned(),
                value: value?,
            })
        }));
        envs
    }
}

/// Asks for what the template says, at this offer.
pub(super) fn create_request(
    spec: &Spec,
    offer: &Offer,
    template: &Template,
    name: String,
    envs: Vec<Env>,
) -> CreateRequest {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    CreateRequest {
        name,
        product_id: offer.product_id.clone(),
        cluster_id: offer.cluster_id.clone(),
        gpu_num: spec.gpu_num,
        rootfs_size: spec.rootfs_size,
        image_url: template.image.clone(),
        image_auth_id: given(&template.image_auth),
        ports: template.ports.clone(),
        envs,
        tools: template.tools.clone(),
        command: given(&template.start_command),
        entrypoint: given(&template.entrypoint),
        billing_mode: billing(offer.billing_mode),
        min_cuda_version: given(&template.min_cuda_version),
    }
}
