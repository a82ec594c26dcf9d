use proptest::prelude::*;
use serde_json::{Value, json};

use super::{BEGINNING, MAX_WORD, Operation, ReviewError, parse, uid_of};

fn review(request: &Value) -> Vec<u8> {
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request })
        .to_string()
        .into_bytes()
}

fn least() -> Value {
    json!({ "uid": "u", "kind": { "group": "", "version": "v1", "kind": "Pod" }, "operation": "CREATE" })
}

#[test]
fn a_recorded_request_is_read() {
    let body = include_bytes!("../../tests/data/admission-reviews/pod-ephemeralcontainers-debug.json");
    let request = parse(body).unwrap();

    assert_eq!(request.uid, "3393e51a-5e48-47ed-8b79-2bcef50994b1");
    assert_eq!((&*request.kind.group, &*request.kind.kind), ("", "Pod"));
    assert_eq!(request.sub_resource.as_deref(), Some("ephemeralcontainers"));
    assert_eq!((&*request.namespace, &*request.name), ("shop", "plain"));
    assert_eq!(request.operation, Operation::Update);
    assert_eq!(request.user, "lab-admin");
    assert!(request.object.is_some() && request.old_object.is_some());
    assert!(!request.dry_run);
}

#[test]
fn a_server_side_dry_run_is_told_apart() {
    let body = include_bytes!("../../tests/data/admission-reviews/pod-create-dryrun-server.json");

    assert!(parse(body).unwrap().dry_run);
}

#[test]
fn an_object_of_null_is_no_object() {
    let mut request = least();
    request["object"] = Value::Null;
    let body = review(&request);

    assert!(parse(&body).unwrap().object.is_none());
}

#[test]
fn what_is_no_review_is_an_error() {
    assert!(matches!(parse(b""), Err(ReviewError::Json(_))));
    assert!(matches!(parse(b"[]"), Err(ReviewError::Json(_))));
    assert!(matches!(parse(&review(&Value::Null)), Err(ReviewError::NoRequest)));
    let beta = br#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}"#;
    assert!(matches!(parse(beta), Err(ReviewError::Version { .. })));
    for (key, value) in [("uid", json!("")), ("uid", json!("u".repeat(MAX_WORD + 1)))] {
        let mut request = least();
        request[key] = value;
        assert!(matches!(parse(&review(&request)), Err(ReviewError::Word("uid"))), "{key}");
    }
    for (key, value) in [("operation", json!("PATCH")), ("kind", json!("Pod")), ("dryRun", json!("yes"))] {
        let mut request = least();
        request[key] = value;
        assert!(matches!(parse(&review(&request)), Err(ReviewError::Json(_))), "{key}");
    }
}

#[test]
fn a_key_given_twice_is_an_error_and_not_the_last_one() {
    let body = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":
        {"uid":"a","uid":"b","kind":{"group":"","kind":"Pod"},"operation":"CREATE"}}"#;

    assert!(matches!(parse(body), Err(ReviewError::Json(_))));
}

#[test]
fn nesting_without_end_is_an_error() {
    let body = [b"{\"a\":".repeat(100_000), b"1".to_vec()].concat();

    assert!(matches!(parse(&body), Err(ReviewError::Json(_))));
}

#[test]
fn who_asked_is_known_from_the_beginning_of_every_recorded_review() {
    for file in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/admission-reviews")).unwrap()
    {
        let body = std::fs::read(file.unwrap().path()).unwrap();
        let uid = parse(&body).unwrap().uid;
        assert_eq!(uid_of(&body).as_deref(), Some(&*uid));
        assert_eq!(uid_of(&body[..200]).as_deref(), Some(&*uid));
        assert_eq!(uid_of(&body[..100]), None);
    }
}

#[test]
fn nobody_is_known_from_what_does_not_begin_as_a_review() {
    let of = |start: &str, uid: &str| format!("{{{start},\"request\":{{\"uid\":{uid},\"kind\":{{");
    let right = r#""kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1""#;
    assert_eq!(uid_of(of(right, r#""a-1""#).as_bytes()).as_deref(), Some("a-1"));
    for start in [
        r#""kind":"AdmissionReview""#,
        r#""kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1""#,
        r#""kind":"Pod","apiVersion":"admission.k8s.io/v1""#,
        r#""apiVersion":"admission.k8s.io/v1","kind":["AdmissionReview"]"#,
    ] {
        assert_eq!(uid_of(of(start, r#""a-1""#).as_bytes()), None, "{start}");
    }
    let long = format!("\"{}\"", "u".repeat(65));
    for uid in [r#""""#, "1", "null", r#"{"uid":"a"}"#, r#""a\nb""#, r#""a b""#, &long, r#""cut"#] {
        assert_eq!(uid_of(of(right, uid).as_bytes()), None, "{uid}");
    }
    let late =
        of(right, r#""a-1""#).replace("\"uid\"", &format!("\"x\":\"{}\",\"uid\"", "x".repeat(BEGINNING)));
    assert_eq!(uid_of(late.as_bytes()), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        let _ = (parse(&body), uid_of(&body));
    }

    #[test]
    fn no_single_changed_byte_makes_it_panic(at in 0..2_000usize, byte: u8) {
        let mut body = include_bytes!("../../tests/data/admission-reviews/pod-create.json").to_vec();
        let at = at % body.len();
        body[at] = byte;
        let _ = (parse(&body), uid_of(&body));
    }
}
