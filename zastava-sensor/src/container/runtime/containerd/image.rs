//! Which manifest runs, from containerd's store of images and content.
//!
//! The CRI tells the image's *config*, which several manifests may have, and as its name the first one that the config
//! ever had. So the name that was asked for is looked up, and what it leads to is held against what runs: the config,
//! or for a container that is none of the CRI's the layers below it. Where the name leads elsewhere (the tag moved, the
//! name is gone), the content store is asked which manifests have this config.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::SHA256;
use hashlink::LruCache;
use serde::Deserialize;
use tonic::transport::Channel;

use super::{api, within};
use crate::{
    container::{
        description::MAX_LAYERS,
        reason,
        runtime::{
            client::{Failure, in_time},
            grpc::MAX_MESSAGE,
            proto::containerd::services::{
                content::v1::content_client::ContentClient, images::v1::images_client::ImagesClient,
            },
            reference::Reference,
            text::{digest, text},
        },
    },
    observation::Known,
};

/// Larger manifests, indexes and configs are not read, in bytes. Registries take 4 MiB of manifest.
const MAX_BLOB: usize = 8 << 20;
/// Manifests, indexes and configs kept in mind: content does not change.
const KEPT: usize = 512;
/// Most manifests of one index.
const MAX_MANIFESTS: usize = 256;
/// Most manifests with one config.
const MAX_CANDIDATES: usize = 64;
const CONFIG_OF: &str = "containerd.io/gc.ref.content.config";
const SNAPSHOT_OF: &str = "containerd.io/gc.ref.snapshot.";
const SOURCE: &[u8] = b"containerd.io/distribution.source.";

#[derive(Debug)]
pub(super) struct Store {
    channel: Channel,
    kept: Mutex<LruCache<Arc<str>, Arc<Blob>>>,
}

/// What is to be found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) namespace: &'a str,
    pub(super) requested: &'a str,
    /// What is requested is one of its names, and not the one that was asked for.
    pub(super) by_id: bool,
    /// containerd's own name for it.
    pub(super) stored: &'a str,
    /// Digest of the config that runs.
    pub(super) config: Option<&'a str>,
    /// Chain id of the layers that run, where the config is not known.
    pub(super) chain: Option<&'a str>,
    pub(super) snapshotter: &'a str,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) digest: Known<Arc<str>>,
    pub(super) index: Option<Arc<str>>,
    pub(super) config: Option<Arc<str>>,
    pub(super) diff_ids: Vec<Arc<str>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Found {
    manifest: Arc<str>,
    index: Option<Arc<str>>,
    config: Arc<str>,
}

/// Content by its shape: media types are missing now and then.
#[derive(Debug, Eq, PartialEq)]
pub(in crate::container::runtime) enum Blob {
    Manifest { config: Arc<str> },
    Index { manifests: Vec<Arc<str>> },
    Config { diff_ids: Vec<Arc<str>> },
    Other,
}

#[derive(Debug, Deserialize)]
struct Shape {
    config: Option<serde_json::Value>,
    layers: Option<Vec<serde_json::Value>>,
    manifests: Option<Vec<Descriptor>>,
    rootfs: Option<RootFs>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

impl Blob {
    pub(in crate::container::runtime) fn parse(json: &[u8]) -> Self {
        let Ok(shape) = serde_json::from_slice::<Shape>(json) else { return Self::Other };
        let checked = |text: &str| digest(text).map(Arc::<str>::from);
        if let Some(manifests) = shape.manifests {
            let manifests = manifests.iter().take(MAX_MANIFESTS).filter_map(|one| checked(&one.digest));
            return Self::Index { manifests: manifests.collect() };
        }
        if let Some(ids) = shape.rootfs.and_then(|rootfs| rootfs.diff_ids) {
            return Self::Config {
                diff_ids: ids.iter().take(MAX_LAYERS).filter_map(|id| checked(id)).collect(),
            };
        }
        let config = shape.config.as_ref().and_then(|config| checked(config.get("digest")?.as_str()?));
        match (config, shape.layers) {
            (Some(config), Some(_)) => Self::Manifest { config },
            _ => Self::Other,
        }
    }
}

impl Store {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, kept: Mutex::new(LruCache::new(KEPT)) }
    }

    pub(super) async fn find(&self, question: &Question<'_>) -> Answer {
        let found = if question.by_id { self.by_id(question).await } else { self.by_any(question).await };
        let found = found.unwrap_or_else(|failure| {
            tracing::debug!(%failure, "an image cannot be looked up in containerd");
            Known::Not(reason::IMAGE_UNREADABLE)
        });
        let (digest, index, config) = match found {
            Known::Is(Found { manifest, index, config }) => (Known::Is(manifest), index, Some(config)),
            Known::Not(reason) => (Known::Not(reason), None, question.config.map(Arc::from)),
        };
        let diff_ids = match &config {
            Some(config) => self.diff_ids(question.namespace, config).await.unwrap_or_default(),
            None => Vec::new(),
        };
        Answer { digest, index, config, diff_ids }
    }

    async fn by_any(&self, question: &Question<'_>) -> Result<Known<Found>, Failure> {
        match self.by_name(question).await? {
            Some(found) => Ok(Known::Is(found)),
            None => self.by_content(question).await,
        }
    }

    /// A name may be another manifest's: it only adds the index.
    async fn by_id(&self, question: &Question<'_>) -> Result<Known<Found>, Failure> {
        let unnamed = Question { requested: "", ..*question };
        let found = match self.by_content(&unnamed).await? {
            Known::Is(found) => found,
            unknown @ Known::Not(_) => return Ok(unknown),
        };
        let named = self.by_name(question).await?.filter(|named| named.manifest == found.manifest);
        Ok(Known::Is(named.unwrap_or(found)))
    }

    /// What the requested name leads to, if that is what runs.
    async fn by_name(&self, question: &Question<'_>) -> Result<Option<Found>, Failure> {
        let reference = Reference::parse(question.requested);
        let mut targets = Vec::new();
        if let Some(digest) = reference.and_then(|reference| reference.digest) {
            targets.push(Arc::<str>::from(digest));
        }
        let stored = reference.map(|reference| reference.stored());
        let names: [&str; 3] = [stored.as_deref().unwrap_or_default(), question.requested, question.stored];
        for (at, name) in names.iter().enumerate() {
            // containerd's own word for the image may be another image's name with the same config.
            let asked = at < 2 || reference.is_none();
            if name.is_empty() || !asked || names[..at].contains(name) {
                continue;
            }
            match self.target(question.namespace, name).await {
                Ok(target) => targets.push(target),
                Err(Failure::Unknown) => {}
                Err(failure) => return Err(failure),
            }
        }
        for target in targets {
            if let Some(found) = self.below(question, &target).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The manifest that runs, if it is this one or stands in this index.
    async fn below(&self, question: &Question<'_>, target: &Arc<str>) -> Result<Option<Found>, Failure> {
        let (manifests, index) = match &*self.blob(question.namespace, target).await? {
            Blob::Manifest { .. } => (vec![Arc::clone(target)], None),
            Blob::Index { manifests } => (manifests.clone(), Some(Arc::clone(target))),
            Blob::Config { .. } | Blob::Other => return Ok(None),
        };
        for manifest in manifests {
            // Those for other platforms are not there as a rule.
            if let Blob::Manifest { config } = &*self.blob(question.namespace, &manifest).await?
                && self.runs(question, config).await?
            {
                return Ok(Some(Found { manifest, index, config: Arc::clone(config) }));
            }
        }
        Ok(None)
    }

    /// Whether this config is the container's.
    async fn runs(&self, question: &Question<'_>, config: &Arc<str>) -> Result<bool, Failure> {
        match (question.config, question.chain) {
            (Some(running), _) => Ok(running == &**config),
            (None, Some(chain)) => {
                let diff_ids = self.diff_ids(question.namespace, config).await?;
                Ok(chain_id(&diff_ids).is_some_and(|own| own == chain))
            }
            (None, None) => Ok(false),
        }
    }

    /// Every manifest with the config that runs; of several, the one that came from the repository asked for.
    async fn by_content(&self, question: &Question<'_>) -> Result<Known<Found>, Failure> {
        let configs = match (question.config, question.chain) {
            (Some(config), _) => vec![config.to_owned()],
            (None, Some(chain)) => {
                let label = format!("{SNAPSHOT_OF}{}", question.snapshotter);
                self.labelled(question.namespace, &label, chain)
                    .await?
                    .into_iter()
                    .map(|(id, _)| id)
                    .collect()
            }
            (None, None) => return Ok(Known::Not(reason::IMAGE_GONE)),
        };
        let mut candidates = Vec::new();
        for config in configs.iter().take(MAX_CANDIDATES) {
            for (manifest, labels) in self.labelled(question.namespace, CONFIG_OF, config).await? {
                candidates.push((manifest, config, labels));
            }
        }
        let repository = Reference::parse(question.requested).map(|reference| reference.repository());
        let asked = |labels: &[api::Entry]| repository.as_ref().is_some_and(|name| came_from(name, labels));
        let narrowed: Vec<_> = candidates.iter().filter(|(_, _, labels)| asked(labels)).collect();
        match (candidates.as_slice(), narrowed.as_slice()) {
            ([(manifest, config, _)], _) | (_, [(manifest, config, _)]) => Ok(Known::Is(Found {
                manifest: manifest.as_str().into(),
                index: None,
                config: config.as_str().into(),
            })),
            ([], _) => Ok(Known::Not(reason::IMAGE_GONE)),
            _ => Ok(Known::Not(reason::DIGEST_AMBIGUOUS)),
        }
    }

    async fn target(&self, namespace: &str, name: &str) -> Result<Arc<str>, Failure> {
        let mut client = ImagesClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let request = within(namespace, api::GetImageRequest { name: name.to_owned() })?;
        let answer = in_time(async { Ok(client.get(request).await?) }).await?.into_inner();
        let target = answer.image.and_then(|image| image.target).unwrap_or_default();
        digest(text(&target.digest)?).map(Arc::from).ok_or(Failure::Malformed("an image's digest"))
    }

    async fn labelled(
        &self,
        namespace: &str,
        label: &str,
        value: &str,
    ) -> Result<Vec<(String, Vec<api::Entry>)>, Failure> {
        // Both come from outside, and stand between quotes in containerd's filter.
        if digest(value).is_none() || label.contains(['"', '\\']) {
            return Ok(Vec::new());
        }
        let mut client = ContentClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let filters = vec![format!("labels.\"{label}\"==\"{value}\"")];
        let request = within(namespace, api::ListContentRequest { filters })?;
        let mut answers = in_time(async { Ok(client.list(request).await?) }).await?.into_inner();
        let mut found = Vec::new();
        while let Some(answer) = in_time(async { Ok(answers.message().await?) }).await? {
            for info in answer.info {
                let id = text(&info.digest).ok().and_then(digest).map(str::to_owned);
                found.extend(id.map(|id| (id, info.labels)));
            }
            if found.len() > MAX_CANDIDATES {
                return Err(Failure::TooLarge("more than 64 manifests with one config"));
            }
        }
        Ok(found)
    }

    async fn diff_ids(&self, namespace: &str, config: &Arc<str>) -> Result<Vec<Arc<str>>, Failure> {
        match &*self.blob(namespace, config).await? {
            Blob::Config { diff_ids } => Ok(diff_ids.clone()),
            _ => Ok(Vec::new()),
        }
    }

    /// A manifest, index or config. [`Blob::Other`] is what is not there, too large or something else.
    async fn blob(&self, namespace: &str, digest: &Arc<str>) -> Result<Arc<Blob>, Failure> {
        if let Some(blob) = self.lock().get(digest) {
            return Ok(Arc::clone(blob));
        }
        let bytes = match self.read(namespace, digest).await {
            Ok(bytes) => bytes,
            // May be there later: it is not kept in mind.
            Err(Failure::Unknown | Failure::TooLarge(_)) => return Ok(Arc::new(Blob::Other)),
            Err(failure) => return Err(failure),
        };
        let blob = Arc::new(Blob::parse(&bytes));
        self.lock().insert(Arc::clone(digest), Arc::clone(&blob));
        Ok(blob)
    }

    async fn read(&self, namespace: &str, digest: &str) -> Result<Vec<u8>, Failure> {
        let mut client = ContentClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let request = api::ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
        let request = within(namespace, request)?;
        let mut answers = in_time(async { Ok(client.read(request).await?) }).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(answer) = in_time(async { Ok(answers.message().await?) }).await? {
            if bytes.len() + answer.data.len() > MAX_BLOB {
                return Err(Failure::TooLarge("a manifest of more than 8 MiB"));
            }
            bytes.extend_from_slice(&answer.data);
        }
        Ok(bytes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<Arc<str>, Arc<Blob>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a manifest was pulled from this repository: containerd lists the paths for each registry in a label.
fn came_from(repository: &str, labels: &[api::Entry]) -> bool {
    let Some((registry, path)) = repository.split_once('/') else { return false };
    let paths: BTreeSet<&[u8]> = labels
        .iter()
        .filter(|label| label.key.strip_prefix(SOURCE) == Some(registry.as_bytes()))
        .flat_map(|label| label.value.split(|byte| *byte == b','))
        .collect();
    paths.contains(path.as_bytes())
}

/// Of layers, the lowest first (OCI image-spec, config.md, "Layer ChainID").
fn chain_id(diff_ids: &[Arc<str>]) -> Option<String> {
    let (first, rest) = diff_ids.split_first()?;
    let sum = |text: String| {
        let sum = aws_lc_rs::digest::digest(&SHA256, text.as_bytes());
        let halves = sum.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
        halves.filter_map(|half| char::from_digit(half.into(), 16)).collect::<String>()
    };
    Some(
        rest.iter()
            .fold(first.to_string(), |chain, layer| format!("sha256:{}", sum(format!("{chain} {layer}")))),
    )
}
