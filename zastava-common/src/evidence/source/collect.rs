//! Looks up everything that a repository keeps about one subject.

use std::sync::Arc;

use super::findings::Findings;
use crate::evidence::{
    Digest, Fault, Reason, Refusal, SbomLevel, Verifiers,
    manifest::{Descriptor, Image, Manifest},
    predicate,
    registry::{Document, ROOM_OF_ONE, Reader, Referrer},
    signature::{
        ENVELOPE_LAYER, LegacyLayer, NoSignature, SIMPLE_SIGNING_LAYER, Signature, read_attestation,
        read_bundle, read_simple,
    },
    source::Wanted,
};

/// Referrers of one subject that are fetched.
const MAX_REFERRERS: usize = 64;

/// Layers of one manifest that are taken for signatures.
const MAX_SIGNATURES: usize = 64;

/// The most of a simple-signing payload that is read.
const MAX_PAYLOAD: usize = 64 * 1024;

/// The most of a bundle or envelope that is read where only signatures are wanted.
const MAX_BUNDLE: usize = 1 << 20;

/// The same where SBOMs and provenance are wanted, which they hold whole.
const MAX_ATTESTATION: usize = ROOM_OF_ONE;

/// The beginning of a bundle's media type, whatever its version.
const BUNDLE_LAYER: &str = "application/vnd.dev.sigstore.bundle";

/// Signatures of another system.
const NOTATION: &str = "application/vnd.cncf.notary.signature";

/// Everything about `subject` that is wanted, as far as it is needed.
pub(super) async fn collect<'a>(reader: Reader<'_>, subject: &Digest, wanted: &'a Wanted) -> Findings<'a> {
    let mut findings = Findings::new(subject.clone(), wanted);
    let collector = Collector { reader, wanted };
    let (tags, referrers) = tokio::join!(collector.tags(subject), reader.referrers(subject));
    for (purpose, tagged) in tags {
        match tagged {
            Ok(Some(document)) => collector.tagged(purpose, &document, &mut findings).await,
            Ok(None) => {}
            Err(fault) => findings.fault(fault),
        }
    }
    match referrers {
        Ok(referrers) => collector.referrers(referrers, &mut findings).await,
        Err(fault) => findings.fault(fault),
    }
    findings
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

    async fn tagged(&self, purpose: Purpose, document: &Document, findings: &mut Findings<'_>) {
        let Manifest::Image(image) = &document.manifest else {
            return findings.refuse(&NoSignature::Kind);
        };
        if purpose == Purpose::Sbom {
            return self.sbom(image, &document.digest, findings);
        }
        self.layers(image, findings).await;
    }

    /// Fetches what refers to the subject and looks what it is.
    async fn referrers(&self, mut listed: Vec<Referrer>, findings: &mut Findings<'_>) {
        // What is said to be a bundle comes first: it is mostly true, and nothing but order depends on it.
        let kind = |listed: &Referrer| {
            listed.artifact_type.as_deref().is_some_and(|kind| kind.starts_with(BUNDLE_LAYER))
        };
        listed.sort_by_key(|listed| !kind(listed));
        if listed.len() > MAX_REFERRERS {
            let detail = format!("it has {} referrers, of which {MAX_REFERRERS} are looked at", listed.len());
            findings.refuse_all(&Refusal { reason: Reason::SignatureInvalid, detail });
            listed.truncate(MAX_REFERRERS);
        }
        for Referrer { digest, .. } in listed {
            if findings.is_enough() {
                return;
            }
            match self.reader.manifest(&digest).await {
                Ok(Document { digest, manifest: Manifest::Image(image), .. }) => {
                    self.referrer(&image, &digest, findings).await;
                }
                // An index may refer to a subject too, and manifests of kinds that are not known here: none of them
                // is of the kinds looked for.
                Ok(_) | Err(Fault::Unsupported { .. }) => {}
                Err(fault) => findings.fault(fault),
            }
        }
    }

    async fn referrer(&self, image: &Image, digest: &Digest, findings: &mut Findings<'_>) {
        // The list is the registry's word; this is the artifact's own.
        if image.subject.as_ref() != Some(&findings.subject) {
            return;
        }
        if image.kind() == NOTATION {
            let detail = "it is signed with Notation, which is not supported";
            findings.refuse_all(&Refusal { reason: Reason::FormatUnsupported, detail: detail.to_owned() });
        }
        self.sbom(image, digest, findings);
        self.layers(image, findings).await;
    }

    /// An SBOM that stands by itself.
    fn sbom(&self, image: &Image, digest: &Digest, findings: &mut Findings<'_>) {
        let kinds =
            [image.kind()].into_iter().chain(image.layers.iter().map(|layer| layer.media_type.as_str()));
        let format = kinds.into_iter().find_map(predicate::sbom_media_type);
        // A referrer without content says nothing.
        let content = image.layers.iter().any(|layer| layer.size > 2);
        if let (Some(format), true, Some(_)) = (format, content, &self.wanted.sbom) {
            findings.add_sbom(SbomLevel::Present, format, digest.clone(), Vec::new());
        }
    }

    /// Reads those layers that hold signatures or attestations.
    async fn layers(&self, image: &Image, findings: &mut Findings<'_>) {
        let whole = self.wanted.sbom.is_some() || self.wanted.base.is_some();
        let bundle = if whole { MAX_ATTESTATION } else { MAX_BUNDLE };
        let known = image.layers.iter().filter_map(|layer| match layer.media_type.as_str() {
            SIMPLE_SIGNING_LAYER => Some((layer, MAX_PAYLOAD)),
            ENVELOPE_LAYER => Some((layer, bundle)),
            other if other.starts_with(BUNDLE_LAYER) => Some((layer, bundle)),
            _ => None,
        });
        for (at, (layer, limit)) in known.enumerate() {
            if findings.is_enough() {
                return;
            }
            if at == MAX_SIGNATURES {
                let detail = format!("of its signatures only {MAX_SIGNATURES} are looked at");
                return findings.refuse_all(&Refusal { reason: Reason::SignatureInvalid, detail });
            }
            match self.reader.blob(layer, limit).await {
                Ok(content) => {
                    let _alone = self.reader.client.parsing(content.len()).await;
                    match read(layer, &content) {
                        Ok(signature) => findings.consider(&signature),
                        Err(no_signature) => findings.refuse(&no_signature),
                    }
                }
                Err(fault) => findings.fault(fault),
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
