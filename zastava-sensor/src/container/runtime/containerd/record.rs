//! A container as containerd stores it, with what the CRI left there for itself.
//!
//! What the CRI knows stands in an extension. The labels beside it will not do: an image's own labels are among them,
//! so that whoever made the image could call a container a sandbox, or somebody else's.

use std::time::SystemTime;

use serde::{Deserialize, de::DeserializeOwned};

use super::api;
use crate::container::{
    description::Pod,
    runtime::{
        client::Failure,
        labels::Texts,
        reference::Reference,
        spec::Spec,
        text::{bounded, id, image_id, text, timestamp},
    },
};

const CONTAINER: &[u8] = b"io.cri-containerd.container.metadata";
const SANDBOX: &[u8] = b"io.cri-containerd.sandbox.metadata";

#[derive(Debug)]
pub(in crate::container::runtime) struct Record {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(in crate::container::runtime) name: String,
    pub(super) attempt: u32,
    pub(super) pod: Option<Pod>,
    /// As asked for. Empty: no image at all (`ctr run --rootfs`).
    pub(super) requested: String,
    /// It was asked for by its id, and `requested` is one of its names: what a kubelet passes to containerd 1.6, whose
    /// CRI does not know the field for the name that stands in the pod.
    pub(super) by_id: bool,
    /// containerd's own word: the first name that the image had.
    pub(super) image: String,
    /// The image's id.
    pub(super) config: Option<String>,
    pub(super) labels: Texts,
    pub(super) annotations: Texts,
    pub(super) spec: Spec,
    pub(super) snapshotter: String,
    pub(super) snapshot_key: String,
    pub(super) created: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::container::runtime) enum Kind {
    /// Of Kubernetes.
    Container,
    Sandbox,
    /// Of whoever talks to containerd itself.
    Plain,
}

#[derive(Debug, Deserialize)]
struct Versioned<T> {
    #[serde(rename = "Metadata")]
    metadata: T,
}

#[derive(Debug, Deserialize)]
struct ContainerMetadata {
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    #[serde(rename = "ImageRef", default)]
    image_ref: String,
    #[serde(rename = "Config")]
    config: ContainerConfig,
}

#[derive(Debug, Deserialize)]
struct ContainerConfig {
    metadata: Name,
    #[serde(default)]
    image: ImageSpec,
    labels: Option<Texts>,
    annotations: Option<Texts>,
}

#[derive(Debug, Default, Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
    #[serde(default)]
    attempt: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImageSpec {
    image: String,
    user_specified_image: String,
}

#[derive(Debug, Deserialize)]
struct SandboxMetadata {
    #[serde(rename = "Config")]
    config: SandboxConfig,
}

#[derive(Debug, Deserialize)]
struct SandboxConfig {
    metadata: PodName,
    labels: Option<Texts>,
    annotations: Option<Texts>,
}

#[derive(Debug, Deserialize)]
struct PodName {
    name: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    attempt: u32,
}

impl Record {
    pub(in crate::container::runtime) fn parse(container: api::Container) -> Result<Self, Failure> {
        let api::Container {
            id: own,
            labels,
            image,
            spec,
            snapshotter,
            snapshot_key,
            created_at,
            extensions,
        } = container;
        let spec = spec.map_or_else(|| Ok(Spec::default()), |spec| Spec::parse(&spec.value))?;
        let image = text(&image)?.to_owned();
        let own = id(&own)?.to_owned();
        let plain = Self {
            kind: Kind::Plain,
            name: own.clone(),
            id: own,
            attempt: 0,
            pod: None,
            requested: image.clone(),
            by_id: false,
            image,
            config: None,
            labels: Texts::new(),
            annotations: Texts::new(),
            spec,
            snapshotter: text(&snapshotter)?.to_owned(),
            snapshot_key: text(&snapshot_key)?.to_owned(),
            created: timestamp(created_at.as_ref()),
        };
        let extension = |name| extensions.iter().find(|extension| extension.key == name);
        match (extension(CONTAINER), extension(SANDBOX)) {
            (Some(container), _) => plain.container(parse(container)?),
            (None, Some(sandbox)) => plain.sandbox(parse(sandbox)?),
            (None, None) => plain.plain(labels),
        }
    }

    fn container(self, metadata: ContainerMetadata) -> Result<Self, Failure> {
        let ContainerMetadata { sandbox_id, image_ref, config } = metadata;
        let pod = |name: &str| {
            let annotation = format!("io.kubernetes.cri.sandbox-{name}");
            text(self.spec.annotation(&annotation).unwrap_or_default().as_bytes()).map(str::to_owned)
        };
        let pod = Pod {
            namespace: pod("namespace")?,
            name: pod("name")?,
            // Since containerd 1.6.9 and 1.7; before, the kubelet's label has it.
            uid: match pod("uid")? {
                uid if uid.is_empty() => {
                    let label = config.labels.as_ref().and_then(|labels| labels.get("io.kubernetes.pod.uid"));
                    bounded(label.cloned().unwrap_or_default())?
                }
                uid => uid,
            },
            sandbox_id: id(sandbox_id.as_bytes())?.into(),
        };
        let (requested, by_id) = requested(config.image, &self.spec, &self.image)?;
        Ok(Self {
            kind: Kind::Container,
            name: bounded(config.metadata.name)?,
            attempt: config.metadata.attempt,
            pod: Some(pod),
            requested,
            by_id,
            config: image_id(&image_ref),
            labels: config.labels.unwrap_or_default(),
            annotations: config.annotations.unwrap_or_default(),
            ..self
        })
    }

    fn sandbox(self, metadata: SandboxMetadata) -> Result<Self, Failure> {
        let SandboxConfig { metadata: PodName { name, uid, namespace, attempt }, labels, annotations } =
            metadata.config;
        let name = bounded(name)?;
        let sandbox_id = self.id.as_str().into();
        let pod = Pod { namespace: bounded(namespace)?, name: name.clone(), uid: bounded(uid)?, sandbox_id };
        Ok(Self {
            kind: Kind::Sandbox,
            name,
            attempt,
            pod: Some(pod),
            labels: labels.unwrap_or_default(),
            annotations: annotations.unwrap_or_default(),
            ..self
        })
    }

    /// Labels that are no UTF-8 are nobody's to read; the container has its others.
    fn plain(mut self, labels: Vec<api::Entry>) -> Result<Self, Failure> {
        let texts = labels.into_iter().filter_map(|api::Entry { key, value }| {
            Some((String::from_utf8(key).ok()?, String::from_utf8(value).ok()?))
        });
        self.labels = texts.collect();
        if let Some(name) = self.labels.get("nerdctl/name").filter(|name| !name.is_empty()) {
            self.name = bounded(name.clone())?;
        }
        Ok(self)
    }
}

/// The image's name as it stood in the pod, or else one that it has, and `true`: the kubelet passes the image's id in
/// its place, and the name beside it.
fn requested(image: ImageSpec, spec: &Spec, stored: &str) -> Result<(String, bool), Failure> {
    let ImageSpec { image, user_specified_image } = image;
    let named = |name: &&str| Reference::parse(name).is_some();
    let asked = [user_specified_image.as_str(), &image].into_iter().find(named);
    let annotation = spec.annotation("io.kubernetes.cri.image-name").unwrap_or_default();
    let other = || [annotation, stored].into_iter().find(named);
    let name = asked.or_else(other).unwrap_or(&image);
    Ok((text(name.as_bytes())?.to_owned(), asked.is_none()))
}

fn parse<T: DeserializeOwned>(extension: &api::Extension) -> Result<T, Failure> {
    let json = extension.value.as_ref().map_or(&[][..], |value| &value.value);
    let versioned: Versioned<T> =
        serde_json::from_slice(json).map_err(|_| Failure::Malformed("the CRI's own record"))?;
    Ok(versioned.metadata)
}
