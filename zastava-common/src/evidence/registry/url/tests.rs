use http::Uri;
use proptest::prelude::*;

use super::{next_link, origin, resolve};

fn from(text: &'static str) -> Uri {
    Uri::from_static(text)
}

#[test]
fn a_target_without_a_host_stays_where_it_was_found() {
    let found = resolve(&from("https://reg.test:5000/v2/a"), "/v2/a/referrers/x?n=2").unwrap();
    assert_eq!(found, "https://reg.test:5000/v2/a/referrers/x?n=2");
}

#[test]
fn nothing_leaves_tls() {
    let tls = from("https://reg.test/");
    assert!(resolve(&tls, "https://blobs.test/x").is_ok());
    assert_eq!(resolve(&tls, "http://reg.test/x"), Err("that leaves TLS"));
    assert!(resolve(&from("http://reg.test/"), "http://blobs.test/x").is_ok());
}

#[test]
fn what_is_no_plain_http_url_is_refused() {
    for target in [
        "file:///etc/passwd",
        "https://u:p@blobs.test/",
        "x/y",
        "",
        "gopher://reg.test/",
        "//blobs.test/x",
        "\0",
    ] {
        assert!(resolve(&from("https://reg.test/"), target).is_err(), "{target:?}");
    }
}

#[test]
fn one_server_is_one_host_and_port() {
    let of = |text| origin(&from(text));
    assert_eq!(of("https://REG.test/a"), of("https://reg.test:443/b"));
    assert_ne!(of("https://reg.test/"), of("https://reg.test:444/"));
    assert_ne!(of("https://reg.test/"), of("http://reg.test/"));
}

#[test]
fn the_next_page_is_found_among_links() {
    let next = |header| next_link([header].into_iter());
    assert_eq!(next(r#"</v2/a?last=x,y&n=2>; rel="next""#), Some("/v2/a?last=x,y&n=2"));
    assert_eq!(next(r#"<a>; rel=prev, <b>; title="x"; rel="last Next""#), Some("b"));
    assert_eq!(next(r#"<a>; rel="prev""#), None);
    assert_eq!(next("<a>; rel"), None);
    assert_eq!(next("<a"), None);
}

proptest! {
    #[test]
    fn any_text_is_a_target_or_none(text in "\\PC{0,100}") {
        let _ = resolve(&from("https://reg.test/"), &text);
        next_link([text.as_str()].into_iter());
    }
}
