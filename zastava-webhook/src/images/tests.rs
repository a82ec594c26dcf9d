use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Field, Found, ImagesError, MAX_IMAGES, Nothing, Workload, find};
use crate::review::parse;

fn recorded(file: &str) -> Value {
    let path = format!("{}/tests/data/admission-reviews/{file}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn found(review: &Value) -> Found {
    find(&parse(review.to_string().as_bytes()).unwrap()).unwrap()
}

fn workload(review: &Value) -> Workload {
    match found(review) {
        Found::Workload(workload) => workload,
        Found::Nothing(why) => panic!("nothing: {why:?}"),
    }
}

/// Each field with its image, as text.
fn fields(review: &Value) -> Vec<(String, String)> {
    let images = workload(review).images;
    images
        .into_iter()
        .flat_map(|image| {
            image.fields.into_iter().map(move |field| (field.to_string(), image.reference.clone()))
        })
        .collect()
}

fn review(group: &str, kind: &str, operation: &str, object: &Value, old: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "kind": { "group": group, "version": "v1", "kind": kind }, "namespace": "shop",
            "operation": operation, "userInfo": { "username": "alice" }, "object": object, "oldObject": old,
        }
    })
}

fn pod(spec: &Value) -> Value {
    review("", "Pod", "CREATE", &json!({ "metadata": {}, "spec": spec }), &Value::Null)
}

#[test]
fn every_recorded_workload_has_its_images_where_they_stand() {
    let expected = [
        ("pod-create", "spec.containers[main].image", "reg.test/shop/web:1.2"),
        ("pod-create-init-and-sidecar", "spec.initContainers[prep].image", "reg.test/shop/prep:1"),
        ("deployment-create", "spec.template.spec.initContainers[i].image", "reg.test/shop/init:1"),
        ("deployment-update-image", "spec.template.spec.containers[main].image", "reg.test/shop/web:1.4"),
        ("replicaset-create", "spec.template.spec.containers[main].image", "reg.test/shop/rs:1"),
        ("statefulset-create", "spec.template.spec.containers[main].image", "reg.test/shop/db:1"),
        ("daemonset-create", "spec.template.spec.containers[main].image", "reg.test/shop/agent:1"),
        ("job-create", "spec.template.spec.containers[main].image", "reg.test/shop/job:1"),
        (
            "cronjob-create",
            "spec.jobTemplate.spec.template.spec.containers[main].image",
            "reg.test/shop/cron:1",
        ),
    ];
    for (file, field, image) in expected {
        let fields = fields(&recorded(file));
        assert!(fields.contains(&(field.to_owned(), image.to_owned())), "{file}: {fields:?}");
    }
}

#[test]
fn requests_without_a_pod_template_have_nothing() {
    assert_eq!(found(&recorded("pod-exec")), Found::Nothing(Nothing::Operation));
    assert_eq!(found(&recorded("pod-delete")), Found::Nothing(Nothing::Operation));
    assert_eq!(found(&recorded("deployment-scale")), Found::Nothing(Nothing::Kind));
    assert_eq!(found(&recorded("namespace-create")), Found::Nothing(Nothing::Kind));
    for (group, kind) in
        [("policy", "Eviction"), ("", "Binding"), ("apps", "Pod"), ("example.org", "Deployment")]
    {
        let review =
            review(group, kind, "CREATE", &json!({ "spec": { "containers": "anything" } }), &Value::Null);
        assert_eq!(found(&review), Found::Nothing(Nothing::Kind), "{group}/{kind}");
    }
}

#[test]
fn an_update_is_about_the_images_that_it_brings() {
    assert_eq!(found(&recorded("pod-update-label")), Found::Nothing(Nothing::Unchanged));
    assert_eq!(
        fields(&recorded("pod-update-image")),
        [("spec.containers[main].image".to_owned(), "reg.test/shop/web:1.3".to_owned())]
    );
    assert_eq!(
        fields(&recorded("pod-ephemeralcontainers-debug")),
        [("spec.ephemeralContainers[dbg].image".to_owned(), "reg.test/tools/debug:1".to_owned())]
    );
}

#[test]
fn an_update_without_the_old_object_is_about_all_images() {
    let mut update = recorded("pod-update-label");
    update["request"]["oldObject"] = Value::Null;

    assert_eq!(workload(&update).images.len(), 1);
}

#[test]
fn an_old_object_on_create_hides_nothing() {
    let object = json!({ "spec": { "containers": [{ "name": "a", "image": "x" }] } });

    assert_eq!(workload(&review("", "Pod", "CREATE", &object, &object)).images.len(), 1);
}

#[test]
fn every_list_of_a_pod_is_looked_at() {
    let review = pod(&json!({
        "initContainers": [{ "name": "i", "image": "a" }],
        "containers": [{ "name": "c", "image": "b" }, { "name": "d", "image": "a" }],
        "ephemeralContainers": [{ "name": "e", "image": "c" }],
        "volumes": [{ "name": "v", "image": { "reference": "d" } }, { "name": "w", "emptyDir": {} }],
        "imagePullSecrets": [{ "name": "pull" }, {}, { "name": "" }],
    }));
    let pairs: Vec<_> = [
        ("spec.initContainers[i].image", "a"),
        ("spec.containers[d].image", "a"),
        ("spec.containers[c].image", "b"),
        ("spec.ephemeralContainers[e].image", "c"),
        ("spec.volumes[v].image.reference", "d"),
    ]
    .map(|(field, image)| (field.to_owned(), image.to_owned()))
    .into();

    assert_eq!(fields(&review), pairs);
    assert_eq!(workload(&review).pull_secrets, ["pull"]);
}

#[test]
fn every_kind_with_a_pod_template_is_known() {
    let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "a" }] } });
    let spec = json!({ "spec": { "template": template } });
    let kinds = [
        ("apps", "Deployment", spec.clone(), "spec.template.spec"),
        ("apps", "ReplicaSet", spec.clone(), "spec.template.spec"),
        ("apps", "StatefulSet", spec.clone(), "spec.template.spec"),
        ("apps", "DaemonSet", spec.clone(), "spec.template.spec"),
        ("batch", "Job", spec.clone(), "spec.template.spec"),
        ("", "ReplicationController", spec.clone(), "spec.template.spec"),
        (
            "batch",
            "CronJob",
            json!({ "spec": { "jobTemplate": spec } }),
            "spec.jobTemplate.spec.template.spec",
        ),
        ("", "PodTemplate", json!({ "template": template }), "template.spec"),
    ];
    for (group, kind, object, path) in kinds {
        let workload = workload(&review(group, kind, "CREATE", &object, &Value::Null));
        assert!(!workload.is_pod, "{kind}");
        assert_eq!(workload.labels["app"], "web", "{kind}");
        assert_eq!(workload.images[0].fields[0].to_string(), format!("{path}.containers[c].image"), "{kind}");
    }
}

#[test]
fn what_a_user_can_set_buys_no_exemption() {
    let spec = json!({ "containers": [{ "name": "c", "image": "a" }] });
    let metadata = json!({
        "deletionTimestamp": "2026-11-23T12:31:40Z", "finalizers": ["example.org/hold"],
        "labels": { "zastava.io/exempt": "true" },
        "annotations": { "kubernetes.io/config.mirror": "x" },
        "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": true }],
    });
    let object = json!({ "metadata": metadata, "spec": spec });
    assert_eq!(workload(&review("", "Pod", "CREATE", &object, &Value::Null)).images.len(), 1);

    let mut changed = object.clone();
    changed["spec"]["containers"][0]["image"] = json!("b");
    assert_eq!(workload(&review("", "Pod", "UPDATE", &changed, &object)).images[0].reference, "b");
}

#[test]
fn a_mirror_pod_counts_from_a_node_alone() {
    let object = json!({
        "metadata": { "annotations": { "kubernetes.io/config.mirror": "x" } },
        "spec": { "containers": [{ "name": "c", "image": "a" }] },
    });
    let mut review = review("", "Pod", "CREATE", &object, &Value::Null);
    let by = |review: &mut Value, user: &str, groups: &Value| {
        review["request"]["userInfo"] = json!({ "username": user, "groups": groups });
    };
    let (node, nodes) = ("system:node:worker-1", json!(["system:nodes", "system:authenticated"]));
    for user in ["alice", "system:nodes", "system:serviceaccount:system:node:x", "system:node", ""] {
        by(&mut review, user, &nodes);
        assert!(matches!(found(&review), Found::Workload(_)), "{user}");
    }
    // The name alone is no proof: an identity provider may hand out any that has no reserved prefix set up for it.
    for groups in [json!([]), Value::Null, json!(["system:authenticated", "system:nodes:x", "nodes"])] {
        by(&mut review, node, &groups);
        assert!(matches!(found(&review), Found::Workload(_)), "{groups}");
    }
    by(&mut review, node, &nodes);
    assert_eq!(found(&review), Found::Nothing(Nothing::Mirror));
    review["request"]["operation"] = json!("UPDATE");
    assert!(matches!(found(&review), Found::Workload(_)), "a change is no copy");
    review["request"]["operation"] = json!("CREATE");
    review["request"]["object"]["metadata"]["annotations"] = json!({});
    assert!(matches!(found(&review), Found::Workload(_)));
}

#[test]
fn an_image_that_is_not_there_is_looked_at_as_an_empty_one() {
    let review = pod(&json!({ "containers": [{ "name": "c" }, { "name": "d", "image": null }] }));

    assert_eq!(workload(&review).images[0].reference, "");
    assert_eq!(workload(&review).images[0].fields.len(), 2);
}

#[test]
fn an_object_of_another_form_is_an_error() {
    for spec in [json!({ "containers": "a" }), json!({ "containers": [{ "image": 1 }] }), json!([])] {
        let review = pod(&spec).to_string();
        let request = parse(review.as_bytes()).unwrap();
        assert!(matches!(find(&request), Err(ImagesError::Object { part: "object", .. })));
    }
    let review = review("", "Pod", "CREATE", &Value::Null, &Value::Null).to_string();
    assert!(matches!(find(&parse(review.as_bytes()).unwrap()), Err(ImagesError::Missing { .. })));
}

#[test]
fn a_list_or_an_image_given_twice_is_an_error() {
    for spec in [
        r#"{"containers":[{"name":"c","image":"good","image":"bad"}]}"#,
        r#"{"containers":[{"name":"c","image":"bad"}],"containers":[]}"#,
    ] {
        let body = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","kind":{{"group":"","kind":"Pod"}},"operation":"CREATE","object":{{"spec":{spec}}}}}}}"#
        );
        assert!(matches!(find(&parse(body.as_bytes()).unwrap()), Err(ImagesError::Object { .. })), "{spec}");
    }
}

#[test]
fn more_images_than_are_looked_at_are_told() {
    let containers: Vec<_> =
        (0..=MAX_IMAGES).map(|n| json!({ "name": format!("c{n}"), "image": format!("i{n}") })).collect();
    let workload = workload(&pod(&json!({ "containers": containers })));

    assert_eq!(workload.images.len(), MAX_IMAGES);
    assert!(workload.too_many);
}

proptest! {
    #[test]
    fn an_update_never_hides_an_image_that_the_old_object_had_not(
        old in prop::collection::vec("[a-c]", 0..4),
        new in prop::collection::vec("[a-e]", 0..6),
    ) {
        let spec = |images: &[String]| {
            let containers: Vec<_> =
                images.iter().enumerate().map(|(n, image)| json!({ "name": n.to_string(), "image": image })).collect();
            json!({ "spec": { "containers": containers } })
        };
        let looked_at: Vec<String> = match found(&review("", "Pod", "UPDATE", &spec(&new), &spec(&old))) {
            Found::Workload(workload) => workload.images.into_iter().map(|image| image.reference).collect(),
            Found::Nothing(why) => { prop_assert_eq!(why, Nothing::Unchanged); Vec::new() }
        };
        for image in &new {
            prop_assert_eq!(looked_at.contains(image), !old.contains(image));
        }
    }
}

#[test]
fn a_field_shows_the_way() {
    let field = Field { spec: "spec", list: super::List::Containers, name: "web".to_owned() };
    assert_eq!(field.to_string(), "spec.containers[web].image");
}
