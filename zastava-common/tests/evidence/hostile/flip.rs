//! Any one byte of anything that a registry serves, changed on the way: what is refused stays refused, and what is
//! accepted is about the same image, says the same, and counts for no more.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use zastava_common::evidence::{
    Digest, Evidence, Fault, Layers, Material, Outcome, Platform, SbomLevel, Wanted, registry::PullSecrets,
};

use super::fake::{Fake, INDEX, MANIFEST, ok};
use crate::made::{self, any, key, made};

/// An image, and what lies beside it in the registry.
const CASES: &[(&str, &[&str])] = &[
    ("app", &["p256-bundle"]),
    ("app", &["p256.sig", "sbom-referrer"]),
    ("app", &["sbom-bundle", "provenance-bundle"]),
    ("app", &["p256-bundle", "sbom-other-key-bundle", "provenance-other-key-bundle"]),
    ("app", &["wrong-key-bundle", "wrong-digest.sig", "sbom-other-key-bundle"]),
    ("app", &["other-predicate-bundle", "wrong-type.sig", "two-signatures-bundle"]),
    ("multi", &["leaf-app-bundle", "leaf-arm-bundle", "sbom-bundle"]),
    ("multi", &["leaf-app-bundle"]),
    ("multi", &["multi-bundle"]),
    ("buildkit", &["leaf-app-bundle", "provenance-bundle"]),
    ("buildkit", &["wrong-key-bundle"]),
];

type Document = (String, &'static str, Vec<u8>);

/// Everything that is asked for about them.
fn documents(image: &str, pieces: &[&str]) -> Vec<Document> {
    let made = made();
    let mut documents = Vec::new();
    let mut images = vec![made.digest(image).clone()];
    while let Some(digest) = images.pop() {
        let content = made::blob(&digest);
        let manifest: Value = serde_json::from_slice(&content).unwrap();
        let digest_of = |entry: &Value| -> Digest { entry["digest"].as_str().unwrap().parse().unwrap() };
        let kind = if manifest["manifests"].is_array() { INDEX } else { MANIFEST };
        images.extend(manifest["manifests"].as_array().into_iter().flatten().map(digest_of));
        if !manifest["config"].is_null() {
            let config = digest_of(&manifest["config"]);
            documents.push((format!("blobs/{config}"), "", made::blob(&config)));
        }
        documents.push((format!("manifests/{digest}"), kind, content));
    }
    let mut lists: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for name in pieces {
        let piece = made.piece(name);
        let digest = &piece.descriptor().digest;
        let content = made::blob(digest);
        for layer in piece.image().layers {
            documents.push((format!("blobs/{}", layer.digest), "", made::blob(&layer.digest)));
        }
        let subject = made.digest(&piece.subject);
        let reference = if let Some(suffix) = &piece.tag {
            format!("{}{suffix}", subject.fallback_tag())
        } else {
            let entry = json!({ "mediaType": MANIFEST, "digest": digest, "size": content.len() });
            lists.entry(format!("referrers/{subject}")).or_default().push(entry);
            digest.to_string()
        };
        documents.push((format!("manifests/{reference}"), MANIFEST, content));
    }
    for (path, entries) in lists {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        documents.push((path, INDEX, index.to_string().into_bytes()));
    }
    documents
}

/// What decisions are made of.
#[derive(Debug)]
struct Facts {
    platforms: Vec<Platform>,
    signed: Option<Vec<Digest>>,
    level: Option<SbomLevel>,
    materials: Vec<Material>,
    layers: Vec<Layers>,
}

fn facts(evidence: Evidence) -> Facts {
    let signed = match &evidence.signatures[0].outcome {
        Outcome::Verified(verified) => Some(verified.signed.clone()),
        Outcome::Refused(_) => None,
        Outcome::Unknown(fault) => panic!("nothing was out: {fault}"),
    };
    let level = evidence.sbom_level();
    let base = evidence.base.unwrap();
    Facts { platforms: evidence.platforms, signed, level, materials: base.materials, layers: base.layers }
}

fn gather(image: &str, documents: Vec<Document>) -> Result<Facts, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let evidence = runtime.block_on(async {
        let fake = Fake::start().await;
        for (path, kind, content) in documents {
            fake.on(&format!("/v2/team/app/{path}"), move |_| ok(kind, content.clone()));
        }
        let by = Some(any(vec![key("p256")]));
        let wanted = Wanted { signatures: by.clone(), sbom: by.clone(), base: by };
        fake.source().gather(&fake.image(), made().digest(image), &wanted, &PullSecrets::default()).await
    });
    evidence.map(facts)
}

#[test]
fn each_case_is_what_it_is_meant_to_be() {
    use SbomLevel::{Bound, Present, Signed};

    let found = CASES.iter().map(|(image, pieces)| {
        let Facts { signed, level, materials, .. } = gather(image, documents(image, pieces)).unwrap();
        (signed.is_some(), level, materials.is_empty())
    });
    let found: Vec<_> = found.collect();
    let expected = [
        (true, None, true),
        (true, Some(Present), true),
        (false, Some(Signed), false),
        (true, Some(Present), true),
        (false, Some(Present), true),
        (false, None, true),
        (true, None, true),
        (false, None, true),
        (true, None, true),
        (true, Some(Present), false),
        (false, Some(Bound), true),
    ];
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_byte_changed_on_the_way_is_worth_nothing(
        (image, pieces) in select(CASES),
        which: prop::sample::Index,
        place: prop::sample::Index,
        to in 1..=255u8,
    ) {
        let mut documents = documents(image, pieces);
        let before = gather(image, documents.clone()).unwrap();
        let which = which.index(documents.len());
        let (path, _, content) = &mut documents[which];
        let path = path.clone();
        let place = place.index(content.len());
        content[place] ^= to;
        // That there is no answer is none.
        let Ok(after) = gather(image, documents) else { return Ok(()) };
        let what = format!("{path} at {place} with {to}: {before:?}, then {after:?}");
        prop_assert_eq!(&after.platforms, &before.platforms, "{}", what);
        prop_assert!(after.layers.is_empty() || after.layers == before.layers, "{}", what);
        prop_assert!(after.materials.iter().all(|one| before.materials.contains(one)), "{}", what);
        prop_assert!(after.signed.is_none() || after.signed == before.signed, "{}", what);
        // What is in an index that nobody vouches for counts for more only where nothing is signed, which is refused.
        prop_assert!(after.level <= before.level || after.signed.is_none() && before.signed.is_some(), "{}", what);
    }
}
