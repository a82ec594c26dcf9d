use std::time::Duration;

use super::{Attestation, Decision, MAX_REASONS, MAX_TEXT, Verdict, Verdicts};

#[test]
fn an_answer_is_read_as_the_contract_has_it() {
    let body = br#"{"policyRevision":"7","ttlSeconds":60,"other":1,"results":{"sha256:a":{"signed":true,"hasSbom":false,
        "verdict":"warn","reasons":["old"],"buildIds":["9f"],"attestation":{"uuid":"u","verified":true,"x":1}},
        "sha256:b":{"verdict":"fail","reasons":null},"sha256:c":{"verdict":"maybe"},"sha256:d":{}}}"#;
    let verdicts = Verdicts::parse(body).unwrap();
    assert_eq!(
        (verdicts.policy_revision.as_deref(), verdicts.ttl),
        (Some("7"), Some(Duration::from_mins(1)))
    );
    let expected = Verdict {
        verdict: Decision::Warn,
        signed: Some(true),
        has_sbom: Some(false),
        reasons: vec!["old".into()],
        build_ids: vec!["9f".into()],
        attestation: Some(Attestation { uuid: "u".into(), verified: true }),
    };
    assert_eq!(verdicts.results["sha256:a"], expected);
    assert_eq!(verdicts.results["sha256:b"].verdict, Decision::Fail);
    assert_eq!(verdicts.results["sha256:c"].verdict, Decision::Unknown);
    assert_eq!(verdicts.results["sha256:d"], Verdict::default());
}

#[test]
fn what_is_no_answer_is_no_verdict() {
    for body in ["", "{}", "[]", "null", r#"{"results":[]}"#, r#"{"results":{"a":1}}"#, "<html>"] {
        assert!(Verdicts::parse(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn texts_are_cut_to_what_people_read() {
    let reasons: Vec<String> = (0..100).map(|_| "\u{e9}".repeat(1_000)).collect();
    let body = serde_json::json!({ "results": { "d": { "verdict": "pass", "reasons": reasons } } });
    let verdicts = Verdicts::parse(body.to_string().as_bytes()).unwrap();
    let reasons = &verdicts.results["d"].reasons;
    assert_eq!((reasons.len(), reasons[0].len()), (MAX_REASONS, MAX_TEXT));
}
