//! Asks registries the questions that evidence answers.

mod collect;
mod findings;

use std::sync::Arc;

use futures_util::future::join_all;

use self::{collect::collect, findings::Findings};
use super::{
    digest::Digest,
    facts::{Base, Evidence, Hint, Layers, Platform, Sbom, SbomFound, SbomLevel},
    fault::Fault,
    manifest::{Annotations, Descriptor, Image, ImageConfig, Index, MAX_CONFIG, Manifest},
    predicate::{self, IN_TOTO_LAYER},
    reference::{Host, ImageReference, Tag},
    registry::{
        AT_ONCE, BadRegistry, Budget, Client, Document, PullSecrets, Reader, RegistryConfig, RequestCount,
    },
    verifier::Verifiers,
};

/// Platforms of one image that are looked at one by one.
const MAX_PLATFORMS: usize = 32;

/// Attestations in an index that are looked at.
const MAX_IN_INDEX: usize = 64;

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

/// Reads registries. Cheap to clone; one serves all. Keeps tokens and connections, and no answers.
#[derive(Clone, Debug)]
pub struct Source {
    client: Arc<Client>,
}

impl Source {
    pub fn new(config: &RegistryConfig) -> Result<Self, BadRegistry> {
        Ok(Self { client: Arc::new(Client::new(config)?) })
    }

    /// The digest that the reference stands for now. Asks nobody where it has one itself.
    pub async fn resolve(&self, image: &ImageReference, secrets: &PullSecrets) -> Result<Digest, Fault> {
        if let Some(digest) = image.digest() {
            return Ok(digest.clone());
        }
        let latest = Tag::latest();
        let budget = Budget::default();
        self.reader(image, secrets, &budget).resolve(image.tag().unwrap_or(&latest).as_str()).await
    }

    /// Everything wanted about `digest` in the image's repository.
    pub async fn gather(
        &self,
        image: &ImageReference,
        digest: &Digest,
        wanted: &Wanted,
        secrets: &PullSecrets,
    ) -> Result<Evidence, Fault> {
        // It holds whatever a registry may have to be asked: 32 KiB.
        let budget = Budget::default();
        Box::pin(gather(self.reader(image, secrets, &budget), digest, wanted)).await
    }

    /// The layers of each platform of an image: of a base, to compare with.
    pub async fn layers(
        &self,
        image: &ImageReference,
        digest: &Digest,
        secrets: &PullSecrets,
    ) -> Result<Vec<Layers>, Fault> {
        let budget = Budget::default();
        let reader = self.reader(image, secrets, &budget);
        let document = reader.manifest(digest).await?;
        Ok(layers(reader, &document).await?.0)
    }

    /// Whether the configuration names this registry.
    pub fn lists(&self, registry: &Host) -> bool {
        self.client.lists(registry)
    }

    /// The same, counting requests on where `before` is: what was asked there comes in late, and a count that fell
    /// would look like one that stands still.
    #[must_use]
    pub fn succeeding(mut self, before: &Self) -> Self {
        if let Some(client) = Arc::get_mut(&mut self.client) {
            client.count_with(&before.client);
        }
        self
    }

    /// How many requests the registries had.
    pub fn requests(&self) -> Vec<RequestCount> {
        self.client.requests()
    }

    fn reader<'a>(
        &'a self,
        image: &'a ImageReference,
        secrets: &'a PullSecrets,
        budget: &'a Budget,
    ) -> Reader<'a> {
        Reader { client: &self.client, image, secrets, budget }
    }
}

fn platforms(Document { digest, manifest, .. }: &Document) -> Vec<Platform> {
    match manifest {
        Manifest::Image(_) => vec![Platform { digest: digest.clone(), name: None }],
        Manifest::Index(index) => {
            let name = |image: &Descriptor| image.platform.as_ref().map(ToString::to_string);
            index.images().map(|image| Platform { digest: image.digest.clone(), name: name(image) }).collect()
        }
    }
}

async fn gather(reader: Reader<'_>, digest: &Digest, wanted: &Wanted) -> Result<Evidence, Fault> {
    let document = reader.manifest(digest).await?;
    let platforms = platforms(&document);
    let mut whole = collect(reader, digest, wanted).await;
    if let (Manifest::Index(index), Some(_)) = (&document.manifest, &wanted.sbom) {
        in_index(reader, index, &mut whole).await;
    }
    let each = match &document.manifest {
        Manifest::Index(index) => each_platform(reader, index, wanted, &whole).await,
        Manifest::Image(_) => Vec::new(),
    };
    let complete = each.len() == platforms.len();
    let signatures = whole.signatures(&each, complete);
    let all = || [&whole].into_iter().chain(&each);
    let unknown = all().find_map(|findings| findings.unknown.clone());
    let sbom = wanted.sbom.as_ref().map(|_| {
        let found: Vec<SbomFound> = all().flat_map(|findings| findings.sboms.clone()).collect();
        Sbom { found, unknown: unknown.clone(), refused: reader.budget.exceeded().cloned() }
    });
    let mut base = wanted.base.as_ref().map(|_| Base { unknown, ..whole.base(&each, complete) });
    if let Some(base) = &mut base {
        match layers(reader, &document).await {
            Ok((layers, hint)) => (base.layers, base.hint) = (layers, hint),
            // What is no outage is told before one, which a namespace may excuse.
            Err(fault) if fault.leaves_open() => {
                if base.unknown.as_ref().is_none_or(Fault::is_outage) {
                    base.unknown = Some(fault);
                }
            }
            Err(fault) => {
                base.refused.get_or_insert(fault);
            }
        }
        // What was not looked at could name an image that is not allowed.
        if let Some(fault) = reader.budget.exceeded() {
            base.refused.get_or_insert_with(|| fault.clone());
            base.materials.clear();
        }
    }
    Ok(Evidence { digest: digest.clone(), platforms, signatures, sbom, base })
}

/// Looks at the platforms of an index as long as what was found for each of them can still make up for what was not
/// found for the index.
async fn each_platform(
    reader: Reader<'_>,
    index: &Index,
    wanted: &Wanted,
    whole: &Findings,
) -> Vec<Findings> {
    let images: Vec<&Descriptor> = index.images().collect();
    let mut each: Vec<Findings> = Vec::new();
    if images.len() > MAX_PLATFORMS {
        return each;
    }
    let best = |findings: &Findings, of: &Digest| {
        findings.sboms.iter().filter(|found| found.of == *of).map(|found| found.level).max()
    };
    let has_sbom =
        |platform: &Findings| best(platform, &platform.subject).max(best(whole, &platform.subject)).is_some();
    let makes_up = |each: &[Findings]| {
        let signatures = !whole.is_signed() && each.last().is_none_or(|last| last.shares_signer(each));
        let sbom_on_each = each.iter().all(has_sbom);
        let sbom =
            wanted.sbom.is_some() && best(whole, &whole.subject) < Some(SbomLevel::Signed) && sbom_on_each;
        let provenance = wanted.base.as_ref().is_some_and(|verifiers| !verifiers.is_empty())
            && !whole.has_provenance()
            && each.iter().all(Findings::has_provenance);
        signatures || sbom || provenance
    };
    // The first one mostly says whether there is anything of the others.
    let (first, others) = images.split_at(images.len().min(1));
    for images in [first].into_iter().chain(others.chunks(AT_ONCE)) {
        if !makes_up(&each) {
            return each;
        }
        for findings in join_all(images.iter().map(|image| collect(reader, &image.digest, wanted))).await {
            if !makes_up(&each) {
                return each;
            }
            each.push(findings);
        }
    }
    each
}

/// The SBOMs that BuildKit puts into the index itself.
async fn in_index(reader: Reader<'_>, index: &Index, whole: &mut Findings) {
    let attestations = index.manifests.iter().filter_map(|entry| Some((entry, entry.attests()?)));
    let of_image = |(_, about): &(_, Digest)| index.images().any(|image| image.digest == *about);
    let attestations: Vec<_> = attestations.take(MAX_IN_INDEX).filter(of_image).collect();
    for attestations in attestations.chunks(AT_ONCE) {
        let asked = attestations.iter().map(|(entry, _)| reader.manifest(&entry.digest));
        for ((_, about), manifest) in attestations.iter().zip(join_all(asked).await) {
            match manifest {
                Ok(Document { manifest: Manifest::Image(image), .. }) => statements(&image, about, whole),
                Ok(_) => {}
                Err(fault) => whole.fault(fault),
            }
        }
    }
}

fn statements(image: &Image, about: &Digest, whole: &mut Findings) {
    // A statement without content says nothing.
    let statements = image.layers.iter().filter(|layer| layer.media_type == IN_TOTO_LAYER && layer.size > 2);
    for layer in statements {
        let format = layer.annotations.get(PREDICATE_TYPE).and_then(|kind| predicate::sbom(kind));
        // One of a kind is as good as many.
        let known = |format| {
            let same = |found: &SbomFound| {
                found.of == *about && found.format == format && found.level == SbomLevel::Bound
            };
            whole.sboms.iter().any(same)
        };
        if let Some(format) = format
            && !known(format)
        {
            let (of, digest) = (about.clone(), layer.digest.clone());
            let (level, signed_by) = (SbomLevel::Bound, Vec::new());
            whole.sboms.push(SbomFound { of, level, format, digest, signed_by });
        }
    }
}

const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";

/// The layers of each platform, and what the image says of its base.
async fn layers(reader: Reader<'_>, document: &Document) -> Result<(Vec<Layers>, Option<Hint>), Fault> {
    match &document.manifest {
        Manifest::Image(image) => {
            let layers = layers_of(reader, &document.digest, image).await?;
            Ok((vec![layers], hint(&image.annotations)))
        }
        Manifest::Index(index) => {
            let images: Vec<&Descriptor> = index.images().collect();
            if images.len() > MAX_PLATFORMS {
                let host = reader.image.host().to_string();
                return Err(Fault::TooMany { host, what: "platforms", limit: MAX_PLATFORMS });
            }
            let mut all = Vec::new();
            let mut said = hint(&index.annotations);
            for images in images.chunks(AT_ONCE) {
                for found in join_all(images.iter().map(|image| layers_at(reader, &image.digest))).await {
                    let (layers, hint) = found?;
                    all.push(layers);
                    said = said.or(hint);
                }
            }
            Ok((all, said))
        }
    }
}

async fn layers_at(reader: Reader<'_>, digest: &Digest) -> Result<(Layers, Option<Hint>), Fault> {
    let Manifest::Image(image) = reader.manifest(digest).await?.manifest else {
        let kind = "an index within an index".to_owned();
        return Err(Fault::Unsupported { what: digest.to_string(), kind });
    };
    Ok((layers_of(reader, digest, &image).await?, hint(&image.annotations)))
}

async fn layers_of(reader: Reader<'_>, digest: &Digest, image: &Image) -> Result<Layers, Fault> {
    let config = reader.blob(&image.config, MAX_CONFIG).await?;
    let read = reader.client.apart.run(config.len(), move || ImageConfig::parse(&config)).await;
    let ImageConfig { platform, diff_ids } = read.map_err(|error| Fault::Malformed {
        host: reader.image.host().to_string(),
        what: format!("the configuration of {digest}"),
        cause: error.to_string(),
    })?;
    Ok(Layers { digest: digest.clone(), platform: platform.to_string(), diff_ids })
}

fn hint(annotations: &Annotations) -> Option<Hint> {
    let name = annotations.get("org.opencontainers.image.base.name").cloned();
    let digest =
        annotations.get("org.opencontainers.image.base.digest").and_then(|digest| digest.parse().ok());
    (name.is_some() || digest.is_some()).then_some(Hint { name, digest })
}
