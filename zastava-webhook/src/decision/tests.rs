use std::collections::BTreeMap;

use zastava_common::evidence::Fault;

use super::{Answer, Asked, Decision, decide};
use crate::{
    images::{Field, Image, List, Workload},
    known::{Known, Missing},
    policy::tests::policy,
};

fn workload(is_pod: bool, references: &[&str]) -> Workload {
    let image = |reference: &&str| Image {
        reference: (*reference).to_owned(),
        fields: vec![Field { spec: "spec", list: List::Containers, name: "c".to_owned() }],
    };
    Workload {
        is_pod,
        images: references.iter().map(image).collect(),
        too_many: false,
        labels: BTreeMap::new(),
        pull_secrets: Vec::new(),
    }
}

fn failing() -> Known {
    let fault = Fault::Failing { host: "reg.test".to_owned(), status: 500 };
    Known { digest: Some(Err(Missing::Fault(fault))), ..Known::default() }
}

/// Decides about a workload whose registry fails.
fn decided(admission: &str, namespace: &str, workload: &Workload) -> Decision {
    let policy = policy(admission).unwrap();
    let rules = policy.rules(namespace);
    let images = workload.images.iter().map(|image| (Asked::new(image.clone(), rules), failing()));
    decide(workload, rules, images.collect())
}

const SIGNED: &str = "verify: {sbomReferrer: false, scannerPolicyPass: false}, \
                      verifiers: {keys: [{name: a, publicKey: /a.pub}]}";
const TAGS: &str =
    "verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}, tags: {deny: [latest]}";

#[test]
fn a_pod_is_refused_and_its_controller_warned() {
    let admission = format!("{{{TAGS}}}");
    assert_eq!(decided(&admission, "shop", &workload(true, &["web:1"])).answer, Answer::Allow);
    assert_eq!(decided(&admission, "shop", &workload(true, &["web:1", "web"])).answer, Answer::Deny);
    assert_eq!(decided(&admission, "shop", &workload(false, &["web"])).answer, Answer::Warn);
    let enforced = format!("{{controllers: enforce, {TAGS}}}");
    assert_eq!(decided(&enforced, "shop", &workload(false, &["web"])).answer, Answer::Deny);
}

#[test]
fn where_nothing_is_enforced_nothing_is_refused() {
    let admission = format!("{{enforce: false, {TAGS}, namespaces: [{{names: [prod], enforce: true}}]}}");
    assert_eq!(decided(&admission, "shop", &workload(true, &["web"])).answer, Answer::WouldDeny);
    assert_eq!(decided(&admission, "prod", &workload(true, &["web"])).answer, Answer::Deny);
}

#[test]
fn without_an_answer_the_namespace_decides() {
    let admission = format!("{{failOpenNamespaces: [dev], {SIGNED}}}");
    assert_eq!(decided(&admission, "dev", &workload(true, &["web:1"])).answer, Answer::FailOpen);
    assert_eq!(decided(&admission, "shop", &workload(true, &["web:1"])).answer, Answer::Deny);
}

#[test]
fn a_definite_no_is_one_where_namespaces_fail_open_too() {
    let admission = format!("{{failOpenNamespaces: [dev], {SIGNED}, tags: {{deny: [latest]}}}}");
    assert_eq!(decided(&admission, "dev", &workload(true, &["web:1", "web"])).answer, Answer::Deny);
    assert_eq!(decided(&admission, "dev", &workload(true, &["web:1", "Not An Image"])).answer, Answer::Deny);
}

#[test]
fn an_image_that_fails_at_once_is_asked_about_nowhere() {
    let policy = policy(&format!("{{{SIGNED}, registryAllowlist: [reg.test]}}")).unwrap();
    let rules = policy.rules("shop");
    let asks = |reference: &str| {
        let image = workload(true, &[reference]).images.remove(0);
        Asked::new(image, rules).needs(rules).is_some()
    };
    assert!(asks("reg.test/web:1"));
    assert!(!asks("evil.example/web:1"));
    assert!(!asks("Not An Image"));
}

#[test]
fn more_images_than_are_looked_at_are_refused() {
    let admission = format!("{{{TAGS}}}");
    let workload = Workload { too_many: true, ..workload(true, &["web:1"]) };
    let decision = decided(&admission, "shop", &workload);
    assert_eq!(decision.answer, Answer::Deny);
    assert_eq!(decision.findings().count(), 1);
}
