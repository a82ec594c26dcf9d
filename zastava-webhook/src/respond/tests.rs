use std::collections::BTreeMap;

use serde_json::Value;

use super::{MAX_ANNOTATION, MAX_MESSAGE, MAX_WARNING, MAX_WARNINGS, allow, answer};
use crate::{
    decision::{Asked, Decision, decide},
    images::{Field, Image, List, Workload},
    known::Known,
    policy::{PolicyHash, tests::policy},
};

fn decided(is_pod: bool, references: &[String]) -> (Decision, PolicyHash) {
    let text = "{verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}, tags: {deny: [latest]}}";
    let policy = policy(text).unwrap();
    let images = references.iter().map(|reference| Image {
        reference: reference.clone(),
        fields: vec![Field { spec: "spec", list: List::Containers, name: "web".to_owned() }],
    });
    let workload = Workload {
        is_pod,
        images: images.collect(),
        too_many: false,
        labels: BTreeMap::new(),
        pull_secrets: Vec::new(),
    };
    let rules = policy.rules("shop");
    let asked = workload.images.iter().map(|image| (Asked::new(image.clone(), rules), Known::default()));
    (decide(&workload, rules, asked.collect()), policy.hash())
}

fn told(is_pod: bool, references: &[String]) -> Value {
    let (decision, policy) = decided(is_pod, references);
    serde_json::to_value(answer("uid-1", &decision, policy)).unwrap()
}

#[test]
fn nothing_to_look_at_is_allowed_with_the_requests_uid() {
    assert_eq!(
        serde_json::to_value(allow("uid-1")).unwrap(),
        serde_json::json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "response": { "uid": "uid-1", "allowed": true }
        })
    );
}

#[test]
fn a_refusal_names_place_image_reason_and_what_would_fix_it() {
    let review = told(true, &["reg.test/web".to_owned()]);
    let response = &review["response"];

    assert_eq!(response["allowed"], false);
    assert_eq!(
        (&response["status"]["code"], &response["status"]["reason"]),
        (&403.into(), &"Forbidden".into())
    );
    let message = response["status"]["message"].as_str().unwrap();
    let line = message.lines().nth(1).unwrap();
    assert_eq!(
        line,
        "spec.containers[web].image \"reg.test/web\" tag_denied: the tag latest is refused by `latest`. \
         To fix it: name a tag that does not move, or a digest."
    );
    assert!(response.get("warnings").is_none());
    assert_eq!(response["auditAnnotations"]["decision"], "deny");
    assert_eq!(response["auditAnnotations"]["reasons"], "tag_denied");
    assert_eq!(response["auditAnnotations"]["images"], "reg.test/web");
}

#[test]
fn what_is_let_through_says_so_in_short_warnings() {
    let review = told(false, &["reg.test/web".to_owned()]);
    let response = &review["response"];

    assert_eq!(response["allowed"], true);
    assert!(response.get("status").is_none());
    assert_eq!(
        response["warnings"],
        serde_json::json!(["zastava: tag_denied: reg.test/web: the tag latest is refused by `latest`"])
    );
}

#[test]
fn whatever_was_asked_the_answer_has_its_bounds() {
    let references: Vec<String> =
        (0..200).map(|n| format!("reg.test/{}{n}\u{1b}[31m\u{e9}", "\u{e9}".repeat(400))).collect();
    for is_pod in [true, false] {
        let review = told(is_pod, &references);
        let response = &review["response"];
        let message = response["status"]["message"].as_str().unwrap_or_default();
        assert!(message.len() <= MAX_MESSAGE && !message.contains('\u{1b}'));
        let warnings = response["warnings"].as_array().cloned().unwrap_or_default();
        assert!(warnings.len() <= MAX_WARNINGS + 1);
        for warning in &warnings {
            assert!(warning.as_str().unwrap().len() <= MAX_WARNING);
        }
        for (_, value) in response["auditAnnotations"].as_object().unwrap() {
            assert!(value.as_str().unwrap().len() <= MAX_ANNOTATION);
        }
    }
}
