//! A pod's object, and the chain of its owners.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Facts, api::Api};
use crate::container::{
    description::{Owner, Pod, Role},
    runtime::{client::Failure, text::bounded},
};

/// Most containers of a pod whose role is kept.
const MAX_CONTAINERS: usize = 256;
/// Of a pod that the kubelet has from a file: the API server's copy has another uid, and the kubelet's in here.
const MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Debug, Deserialize)]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: String,
    #[serde(default)]
    annotations: HashMap<String, String>,
    #[serde(default)]
    owner_references: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    #[serde(default)]
    controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    init_containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    restart_policy: Option<String>,
}

pub(super) async fn facts(api: &Api, pod: &Pod) -> Result<Facts, Failure> {
    let target = format!("/api/v1/namespaces/{}/pods/{}", name(&pod.namespace)?, name(&pod.name)?);
    let Object { metadata, spec } = api.get(&target).await?;
    if metadata.uid != pod.uid && metadata.annotations.get(MIRROR) != Some(&pod.uid) {
        return Err(Failure::Unknown);
    }
    let owner = match controller(metadata.owner_references) {
        Some(reference) => Some(topmost(api, pod, reference).await?),
        None => None,
    };
    Ok(Facts { owner, roles: roles(spec) })
}

/// A ReplicaSet's or Job's own owner is what people know: the Deployment, the CronJob.
async fn topmost(api: &Api, pod: &Pod, reference: Reference) -> Result<Owner, Failure> {
    let plural = match (reference.api_version.as_str(), reference.kind.as_str()) {
        ("apps/v1", "ReplicaSet") => "apps/v1/namespaces/{}/replicasets",
        ("batch/v1", "Job") => "batch/v1/namespaces/{}/jobs",
        _ => return owner(reference),
    };
    let plural = plural.replace("{}", name(&pod.namespace)?);
    let answer = api.get::<Object>(&format!("/apis/{plural}/{}", name(&reference.name)?)).await;
    match answer {
        Ok(Object { metadata, .. }) if metadata.uid == reference.uid => {
            owner(controller(metadata.owner_references).unwrap_or(reference))
        }
        // Gone, of the same name, or not ours to read: then it is what is known.
        Ok(_) | Err(Failure::Unknown | Failure::Refused(_)) => owner(reference),
        Err(failure) => Err(failure),
    }
}

fn controller(references: Vec<Reference>) -> Option<Reference> {
    references.into_iter().find(|reference| reference.controller)
}

fn owner(reference: Reference) -> Result<Owner, Failure> {
    Ok(Owner { kind: bounded(reference.kind)?, name: bounded(reference.name)?, derived: false })
}

fn roles(spec: Spec) -> HashMap<String, Role> {
    let init = spec.init_containers.into_iter().map(|one| {
        let stays = one.restart_policy.as_deref() == Some("Always");
        (one.name, if stays { Role::Sidecar } else { Role::Init })
    });
    let ephemeral = spec.ephemeral_containers.into_iter().map(|one| (one.name, Role::Ephemeral));
    init.chain(ephemeral).take(MAX_CONTAINERS).collect()
}

/// As names of Kubernetes are, so that no other path comes of it.
fn name(name: &str) -> Result<&str, Failure> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if name.is_empty() || name.len() > 253 || !name.bytes().all(allowed) || name.starts_with('.') {
        return Err(Failure::Unknown);
    }
    Ok(name)
}
