//! Looks up everything that a repository keeps about one subject.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::join_all;

use super::findings::Findings;
use crate::evidence::{
    Digest, Fault, Reason, Refusal, SbomLevel, Verifiers,
    manifest::{Descriptor, Image, MAX_EVIDENCE, Manifest},
    predicate,
    registry::{AT_ONCE, Document, ROOM_OF_ONE, Reader, Referrer},
    signature::{
        BUNDLE_LAYER, ENVELOPE_LAYER, LegacyLayer, NoSignature, SIGNED_IMAGE, SIMPLE_SIGNING_LAYER,
        Signature, read_attestation, read_bundle, read_simple,
    },
    source::Wanted,
};

/// Referrers of one subject that are fetched.
const MAX_REFERRERS: usize = 64;

/// The most of a simple-signing payload that is read.
const MAX_PAYLOAD: usize = 64 * 1024;

/// The most of a bundle or envelope that is read where only signatures are wanted.
const MAX_BUNDLE: usize = 1 << 20;

/// The same where SBOMs and provenance are wanted, which they hold whole.
const MAX_ATTESTATION: usize = ROOM_OF_ONE;

/// Blobs of no more bytes are asked for several at once: most signatures are such.
const SMALL: usize = 32 << 10;

/// Signatures of another system.
const NOTATION: &str = "application/vnd.cncf.notary.signature";

/// Everything about `subject` that is wanted, as far as it is needed.
pub(super) async fn collect(reader: Reader<'_>, subject: &Digest, wanted: &Wanted) -> Findings {
    let mut findings = Findings::new(subject.clone(), wanted);
    let collector = Collector { reader, wanted };
    let mut pieces = Pieces::default();
    let (tags, referrers) = tokio::join!(collector.tags(subject), reader.referrers(subject));
    for (purpose, tagged) in tags {
        match tagged {
            Ok(Some(document)) => collector.tagged(purpose, document, &mut findings, &mut pieces),
            Ok(None) => {}
            Err(fault) => findings.fault(fault),
        }
    }
    collector.look(&mut pieces, &mut findings).await;
    match referrers {
        Ok(referrers) => collector.referrers(referrers, &mut findings, &mut pieces).await,
        Err(fault) => findings.fault(fault),
    }
    findings
}

/// What is still to be looked at of one subject.
#[derive(Default)]
struct Pieces {
    blobs: Vec<Blob>,
    /// A bundle has all that it says in itself: named again, it says nothing new.
    bundles: HashSet<(Digest, u64)>,
}

/// A blob, and the layers of one manifest that name it: cosign's differ in what is written beside them.
struct Blob {
    layers: Vec<Descriptor>,
    limit: usize,
}

#[derive(Clone, Copy)]
struct Collector<'a> {
    reader: Reader<'a>,
    wanted: &'a Wanted,
}

/// What a tag of cosign's is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Purpose {
    Signatures,
    Attestations,
    Sbom,
}

impl Collector<'_> {
    /// Cosign's tags, asked for at once.
    async fn tags(&self, subject: &Digest) -> Vec<(Purpose, Result<Option<Document>, Fault>)> {
        let Wanted { signatures, sbom, base } = self.wanted;
        let legacy = |verifiers: &Option<Arc<Verifiers>>| {
            verifiers.as_ref().is_some_and(|verifiers| verifiers.iter().any(|verifier| verifier.legacy))
        };
        let tag = subject.fallback_tag();
        let ask = async |wanted: bool, suffix: &str| {
            if wanted { Some(self.reader.tagged(&format!("{tag}{suffix}")).await) } else { None }
        };
        let (sig, att, bom) = tokio::join!(
            ask(legacy(signatures), ".sig"),
            ask(legacy(sbom) || legacy(base), ".att"),
            ask(sbom.is_some(), ".sbom"),
        );
        let answers = [(Purpose::Signatures, sig), (Purpose::Attestations, att), (Purpose::Sbom, bom)];
        answers.into_iter().filter_map(|(purpose, answer)| Some((purpose, answer?))).collect()
    }

    fn tagged(&self, purpose: Purpose, document: Document, findings: &mut Findings, pieces: &mut Pieces) {
        let Manifest::Image(image) = document.manifest else {
            return findings.refuse(&NoSignature::Kind);
        };
        if purpose == Purpose::Sbom {
            return self.sbom(&image, &document.digest, findings);
        }
        self.layers(*image, findings, pieces);
    }

    /// Fetches what refers to the subject and looks what it is.
    async fn referrers(&self, mut listed: Vec<Referrer>, findings: &mut Findings, pieces: &mut Pieces) {
        listed.sort_by_key(|listed| self.order(listed));
        if listed.len() > MAX_REFERRERS {
            let detail = format!("it has {} referrers, of which {MAX_REFERRERS} are looked at", listed.len());
            findings.refuse_all(&Refusal { reason: Reason::SignatureInvalid, detail });
            listed.truncate(MAX_REFERRERS);
        }
        for listed in listed.chunks(AT_ONCE) {
            if findings.is_enough() {
                return;
            }
            let asked = listed.iter().map(|Referrer { digest, .. }| self.reader.manifest(digest));
            for manifest in join_all(asked).await {
                match manifest {
                    Ok(Document { digest, manifest: Manifest::Image(image), .. }) => {
                        self.referrer(*image, &digest, findings, pieces);
                    }
                    // An index may refer to a subject too, and manifests of kinds that are not known here: none of
                    // them is of the kinds looked for.
                    Ok(_) | Err(Fault::Unsupported { .. }) => {}
                    Err(fault) => findings.fault(fault),
                }
            }
            self.look(pieces, findings).await;
        }
    }

    /// When a referrer is looked at, by what it is said to be: that is mostly true, and nothing but the order depends on
    /// it. What is wanted comes first, then what may be, for scanners leave hundreds of others.
    fn order(&self, Referrer { artifact_type, predicate_type, .. }: &Referrer) -> u8 {
        let Wanted { signatures, sbom, base } = self.wanted;
        let artifact_type = artifact_type.as_deref().unwrap_or_default();
        let bundle = artifact_type.starts_with(BUNDLE_LAYER);
        match predicate_type.as_deref() {
            Some(SIGNED_IMAGE) if signatures.is_some() => 0,
            Some(kind) if sbom.is_some() && predicate::sbom(kind).is_some() => 1,
            Some(kind) if base.is_some() && predicate::is_provenance(kind) => 1,
            _ if sbom.is_some() && predicate::sbom_media_type(artifact_type).is_some() => 1,
            None if bundle => 2,
            _ if bundle => 3,
            _ => 4,
        }
    }

    fn referrer(&self, image: Image, digest: &Digest, findings: &mut Findings, pieces: &mut Pieces) {
        // The list is the registry's word; this is the artifact's own.
        if image.subject.as_ref() != Some(&findings.subject) {
            return;
        }
        if image.kind() == NOTATION {
            let detail = "it is signed with Notation, which is not supported";
            findings.refuse_all(&Refusal { reason: Reason::FormatUnsupported, detail: detail.to_owned() });
        }
        self.sbom(&image, digest, findings);
        self.layers(image, findings, pieces);
    }

    /// An SBOM that stands by itself.
    fn sbom(&self, image: &Image, digest: &Digest, findings: &mut Findings) {
        let kinds =
            [image.kind()].into_iter().chain(image.layers.iter().map(|layer| layer.media_type.as_str()));
        let format = kinds.into_iter().find_map(predicate::sbom_media_type);
        // A referrer without content says nothing.
        let content = image.layers.iter().any(|layer| layer.size > 2);
        if let (Some(format), true, Some(_)) = (format, content, &self.wanted.sbom) {
            findings.add_sbom(SbomLevel::Present, format, digest.clone(), Vec::new());
        }
    }

    /// Puts those layers that hold signatures or attestations among the pieces.
    fn layers(&self, image: Image, findings: &mut Findings, pieces: &mut Pieces) {
        let whole = self.wanted.sbom.is_some() || self.wanted.base.is_some();
        let bundle = if whole { MAX_ATTESTATION } else { MAX_BUNDLE };
        let known = image.layers.into_iter().filter_map(|layer| match layer.media_type.as_str() {
            SIMPLE_SIGNING_LAYER => Some((layer, MAX_PAYLOAD)),
            ENVELOPE_LAYER => Some((layer, bundle)),
            other if other.starts_with(BUNDLE_LAYER) => Some((layer, bundle)),
            _ => None,
        });
        let first = pieces.blobs.len();
        for (at, (layer, limit)) in known.enumerate() {
            if at == MAX_EVIDENCE {
                let detail = format!("of its signatures only {MAX_EVIDENCE} are looked at");
                return findings.refuse_all(&Refusal { reason: Reason::SignatureInvalid, detail });
            }
            let bundle = layer.media_type.starts_with(BUNDLE_LAYER);
            if bundle && !pieces.bundles.insert((layer.digest.clone(), layer.size)) {
                continue;
            }
            let same = pieces.blobs.iter_mut().skip(first).find(|blob| blob.is_of(&layer));
            match same {
                Some(blob) => blob.layers.push(layer),
                None => pieces.blobs.push(Blob { layers: vec![layer], limit }),
            }
        }
    }

    /// Looks at the pieces, in their order.
    async fn look(&self, pieces: &mut Pieces, findings: &mut Findings) {
        let mut left = std::mem::take(&mut pieces.blobs).into_iter();
        loop {
            let blobs: Vec<Blob> = left.by_ref().take(AT_ONCE).collect();
            if blobs.is_empty() || findings.is_enough() {
                return;
            }
            let small = join_all(blobs.iter().map(|blob| self.small(blob))).await;
            for (blob, small) in blobs.into_iter().zip(small) {
                if findings.is_enough() {
                    return;
                }
                match small {
                    None => self.large(blob, findings).await,
                    Some(Ok(content)) => blob.consider(&content, findings),
                    Some(Err(fault)) => findings.fault(fault),
                }
            }
        }
    }

    /// The content of a small blob. It is copied, so that what is asked for beside it finds its room.
    async fn small(&self, blob: &Blob) -> Option<Result<Vec<u8>, Fault>> {
        let layer = blob.layers.first()?;
        if usize::try_from(layer.size).is_ok_and(|size| size <= SMALL) {
            Some(self.reader.blob(layer, blob.limit).await.map(|content| content.to_vec()))
        } else {
            None
        }
    }

    async fn large(&self, blob: Blob, findings: &mut Findings) {
        let Some(layer) = blob.layers.first() else { return };
        let _alone = match self.reader.budget.alone(self.reader.image.host()).await {
            Ok(alone) => alone,
            Err(fault) => return findings.fault(fault),
        };
        match self.reader.blob(layer, blob.limit).await {
            Ok(content) => {
                let size = content.len();
                let mut apart = findings.clone();
                let consider = move || {
                    blob.consider(&content, &mut apart);
                    apart
                };
                *findings = self.reader.client.apart.run(size, consider).await;
            }
            Err(fault) => findings.fault(fault),
        }
    }
}

impl Blob {
    fn is_of(&self, layer: &Descriptor) -> bool {
        self.layers.first().is_some_and(|first| {
            first.digest == layer.digest && first.media_type == layer.media_type && first.size == layer.size
        })
    }

    fn consider(&self, content: &[u8], findings: &mut Findings) {
        for layer in &self.layers {
            match read(layer, content) {
                Ok(signature) => findings.consider(&signature),
                Err(no_signature) => findings.refuse(&no_signature),
            }
        }
    }
}

fn read(layer: &Descriptor, content: &[u8]) -> Result<Signature, NoSignature> {
    let Descriptor { media_type, digest, annotations, .. } = layer;
    let legacy = LegacyLayer { content, digest, annotations };
    match media_type.as_str() {
        SIMPLE_SIGNING_LAYER => read_simple(legacy),
        ENVELOPE_LAYER => read_attestation(legacy),
        _ => read_bundle(content, digest),
    }
}
