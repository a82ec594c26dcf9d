//! What `made/make.cjs` made: images, keys, and evidence about them.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use serde::Deserialize;
use zastava_common::evidence::{
    Digest, Verifiers,
    manifest::{Descriptor, Image, Manifest},
    signature::{LegacyLayer, NoSignature, Signature, read_attestation, read_bundle, read_simple},
    verifier::{Identity, Matcher, Method, Need, PublicKey, TrustRoot, Verifier},
};

#[derive(Debug, Deserialize)]
pub(crate) struct Made {
    pub(crate) images: BTreeMap<String, Named>,
    pub(crate) evidence: BTreeMap<String, Piece>,
    pub(crate) issuer: String,
    pub(crate) builder: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Named {
    pub(crate) digest: Digest,
}

/// One piece of evidence: a manifest that refers to an image, or that a tag of cosign's stands for.
#[derive(Debug, Deserialize)]
pub(crate) struct Piece {
    pub(crate) subject: String,
    pub(crate) referrer: Option<Descriptor>,
    pub(crate) tag: Option<String>,
    pub(crate) manifest: Option<Descriptor>,
}

/// Tests of the webhook have this file too.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../zastava-common/tests/evidence/made")
}

pub(crate) fn made() -> Made {
    serde_json::from_str(&text("made.json")).unwrap()
}

pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

pub(crate) fn blob(digest: &Digest) -> Vec<u8> {
    fs::read(folder().join("image/blobs/sha256").join(digest.hex())).unwrap()
}

impl Made {
    pub(crate) fn digest(&self, image: &str) -> &Digest {
        &self.images[image].digest
    }

    pub(crate) fn piece(&self, name: &str) -> &Piece {
        self.evidence.get(name).unwrap_or_else(|| panic!("no evidence {name}"))
    }

    /// The layers of a piece of evidence, with what they hold.
    pub(crate) fn layers(&self, name: &str) -> Vec<(Descriptor, Vec<u8>)> {
        let layers = self.piece(name).image().layers.into_iter();
        layers.map(|layer| (layer.clone(), blob(&layer.digest))).collect()
    }

    /// The one signature of a piece of evidence.
    pub(crate) fn signature(&self, name: &str) -> Result<Signature, NoSignature> {
        let layers = self.layers(name);
        let [(layer, content)] = layers.as_slice() else { panic!("{name} has {} layers", layers.len()) };
        read(layer, content)
    }
}

impl Piece {
    pub(crate) fn descriptor(&self) -> &Descriptor {
        self.referrer.as_ref().or(self.manifest.as_ref()).unwrap()
    }

    pub(crate) fn image(&self) -> Image {
        match Manifest::parse(&blob(&self.descriptor().digest), None).unwrap() {
            Manifest::Image(image) => *image,
            Manifest::Index(_) => panic!("an index"),
        }
    }
}

/// Reads a layer as what its media type says.
pub(crate) fn read(layer: &Descriptor, content: &[u8]) -> Result<Signature, NoSignature> {
    let Descriptor { media_type, digest, annotations, .. } = layer;
    let legacy = LegacyLayer { content, digest, annotations };
    match media_type.as_str() {
        "application/vnd.dev.cosign.simplesigning.v1+json" => read_simple(legacy),
        "application/vnd.dsse.envelope.v1+json" => read_attestation(legacy),
        _ => read_bundle(content, digest),
    }
}

pub(crate) fn root(name: &str) -> Arc<TrustRoot> {
    Arc::new(TrustRoot::from_json(&text(&format!("roots/{name}.json"))).unwrap())
}

pub(crate) fn key(name: &str) -> Verifier {
    let key = PublicKey::from_pem(&text(&format!("keys/{name}.pub"))).unwrap();
    Verifier { name: name.to_owned(), method: Method::Key { key, log: None }, legacy: true }
}

pub(crate) fn logged_key(name: &str, with: &str) -> Verifier {
    let key = PublicKey::from_pem(&text(&format!("keys/{name}.pub"))).unwrap();
    Verifier { name: name.to_owned(), method: Method::Key { key, log: Some(root(with)) }, legacy: true }
}

/// The builder that signed what is signed rightly, by the root named.
pub(crate) fn builder(with: &str) -> Verifier {
    let Made { issuer, builder, .. } = made();
    keyless(Matcher::Exact(issuer), Matcher::Exact(builder), with, true)
}

pub(crate) fn keyless(issuer: Matcher, subject: Matcher, with: &str, log: bool) -> Verifier {
    let method = Method::Keyless { identity: Identity { issuer, subject }, root: root(with), log };
    Verifier { name: "builder".to_owned(), method, legacy: true }
}

pub(crate) fn any(verifiers: Vec<Verifier>) -> Arc<Verifiers> {
    Arc::new(Verifiers::new(verifiers, Need::Any))
}
