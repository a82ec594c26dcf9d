//! Which images an object would run, and in which of its fields each stands.
//!
//! Every kind that carries a pod template is known. Nothing buys an exemption that a user can set: labels, owners and
//! `deletionTimestamp` are not even read. The one annotation that is, of mirror pods, counts from a node alone.
#![forbid(unsafe_code)]

mod pod;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use pod::{Container, Object, Spec, Template};
use serde_json::value::RawValue;

use crate::review::{GroupKind, Operation, Request};

/// Most distinct images of one object that are looked at; an object with more is refused.
pub const MAX_IMAGES: usize = 256;

/// The kubelet's copy of a pod that it runs from a file of its node.
const MIRROR: &str = "kubernetes.io/config.mirror";

#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    #[error("the {part} is no {kind} as Kubernetes writes it: {source}")]
    Object { part: &'static str, kind: String, source: serde_json::Error },
    #[error("a {kind} is created or updated without the object")]
    Missing { kind: String },
}

/// What there is to look at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// Nothing, and why.
    Nothing(Nothing),
    Workload(Workload),
}

/// Why there is nothing to look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nothing {
    /// DELETE, CONNECT.
    Operation,
    /// A kind without a pod template: Scale, Eviction, Binding, PodExecOptions, ...
    Kind,
    /// An update that brings no image that was not there.
    Unchanged,
    /// A node tells of a pod that it runs already.
    Mirror,
}

/// Images that are new with this request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workload {
    /// A pod, which runs at once; else what makes pods later, each of which is asked about again.
    pub is_pod: bool,
    pub images: Vec<Image>,
    /// There were more than are looked at.
    pub too_many: bool,
    /// Of the pod or of its template.
    pub labels: BTreeMap<String, String>,
    /// Names of the secrets that the pod would pull with, in its namespace.
    pub pull_secrets: Vec<String>,
}

/// One image as it was written, and everywhere that it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Image {
    /// Not parsed, perhaps empty.
    pub reference: String,
    /// At least one.
    pub fields: Vec<Field>,
}

/// Where an image stands, as `kubectl` would show the way: `spec.containers[web].image`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// Path of the pod's specification in the object.
    pub spec: &'static str,
    pub list: List,
    /// Of the container or the volume.
    pub name: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum List {
    InitContainers,
    Containers,
    EphemeralContainers,
    Volumes,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, list, name } = self;
        match list {
            List::InitContainers => write!(f, "{spec}.initContainers[{name}].image"),
            List::Containers => write!(f, "{spec}.containers[{name}].image"),
            List::EphemeralContainers => write!(f, "{spec}.ephemeralContainers[{name}].image"),
            List::Volumes => write!(f, "{spec}.volumes[{name}].image.reference"),
        }
    }
}

/// What the request would bring in.
pub fn find(request: &Request<'_>) -> Result<Found, ImagesError> {
    if !matches!(request.operation, Operation::Create | Operation::Update) {
        return Ok(Found::Nothing(Nothing::Operation));
    }
    let Some(kind) = Kind::of(&request.kind) else { return Ok(Found::Nothing(Nothing::Kind)) };
    let Some(object) = request.object else {
        return Err(ImagesError::Missing { kind: request.kind.kind.to_string() });
    };
    let object = read(object, "object", request)?;
    // A node makes them and never changes one.
    let made = request.operation == Operation::Create && request.sub_resource.is_none();
    if kind == Kind::Pod && made && request.by_node && object.metadata.annotations.contains_key(MIRROR) {
        return Ok(Found::Nothing(Nothing::Mirror));
    }
    // What was there before was asked about before.
    let old = match request.old_object {
        Some(old) if request.operation == Operation::Update => Some(read(old, "oldObject", request)?),
        _ => None,
    };
    let known: HashSet<&str> = old.as_ref().map(|old| references(kind, old)).unwrap_or_default();
    let mut workload = Workload {
        is_pod: kind == Kind::Pod,
        images: Vec::new(),
        too_many: false,
        labels: kind.labels(&object).clone(),
        pull_secrets: kind
            .spec(&object)
            .into_iter()
            .flat_map(Spec::pull_secrets)
            .map(str::to_owned)
            .collect(),
    };
    for (field, reference) in fields(kind, &object) {
        if !known.contains(reference) {
            workload.add(field, reference);
        }
    }
    if workload.images.is_empty() && request.operation == Operation::Update {
        return Ok(Found::Nothing(Nothing::Unchanged));
    }
    Ok(Found::Workload(workload))
}

impl Workload {
    /// Bytes that it takes, about: whoever writes the object chooses them.
    pub fn size(&self) -> usize {
        let Self { is_pod: _, images, too_many: _, labels, pull_secrets } = self;
        let text = |text: &String| size_of::<String>() + text.len();
        let fields = |image: &Image| -> usize {
            image.fields.iter().map(|field| size_of::<Field>() + field.name.len()).sum()
        };
        let images = images.iter().map(|image| size_of::<Image>() + image.reference.len() + fields(image));
        let labels = labels.iter().map(|(key, value)| text(key) + text(value));
        images.chain(labels).chain(pull_secrets.iter().map(text)).sum()
    }

    fn add(&mut self, field: Field, reference: &str) {
        if let Some(image) = self.images.iter_mut().find(|image| image.reference == reference) {
            image.fields.push(field);
        } else if self.images.len() < MAX_IMAGES {
            self.images.push(Image { reference: reference.to_owned(), fields: vec![field] });
        } else {
            self.too_many = true;
        }
    }
}

/// Kinds with a pod in them, by where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Pod,
    PodTemplate,
    /// `spec.template`: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, ReplicationController.
    Template,
    CronJob,
}

impl Kind {
    fn of(GroupKind { group, kind }: &GroupKind<'_>) -> Option<Self> {
        Some(match (&**group, &**kind) {
            ("", "Pod") => Self::Pod,
            ("", "PodTemplate") => Self::PodTemplate,
            ("", "ReplicationController")
            | ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet")
            | ("batch", "Job") => Self::Template,
            ("batch", "CronJob") => Self::CronJob,
            _ => return None,
        })
    }

    fn path(self) -> &'static str {
        match self {
            Self::Pod => "spec",
            Self::PodTemplate => "template.spec",
            Self::Template => "spec.template.spec",
            Self::CronJob => "spec.jobTemplate.spec.template.spec",
        }
    }

    fn template(self, object: &Object) -> Option<&Template> {
        match self {
            Self::Pod => None,
            Self::PodTemplate => object.template.as_ref(),
            Self::Template => object.spec.as_ref()?.template.as_deref(),
            Self::CronJob => object.spec.as_ref()?.job_template.as_ref()?.spec.as_ref()?.template.as_deref(),
        }
    }

    fn spec(self, object: &Object) -> Option<&Spec> {
        match self {
            Self::Pod => object.spec.as_ref(),
            _ => self.template(object)?.spec.as_ref(),
        }
    }

    fn labels(self, object: &Object) -> &BTreeMap<String, String> {
        match self.template(object) {
            Some(template) => &template.metadata.labels,
            None => &object.metadata.labels,
        }
    }
}

fn read(object: &RawValue, part: &'static str, request: &Request<'_>) -> Result<Object, ImagesError> {
    serde_json::from_str(object.get()).map_err(|source| ImagesError::Object {
        part,
        kind: request.kind.kind.to_string(),
        source,
    })
}

fn references(kind: Kind, object: &Object) -> HashSet<&str> {
    fields(kind, object).map(|(_, reference)| reference).collect()
}

/// Every field with an image in it, in the order in which they would run.
fn fields(kind: Kind, object: &Object) -> impl Iterator<Item = (Field, &str)> {
    let spec = kind.path();
    kind.spec(object).into_iter().flat_map(move |pod| {
        let containers = [
            (List::InitContainers, &pod.init_containers),
            (List::Containers, &pod.containers),
            (List::EphemeralContainers, &pod.ephemeral_containers),
        ];
        let containers = containers.into_iter().flat_map(move |(list, containers)| {
            containers.iter().flatten().map(move |Container { name, image }| {
                let field = Field { spec, list, name: name.clone() };
                (field, image.as_deref().unwrap_or_default())
            })
        });
        let volumes = pod.volumes.iter().flatten().filter_map(move |volume| {
            let image = volume.image.as_ref()?;
            let field = Field { spec, list: List::Volumes, name: volume.name.clone() };
            Some((field, image.reference.as_deref().unwrap_or_default()))
        });
        containers.chain(volumes)
    })
}
