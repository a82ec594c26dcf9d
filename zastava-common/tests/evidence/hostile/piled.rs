//! Whoever may push piles up evidence: that ends in a refusal, and soon, and never in an outage.

use std::time::Duration;

use axum::body::Bytes;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};
use zastava_common::evidence::{
    Digest, Evidence, Fault, Outcome, Reason, SbomLevel, Source, Wanted,
    registry::PullSecrets,
    verifier::{Method, Need, PublicKey, Verifier},
};

use super::fake::{Fake, INDEX, MANIFEST, ok};
use crate::{
    lab::signed_by,
    made::{self, any, key, made},
};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// Questions of one look-up.
const MOST: usize = 512;

/// Somebody who may push.
struct Pile {
    fake: Fake,
}

impl Pile {
    async fn start() -> Self {
        Self { fake: Fake::with(&[]).await }
    }

    fn blob(&self, media_type: &str, content: impl Into<Bytes>) -> Value {
        let content = content.into();
        let digest = Digest::sha256(&content);
        let descriptor = json!({ "mediaType": media_type, "digest": digest, "size": content.len() });
        self.fake.on(&format!("/v2/team/app/blobs/{digest}"), move |_| ok("", content.clone()));
        descriptor
    }

    fn manifest(&self, media_type: &'static str, content: &str) -> Value {
        let digest = Digest::sha256(content.as_bytes());
        self.tag(&digest.to_string(), media_type, content);
        json!({ "mediaType": media_type, "digest": digest, "size": content.len() })
    }

    fn tag(&self, tag: &str, media_type: &'static str, content: &str) {
        let content = content.to_owned();
        self.fake.on(&format!("/v2/team/app/manifests/{tag}"), move |_| ok(media_type, content.clone()));
    }

    fn referrer(&self, subject: &Digest, layers: &[Value]) -> Value {
        let config = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256(b"{}"), "size": 2 });
        let subject = json!({ "mediaType": MANIFEST, "digest": subject, "size": 1 });
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, "subject": subject });
        self.manifest(MANIFEST, &manifest.to_string())
    }

    fn list(&self, subject: &Digest, referrers: &[Value]) {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": referrers }).to_string();
        self.fake.on(&format!("/v2/team/app/referrers/{subject}"), move |_| ok(INDEX, index.clone()));
    }

    async fn gather(&self, digest: &Digest, wanted: &Wanted) -> Result<Evidence, Fault> {
        self.fake.source().gather(&self.fake.image(), digest, wanted, &PullSecrets::default()).await
    }

    fn asked(&self, what: &str) -> usize {
        self.fake.asked().iter().filter(|asked| asked.path.contains(what)).count()
    }
}

fn refused(evidence: &Evidence) -> (Reason, &str) {
    match &evidence.signatures[0].outcome {
        Outcome::Refused(refusal) => (refusal.reason, &refusal.detail),
        other => panic!("{other:?}"),
    }
}

fn wanted() -> Wanted {
    signed_by(any(vec![key("p256")]))
}

/// Everything that there may be.
fn all_wanted() -> Wanted {
    let verifiers = any(vec![key("p256")]);
    Wanted { signatures: Some(verifiers.clone()), sbom: Some(verifiers.clone()), base: Some(verifiers) }
}

fn padded(manifest: &str) -> String {
    manifest.replacen('{', &format!("{{\"pad\":\"{}\",", "x".repeat(3 << 20)), 1)
}

#[tokio::test]
async fn padding_a_manifest_takes_no_room_from_the_manifests_beside_it() {
    let made = made();
    let app = String::from_utf8(made::blob(made.digest("app"))).unwrap();
    let piece = made.piece("p256.sig");
    let sig = String::from_utf8(made::blob(&piece.descriptor().digest)).unwrap();
    let pile = Pile { fake: Fake::with(&["p256.sig"]).await };
    let tag = format!("{}.sig", made.digest("app").fallback_tag());
    pile.tag(&tag, MANIFEST, &padded(&sig));
    let evidence = pile.gather(made.digest("app"), &wanted()).await.unwrap();
    assert!(evidence.signatures[0].is_verified(), "{evidence:?}");
    // An image of somebody else's, with the same pads and as many referrers as are looked at.
    let image = pile.manifest(MANIFEST, &padded(&app));
    let digest: Digest = image["digest"].as_str().unwrap().parse().unwrap();
    let (reason, other) = (Reason::SignatureInvalid, format!("{}.sig", digest.fallback_tag()));
    pile.tag(&other, MANIFEST, &padded(&sig));
    let referrer = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": { "mediaType": "x", "digest": digest, "size": 2 }, "layers": [], "subject": image });
    let referrers: Vec<_> = (0..8)
        .map(|n| {
            pile.manifest(MANIFEST, &padded(&referrer.to_string().replacen("\"x\"", &format!("\"x{n}\""), 1)))
        })
        .collect();
    pile.list(&digest, &referrers);
    let evidence = pile.gather(&digest, &wanted()).await.unwrap();
    assert_eq!(refused(&evidence).0, reason, "{evidence:?}");
}

#[tokio::test]
async fn manifests_full_of_what_is_looked_at_are_too_much_and_no_outage() {
    let made = made();
    let pile = Pile::start().await;
    let mut layer = pile.blob(SIMPLE, "{}");
    layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": "x".repeat(40_000) });
    let layers = vec![layer; 64];
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": layers[0], "layers": layers });
    let tag = format!("{}.sig", made.digest("app").fallback_tag());
    pile.tag(&tag, MANIFEST, &manifest.to_string());
    let evidence = pile.gather(made.digest("app"), &wanted()).await.unwrap();
    let (reason, detail) = refused(&evidence);
    assert!(reason == Reason::SignatureInvalid && detail.contains("larger"), "{detail}");
    // An index of as many images: what it is about cannot be looked at either.
    let platform = pile.blob(MANIFEST, "{}");
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": vec![platform; 9_000] });
    let index = pile.manifest(INDEX, &index.to_string());
    let fault =
        pile.gather(&index["digest"].as_str().unwrap().parse().unwrap(), &wanted()).await.unwrap_err();
    assert_eq!((fault.code(), fault.is_outage(), fault.is_definitive()), ("registry_too_much", false, true));
}

#[tokio::test]
async fn referrers_with_many_layers_each_come_to_an_end() {
    let made = made();
    for (media_type, wanted) in
        [(BUNDLE, wanted()), (BUNDLE, all_wanted()), (SIMPLE, wanted()), (ENVELOPE, all_wanted())]
    {
        // Small ones, and such as are asked for one by one.
        for size in [9, 60_000] {
            let pile = Pile::start().await;
            let app = made.digest("app");
            let layer = |n: u32| json!({ "mediaType": media_type, "digest": Digest::sha256(&n.to_le_bytes()), "size": size });
            let referrers: Vec<_> = (0..64)
                .map(|n| pile.referrer(app, &(0..64).map(|m| layer(n * 64 + m)).collect::<Vec<_>>()))
                .collect();
            pile.list(app, &referrers);
            let evidence = pile.gather(app, &wanted).await.unwrap();
            let (reason, detail) = refused(&evidence);
            assert_eq!(reason, Reason::SignatureInvalid, "{detail}");
            assert_eq!(
                evidence.sbom.map(|sbom| sbom.unknown),
                wanted.sbom.as_ref().map(|_| None),
                "no outage"
            );
            assert_eq!(
                evidence.base.map(|base| base.unknown),
                wanted.base.as_ref().map(|_| None),
                "no outage"
            );
            let asked = pile.asked("/");
            assert!(asked <= MOST, "{media_type} {size}: {asked}");
            let blobs = pile.asked("/blobs/");
            assert!(
                if size == 9 { blobs > 400 } else { (80..130).contains(&blobs) },
                "{media_type} {size}: {blobs}"
            );
        }
    }
}

#[tokio::test]
async fn a_blob_that_is_named_again_is_not_asked_for_again() {
    let made = made();
    for (media_type, blobs) in [(BUNDLE, 1), (ENVELOPE, 64)] {
        let pile = Pile::start().await;
        let app = made.digest("app");
        let blob = pile.blob(media_type, vec![b' '; 100_000]);
        let layers: Vec<_> = (0..64)
            .map(|n| {
                let mut layer = blob.clone();
                layer["annotations"] = json!({ "dev.sigstore.cosign/certificate": n.to_string() });
                layer
            })
            .collect();
        let referrers: Vec<_> = (0..64).map(|n| pile.referrer(app, &layers[n..])).collect();
        pile.list(app, &referrers);
        let evidence = pile.gather(app, &all_wanted()).await.unwrap();
        assert_eq!(refused(&evidence).0, Reason::SignatureInvalid);
        assert_eq!(pile.asked("/blobs/"), blobs + 1, "{media_type}: each manifest's, and the configuration");
    }
}

#[tokio::test]
async fn more_bytes_than_any_evidence_has_are_too_much_and_no_outage() {
    let made = made();
    let pile = Pile::start().await;
    let app = made.digest("app");
    let manifest: Value = serde_json::from_slice(&made::blob(app)).unwrap();
    pile.blob("", made::blob(&manifest["config"]["digest"].as_str().unwrap().parse().unwrap()));
    let signer = Signer(KeyPair::generate().unwrap());
    let provenance =
        json!({ "buildDefinition": { "resolvedDependencies": [{ "uri": "pkg:docker/base@1" }] } });
    let provenance = signer.bundle(app, "https://slsa.dev/provenance/v1", &provenance);
    let provenance = pile.referrer(app, &[pile.blob(BUNDLE, provenance)]);
    pile.list(app, std::slice::from_ref(&provenance));
    let base = pile.gather(app, &signer.wanted()).await.unwrap().base.unwrap();
    assert_eq!((base.provenance, base.materials.len()), (true, 1));
    let layers: Vec<_> = (0..24_u8).map(|n| pile.blob(BUNDLE, vec![n; 4 << 20])).collect();
    let referrer = pile.referrer(app, &layers);
    pile.list(app, &[provenance, referrer]);
    let evidence = pile.gather(app, &signer.wanted()).await.unwrap();
    assert!(matches!(&evidence.signatures[0].outcome, Outcome::Refused(_)), "{:?}", evidence.signatures);
    // What was not looked at may say what it likes.
    let too_much = |refused: Option<Fault>| matches!(refused, Some(Fault::TooLarge { .. }));
    let (sbom, base) = (evidence.sbom.unwrap(), evidence.base.unwrap());
    assert!(sbom.unknown.is_none() && too_much(sbom.refused));
    assert!(base.materials.is_empty() && base.unknown.is_none() && too_much(base.refused));
    let asked = layers.iter().filter(|layer| pile.asked(layer["digest"].as_str().unwrap()) > 0).count();
    assert_eq!(asked, 15, "64 MiB, of which the manifests had some");
}

/// Signs statements.
struct Signer(KeyPair);

impl Signer {
    fn bundle(&self, subject: &Digest, predicate_type: &str, predicate: &Value) -> Vec<u8> {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1", "subject": [{ "digest": { "sha256": subject.hex() } }],
            "predicateType": predicate_type, "predicate": predicate,
        })
        .to_string();
        let signed = format!("DSSEv1 {} {IN_TOTO} {} {statement}", IN_TOTO.len(), statement.len());
        let made = STANDARD.encode(self.0.sign(signed.as_bytes()).unwrap());
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { "publicKey": { "hint": "x" } },
            "dsseEnvelope": {
                "payload": STANDARD.encode(&statement), "payloadType": IN_TOTO, "signatures": [{ "sig": made }],
            },
        })
        .to_string()
        .into_bytes()
    }

    fn wanted(&self) -> Wanted {
        let key = PublicKey::from_pem(&self.0.public_key_pem()).unwrap();
        let verifier =
            Verifier { name: "own".to_owned(), method: Method::Key { key, log: None }, legacy: true };
        let verifiers =
            std::sync::Arc::new(zastava_common::evidence::Verifiers::new(vec![verifier], Need::All));
        Wanted { signatures: Some(verifiers.clone()), sbom: Some(verifiers.clone()), base: Some(verifiers) }
    }
}

const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

/// An index of 20 platforms, each with signature, provenance and SBOM of its own.
fn many_platforms(pile: &Pile, signer: &Signer) -> Digest {
    // No referrers API: each list is a question more.
    pile.fake.on("/v2/team/app/referrers/", |_| super::fake::answer_with(404, &[], ""));
    let mut entries = Vec::new();
    for n in 0..20 {
        let diff_id = Digest::sha256(&[n]);
        let config = json!({ "architecture": format!("a{n}"), "os": "linux", "rootfs": { "type": "layers", "diff_ids": [diff_id] } });
        let config = pile.blob("application/vnd.oci.image.config.v1+json", config.to_string());
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [] });
        let mut image = pile.manifest(MANIFEST, &manifest.to_string());
        image["platform"] = json!({ "os": "linux", "architecture": format!("a{n}") });
        let digest: Digest = image["digest"].as_str().unwrap().parse().unwrap();
        let provenance =
            json!({ "buildDefinition": { "resolvedDependencies": [{ "uri": "pkg:docker/base@1" }] } });
        let statements = [
            signer.bundle(&digest, SIGNED, &json!({})),
            signer.bundle(&digest, "https://slsa.dev/provenance/v1", &provenance),
            // As large as they are.
            signer.bundle(&digest, "https://spdx.dev/Document", &json!({ "pad": "x".repeat(600_000) })),
        ];
        let referrers: Vec<_> = statements
            .into_iter()
            .map(|bundle| pile.referrer(&digest, &[pile.blob(BUNDLE, bundle)]))
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": referrers }).to_string();
        pile.tag(&digest.fallback_tag(), INDEX, &index);
        entries.push(image);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    let index = pile.manifest(INDEX, &index.to_string());
    index["digest"].as_str().unwrap().parse().unwrap()
}

fn has_everything(evidence: Evidence) {
    assert!(evidence.signatures[0].is_verified(), "{:?}", evidence.signatures);
    assert_eq!(evidence.sbom_level(), Some(SbomLevel::Signed));
    let base = evidence.base.unwrap();
    assert_eq!((base.provenance, base.layers.len(), base.unknown, base.refused), (true, 20, None, None));
}

#[tokio::test]
async fn an_image_of_many_platforms_with_everything_is_within_the_budget() {
    let pile = Pile::start().await;
    let signer = Signer(KeyPair::generate().unwrap());
    let digest = many_platforms(&pile, &signer);
    has_everything(pile.gather(&digest, &signer.wanted()).await.unwrap());
    let asked = pile.asked("/");
    assert!(asked < MOST * 2 / 3, "{asked}");
}

#[tokio::test]
async fn of_an_image_of_many_platforms_four_things_are_asked_at_once() {
    let pile = Pile::start().await;
    let signer = Signer(KeyPair::generate().unwrap());
    let digest = many_platforms(&pile, &signer);
    pile.fake.take(Duration::from_millis(10));
    has_everything(pile.gather(&digest, &signer.wanted()).await.unwrap());
    let most = pile.fake.most_at_once();
    assert!((2..=4).contains(&most), "{most}");
}

#[tokio::test]
async fn mirrors_that_lack_an_image_of_many_platforms_do_not_make_it_too_much() {
    let pile = Pile::start().await;
    let signer = Signer(KeyPair::generate().unwrap());
    let digest = many_platforms(&pile, &signer);
    let mut config = pile.fake.config();
    let mut mirrors = Vec::new();
    for _ in 0..5 {
        let mirror = Fake::start().await;
        let endpoint = mirror.config().registries.remove(0).endpoints.remove(0);
        config.registries[0].endpoints.insert(0, endpoint);
        mirrors.push(mirror);
    }
    let (source, image, secrets) = (Source::new(&config).unwrap(), pile.fake.image(), PullSecrets::default());
    has_everything(source.gather(&image, &digest, &signer.wanted(), &secrets).await.unwrap());
    for mirror in mirrors {
        assert_eq!(mirror.asked().len(), pile.asked("/"), "each is asked for everything");
    }
}

#[tokio::test]
async fn a_signature_behind_two_hundred_other_referrers_is_found() {
    let pile = Pile::start().await;
    let (made, signer) = (made(), Signer(KeyPair::generate().unwrap()));
    let app = made.digest("app");
    let referrer = |n: usize, predicate_type: &str| {
        let bundle = signer.bundle(app, predicate_type, &json!({ "n": n }));
        let mut entry = pile.referrer(app, &[pile.blob(BUNDLE, bundle)]);
        entry["artifactType"] = BUNDLE.into();
        entry["annotations"] = json!({ "dev.sigstore.bundle.predicateType": predicate_type });
        entry
    };
    let scans = (0..197).map(|n| referrer(n, "https://cosign.sigstore.dev/attestation/vuln/v1"));
    let last =
        ["https://spdx.dev/Document", "https://slsa.dev/provenance/v1", SIGNED].map(|kind| referrer(0, kind));
    pile.list(app, &scans.chain(last).collect::<Vec<_>>());
    let wanted = signer.wanted();
    let signatures = Wanted { signatures: wanted.signatures.clone(), ..Wanted::default() };
    assert!(pile.gather(app, &signatures).await.unwrap().signatures[0].is_verified());
    let evidence = pile.gather(app, &wanted).await.unwrap();
    assert!(evidence.signatures[0].is_verified());
    assert_eq!(evidence.sbom_level(), Some(SbomLevel::Signed));
    assert!(evidence.base.unwrap().provenance);
}
