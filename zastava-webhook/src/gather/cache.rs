//! What is remembered: bounded in bytes, each entry with a life of its own.

use std::{
    fmt::Debug,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache};
use zastava_common::{
    config,
    evidence::{Digest, Evidence, ImageReference, Layers, Outcome, Wanted, registry::PullSecrets},
};

use crate::known::Missing;

pub(super) trait Key: Clone + Debug + Eq + Hash + Send + Sync + 'static {}
impl<T: Clone + Debug + Eq + Hash + Send + Sync + 'static> Key for T {}
pub(super) trait Value: Clone + Debug + Send + Sync + 'static {}
impl<T: Clone + Debug + Send + Sync + 'static> Value for T {}

pub(super) type Facts<K, V> = Cache<K, Kept<V>>;

/// What is kept under `Ok`, what is told to those who wait and then forgotten under `Err`.
type Loaded<V> = Result<Result<V, Missing>, Box<Result<V, Missing>>>;

/// An entry.
#[derive(Clone, Debug)]
pub(super) struct Kept<V> {
    pub(super) since: Instant,
    /// A definite no is kept too.
    pub(super) value: Result<V, Missing>,
}

#[derive(Clone, Debug)]
pub(super) struct Caches {
    /// By reference and secrets.
    pub(super) tags: Facts<(String, [u8; 32]), Digest>,
    pub(super) facts: Facts<FactsKey, Arc<Evidence>>,
    /// Of allowed bases.
    pub(super) layers: Facts<String, Arc<Vec<Layers>>>,
}

/// Everything that facts depend on. What was found with one namespace's secrets is not told to another, and what was
/// found for other verifiers says nothing about these.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct FactsKey {
    /// Host, repository and digest.
    image: String,
    signatures: Option<[u8; 32]>,
    sbom: Option<[u8; 32]>,
    base: Option<[u8; 32]>,
    secrets: [u8; 32],
}

impl FactsKey {
    /// `image`: by digest.
    pub(super) fn new(image: &ImageReference, wanted: &Wanted, secrets: &PullSecrets) -> Self {
        let Wanted { signatures, sbom, base } = wanted;
        Self {
            image: image.to_string(),
            signatures: signatures.as_ref().map(|verifiers| verifiers.fingerprint()),
            sbom: sbom.as_ref().map(|verifiers| verifiers.fingerprint()),
            base: base.as_ref().map(|verifiers| verifiers.fingerprint()),
            secrets: secrets.fingerprint(),
        }
    }
}

impl Caches {
    pub(super) fn new(ttl: Duration, cache: &config::Cache) -> Self {
        let config::Cache { max_bytes, tag_seconds, negative_seconds, max_lookups: _ } = cache;
        let negative = negative_seconds.seconds();
        // Tags are small, and so are the layers of the few bases.
        let part = max_bytes.get() / 8;
        Self {
            tags: Cache::builder()
                .max_capacity(part)
                .weigher(|(reference, _): &(String, [u8; 32]), _: &Kept<Digest>| bytes(reference.len() + 300))
                .expire_after(Life { positive: tag_seconds.seconds(), negative })
                .build(),
            facts: Cache::builder()
                .max_capacity(max_bytes.get() - 2 * part)
                .weigher(|key: &FactsKey, kept: &Kept<Arc<Evidence>>| {
                    let evidence = kept.value.as_ref().map_or(300, |evidence| evidence.weight());
                    bytes(key.image.len() + 300 + evidence)
                })
                .expire_after(Life { positive: ttl, negative })
                .build(),
            layers: Cache::builder()
                .max_capacity(part)
                .weigher(|base: &String, kept: &Kept<Arc<Vec<Layers>>>| {
                    let layers = kept.value.as_ref().map_or(0, |layers| {
                        layers.iter().map(|layers| 200 + layers.diff_ids.len() * 112).sum()
                    });
                    bytes(base.len() + 300 + layers)
                })
                .expire_after(Life { positive: ttl, negative })
                .build(),
        }
    }
}

impl Caches {
    pub(super) fn bytes(&self) -> u64 {
        let Self { tags, facts, layers } = self;
        tags.weighted_size() + facts.weighted_size() + layers.weighted_size()
    }
}

/// A definite no is kept; every other failure is told and forgotten.
pub(super) fn keep<V>(value: Result<V, Missing>) -> Loaded<V> {
    match value {
        Err(missing) if !missing.is_definitive() => Err(Box::new(Err(missing))),
        value => Ok(value),
    }
}

/// Evidence with gaps is told and forgotten too.
pub(super) fn keep_evidence(value: Result<Arc<Evidence>, Missing>) -> Loaded<Arc<Evidence>> {
    match value {
        Ok(evidence) if has_gaps(&evidence) => Err(Box::new(Ok(evidence))),
        value => keep(value),
    }
}

fn has_gaps(evidence: &Evidence) -> bool {
    let Evidence { signatures, sbom, base, .. } = evidence;
    signatures.iter().any(|fact| matches!(fact.outcome, Outcome::Unknown(_)))
        || sbom.as_ref().is_some_and(|sbom| sbom.unknown.is_some())
        || base.as_ref().is_some_and(|base| base.unknown.is_some())
}

fn bytes(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// How long an entry lives.
struct Life {
    positive: Duration,
    negative: Duration,
}

impl<K, V> Expiry<K, Kept<V>> for Life {
    fn expire_after_create(&self, _: &K, kept: &Kept<V>, _: Instant) -> Option<Duration> {
        let life = if kept.value.is_ok() { self.positive } else { self.negative };
        // One that is put back is no younger for that.
        Some(life.saturating_sub(kept.since.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use zastava_common::evidence::{Fault, Reason, Refusal, Sbom, SignerFact};

    use super::*;

    fn too_many() -> Fault {
        Fault::TooMany { host: "reg.test".to_owned(), what: "pieces of evidence", limit: 1 }
    }

    #[test]
    fn what_is_more_than_is_looked_at_is_remembered_and_an_outage_is_not() {
        let busy = Fault::Busy { host: "reg.test".to_owned() };
        for (fault, kept) in [(too_many(), true), (busy, false)] {
            assert_eq!(keep::<()>(Err(Missing::Fault(fault.clone()))).is_ok(), kept, "{fault}");
            let refusal = Refusal { reason: Reason::SignatureInvalid, detail: fault.to_string() };
            let (outcome, unknown, refused) = if kept {
                (Outcome::Refused(refusal), None, Some(fault))
            } else {
                (Outcome::Unknown(fault.clone()), Some(fault), None)
            };
            let evidence = Evidence {
                digest: Digest::sha256(b"app"),
                platforms: Vec::new(),
                signatures: vec![SignerFact { verifier: "own".to_owned(), outcome }],
                sbom: Some(Sbom { found: Vec::new(), unknown, refused }),
                base: None,
            };
            assert_eq!(keep_evidence(Ok(Arc::new(evidence))).is_ok(), kept);
        }
    }
}
