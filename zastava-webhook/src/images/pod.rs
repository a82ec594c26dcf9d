//! The few fields of Kubernetes' objects that name images. `null` stands for an empty list, as it does there.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

#[derive(Debug, Deserialize)]
pub(super) struct Object {
    #[serde(default, deserialize_with = "or_null")]
    pub(super) metadata: Metadata,
    pub(super) spec: Option<Spec>,
    /// Of a PodTemplate.
    pub(super) template: Option<Template>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Metadata {
    #[serde(default, deserialize_with = "or_null")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) labels: BTreeMap<String, String>,
}

/// Of any of the kinds: a pod's own fields, or a template. One type for all, because `flatten` would not see a key that
/// stands twice.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) init_containers: Option<Vec<Container>>,
    pub(super) containers: Option<Vec<Container>>,
    pub(super) ephemeral_containers: Option<Vec<Container>>,
    pub(super) volumes: Option<Vec<Volume>>,
    image_pull_secrets: Option<Vec<PullSecret>>,
    pub(super) template: Option<Box<Template>>,
    pub(super) job_template: Option<Box<JobTemplate>>,
}

impl Spec {
    /// Those without a name are passed over, as the kubelet does.
    pub(super) fn pull_secrets(&self) -> impl Iterator<Item = &str> {
        let names = self.image_pull_secrets.iter().flatten().filter_map(|secret| secret.name.as_deref());
        names.filter(|name| !name.is_empty())
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Template {
    #[serde(default, deserialize_with = "or_null")]
    pub(super) metadata: Metadata,
    pub(super) spec: Option<Spec>,
}

#[derive(Debug, Deserialize)]
pub(super) struct JobTemplate {
    pub(super) spec: Option<Spec>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Container {
    #[serde(default)]
    pub(super) name: String,
    pub(super) image: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Volume {
    #[serde(default)]
    pub(super) name: String,
    pub(super) image: Option<ImageVolume>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ImageVolume {
    pub(super) reference: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PullSecret {
    name: Option<String>,
}

fn or_null<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
