//! Finds out what the rules want to know about images: asks registries and the backend, remembers facts, and never asks
//! the same thing twice at once.
//!
//! A look-up is a task of its own: when the request that began it is out of time, it goes on, and the next request finds
//! its result. Only facts are remembered, never a decision; what could not be had is not remembered at all, and a
//! definite no only for a short time.
#![forbid(unsafe_code)]

mod cache;
mod lookups;
#[cfg(test)]
mod tests;
mod verdict;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{task::JoinHandle, time::timeout_at};
use zastava_common::{
    backend::Backend,
    config::{Cache, SbomLevel},
    evidence::{
        Digest, ImageReference, Source,
        registry::{PullSecrets, RequestCount},
    },
    metric,
};

pub use self::verdict::{Labels, labels};
use self::{
    cache::{Caches, Kept},
    lookups::{Lookups, Registry},
    verdict::Verdicts,
};
use crate::{
    known::{Known, Missing},
    policy::Rules,
};

/// How far a request had to go.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Depth {
    /// Everything was known.
    #[default]
    Warm,
    /// The evidence was known; a tag or the backend had to be asked about.
    Evidence,
    /// A registry had to be asked for evidence.
    Cold,
}

impl Depth {
    pub fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Evidence => "evidence",
            Self::Cold => "cold",
        }
    }
}

/// What was found out about the images of one request.
#[derive(Debug)]
pub struct Gathered {
    /// In the order in which they were asked about.
    pub known: Vec<Known>,
    pub depth: Depth,
    /// The oldest fact in it that was remembered.
    pub oldest: Duration,
}

/// Who is asked about, and by when.
#[derive(Clone, Debug)]
pub struct Question {
    pub namespace: String,
    pub labels: Labels,
    pub secrets: Arc<PullSecrets>,
    pub deadline: Instant,
    /// Facts older than this are asked for anew.
    pub max_age: Option<Duration>,
}

/// Asks, and remembers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gatherer {
    source: Source,
    caches: Caches,
    /// `None`: there is no backend.
    verdicts: Option<Verdicts>,
    lookups: Lookups,
}

impl Gatherer {
    /// `backend`: with the tenant in whose name it is asked. `ttl`: of facts.
    pub fn new(source: Source, backend: Option<(Backend, &str)>, ttl: Duration, cache: &Cache) -> Self {
        Self {
            source,
            caches: Caches::new(ttl, cache),
            verdicts: backend.map(|(backend, tenant)| Verdicts::new(backend, tenant, ttl, cache)),
            lookups: Lookups::new(cache.max_lookups.entries()),
        }
    }

    /// The same, counting requests on where `before` is.
    #[must_use]
    pub fn succeeding(self, before: &Self) -> Self {
        Self { source: self.source.succeeding(&before.source), ..self }
    }

    /// Everything that `rules` want to know about `images`; what is not had by the deadline is missing.
    pub async fn gather(
        &self,
        images: &[ImageReference],
        rules: &Arc<Rules>,
        question: &Question,
    ) -> Gathered {
        // All at once. No tasks of their own: what is known is had without a wait, and each look-up is a task already.
        let parts = images.iter().map(|image| self.evidence(image, rules, question));
        let mut parts = join_all(parts).await;
        let without_sbom = |part: &Part| match &part.known.evidence {
            Some(Ok(evidence)) => evidence.sbom_level().is_none(),
            _ => false,
        };
        // Its catalogue may have the SBOM that the registry has not.
        let catalogue = rules.sbom == Some(SbomLevel::Present) && parts.iter().any(without_sbom);
        if rules.verdict || catalogue {
            self.ask_backend(images, &mut parts, question).await;
        }
        let depth = parts.iter().map(|part| part.depth).max().unwrap_or_default();
        let oldest = parts.iter().map(|part| part.age).max().unwrap_or_default();
        Gathered { known: parts.into_iter().map(|part| part.known).collect(), depth, oldest }
    }

    /// How often registries were asked.
    pub fn requests(&self) -> Vec<RequestCount> {
        self.source.requests()
    }

    /// The same as metrics.
    pub fn count_requests(&self) {
        for request in self.requests() {
            let counter =
                metrics::counter!(metric::REGISTRY_REQUESTS, "host" => request.host, "code" => request.code);
            counter.absolute(request.count);
        }
    }

    /// What it remembers, in bytes.
    pub fn bytes(&self) -> u64 {
        self.caches.bytes() + self.verdicts.as_ref().map_or(0, Verdicts::bytes)
    }

    async fn evidence(&self, image: &ImageReference, rules: &Rules, question: &Question) -> Part {
        let mut part = Part::default();
        let digest = match image.digest() {
            Some(digest) => Ok(digest.clone()),
            None => part.take(self.resolve(image, question).await, Depth::Evidence),
        };
        part.known.digest = Some(digest.clone());
        let Ok(digest) = digest else { return part };
        if rules.needs_evidence() {
            let evidence = self.facts(image, &digest, rules, question).await;
            part.known.evidence = Some(part.take(evidence, Depth::Cold));
        }
        for base in rules.bases_by_layers() {
            if part.known.bases.iter().all(|(known, _)| known != base) {
                let layers = self.layers(base, question).await;
                let layers = part.take(layers, Depth::Cold);
                part.known.bases.push((base.clone(), layers));
            }
        }
        part
    }

    async fn resolve(&self, image: &ImageReference, question: &Question) -> Looked<Digest> {
        let (source, tags) = (self.source.clone(), self.caches.tags.clone());
        let (image, secrets) = (image.clone(), Arc::clone(&question.secrets));
        let key = (image.to_string(), secrets.fingerprint());
        let registry = self.registry(&image);
        self.look(tags, key, registry, question, async move {
            let digest = source.resolve(&image, &secrets).await;
            cache::keep(digest.map_err(Missing::Fault))
        })
        .await
    }

    async fn facts(
        &self,
        image: &ImageReference,
        digest: &Digest,
        rules: &Rules,
        question: &Question,
    ) -> Looked<Arc<zastava_common::evidence::Evidence>> {
        let (source, facts) = (self.source.clone(), self.caches.facts.clone());
        let (image, digest) = (image.at(digest.clone()), digest.clone());
        let (wanted, secrets) = (rules.wanted.clone(), Arc::clone(&question.secrets));
        let key = cache::FactsKey::new(&image, &wanted, &secrets);
        let registry = self.registry(&image);
        self.look(facts, key, registry, question, async move {
            let evidence = source.gather(&image, &digest, &wanted, &secrets).await;
            cache::keep_evidence(evidence.map(Arc::new).map_err(Missing::Fault))
        })
        .await
    }

    async fn layers(
        &self,
        base: &ImageReference,
        question: &Question,
    ) -> Looked<Arc<Vec<zastava_common::evidence::Layers>>> {
        let (source, layers) = (self.source.clone(), self.caches.layers.clone());
        let base = base.clone();
        // The operator named the base: a pod's secrets are not for it.
        let registry = self.registry(&base);
        self.look(layers, base.to_string(), registry, question, async move {
            let Some(digest) = base.digest() else { return Err(Box::new(Err(Missing::Deadline))) };
            let layers = source.layers(&base, digest, &PullSecrets::default()).await;
            cache::keep(layers.map(Arc::new).map_err(Missing::Fault))
        })
        .await
    }

    fn registry(&self, image: &ImageReference) -> Registry {
        Registry { host: image.host().clone(), listed: self.source.lists(image.host()) }
    }

    /// From the cache, else by a task that all who ask for the same wait for.
    async fn look<K: cache::Key, V: cache::Value>(
        &self,
        cache: cache::Facts<K, V>,
        key: K,
        registry: Registry,
        question: &Question,
        load: impl Future<Output = Result<Result<V, Missing>, Box<Result<V, Missing>>>> + Send + 'static,
    ) -> Looked<V> {
        let old = cache.get(&key).await;
        if let Some(Kept { since, value }) = &old {
            let age = since.elapsed();
            if question.max_age.is_none_or(|most| age <= most) {
                return Looked { value: value.clone(), age: Some(age) };
            }
            cache.invalidate(&key).await;
        }
        let (lookups, namespace) = (self.lookups.clone(), question.namespace.clone());
        let task = tokio::spawn(async move {
            let load = async move {
                let loaded = lookups.run(registry, namespace, load).await;
                let loaded = loaded.unwrap_or_else(|missing| Err(Box::new(Err(missing))));
                loaded.map(|value| Kept { since: Instant::now(), value })
            };
            match cache.try_get_with(key.clone(), load).await {
                Ok(Kept { value, .. }) => value,
                Err(unkept) => {
                    // An outage takes away nothing that was known: what is not fresh enough for a refusal is enough for
                    // those who would be let through.
                    let passes = unkept.as_ref().as_ref().as_ref().err().is_none_or(Missing::is_outage);
                    if let Some(old) = old.filter(|_| passes && !cache.contains_key(&key)) {
                        cache.insert(key, old).await;
                    }
                    (**unkept).clone()
                }
            }
        });
        Looked { value: in_time(task, question.deadline).await, age: None }
    }
}

/// What a task comes to by then. It goes on when it is late.
async fn in_time<V>(task: JoinHandle<Result<V, Missing>>, deadline: Instant) -> Result<V, Missing> {
    match timeout_at(deadline.into(), task).await {
        Ok(Ok(value)) => value,
        Ok(Err(error)) if error.is_panic() => Err(Missing::Panic),
        // The program ends.
        Ok(Err(_)) | Err(_) => Err(Missing::Deadline),
    }
}

impl Gatherer {
    /// One question about all images whose digest is known.
    async fn ask_backend(&self, images: &[ImageReference], parts: &mut [Part], question: &Question) {
        let Some(verdicts) = &self.verdicts else { return };
        let known = parts.iter().zip(images).enumerate().filter_map(|(at, (part, image))| {
            let digest = part.known.digest.as_ref()?.as_ref().ok()?;
            Some((at, image.clone(), digest.clone()))
        });
        for (at, value, age) in verdicts.of(known.collect(), question).await {
            let verdict = parts[at].take(Looked { value, age }, Depth::Evidence);
            parts[at].known.verdict = Some(verdict);
        }
    }
}

/// About one image.
#[derive(Debug, Default)]
struct Part {
    known: Known,
    depth: Depth,
    age: Duration,
}

impl Part {
    fn take<V>(&mut self, Looked { value, age }: Looked<V>, depth: Depth) -> Result<V, Missing> {
        match age {
            Some(age) => {
                metrics::counter!(metric::ADMISSION_CACHE_HITS).increment(1);
                self.age = self.age.max(age);
            }
            None => self.depth = self.depth.max(depth),
        }
        value
    }
}

/// What a look-up came to.
struct Looked<V> {
    value: Result<V, Missing>,
    /// Since when it was remembered; `None`: it was asked for.
    age: Option<Duration>,
}
