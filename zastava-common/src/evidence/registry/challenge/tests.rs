use proptest::prelude::*;

use super::{Challenge, parse};

fn one(header: &str) -> Option<Challenge> {
    parse([header].into_iter())
}

#[test]
fn registries_are_understood() {
    let bearer =
        r#"Bearer realm="https://auth.reg.test/token",service="reg.test",scope="repository:a/b:pull,push""#;
    let realm = "https://auth.reg.test/token".to_owned();
    assert_eq!(
        one(bearer),
        Some(Challenge::Bearer { realm: realm.clone(), service: Some("reg.test".into()) })
    );
    assert_eq!(
        one(r#"bearer realm="https://auth.reg.test/token""#),
        Some(Challenge::Bearer { realm, service: None })
    );
    assert_eq!(one(r#"Basic realm="Registry Realm""#), Some(Challenge::Basic));
    assert_eq!(one("Basic"), Some(Challenge::Basic));
}

#[test]
fn a_token_is_preferred_to_a_password_wherever_it_stands() {
    let both = r#"Basic realm="a, Bearer realm=b", Bearer realm="https://c.test/t""#;
    assert!(matches!(one(both), Some(Challenge::Bearer { realm, .. }) if realm == "https://c.test/t"));
    let headers = ["Basic realm=x", r#"Bearer realm="https://c.test/t""#];
    assert!(matches!(parse(headers.into_iter()), Some(Challenge::Bearer { .. })));
}

#[test]
fn what_cannot_be_answered_is_no_challenge() {
    for header in
        ["", "Negotiate", "Bearer", "Bearer service=x", r#"Bearer realm="unclosed"#, "=", r#"realm="x""#]
    {
        assert_eq!(one(header), None, "{header}");
    }
}

proptest! {
    #[test]
    fn any_header_is_read_to_its_end(header in "\\PC{0,200}") {
        one(&header);
    }

    #[test]
    fn any_mixture_of_its_parts_is_read_to_its_end(header in "((Bearer|Basic|realm|=|\"|\\\\|,| ){0,40})") {
        one(&header);
    }
}
