use std::net::SocketAddr;

use proptest::prelude::*;

use super::{accepted, error};
use crate::config::{
    AbsolutePath, ApiPath, BaseAddress, Bounded, ListenAddress, Namespace, RingBytes, SocketPath, Tenant,
    Token, parse,
};

#[test]
fn a_number_is_accepted_up_to_both_ends_of_its_range() {
    assert_eq!(Bounded::<1, 1_000>::new(0), None);
    assert_eq!(Bounded::<1, 1_000>::new(1).map(Bounded::get), Some(1));
    assert_eq!(Bounded::<1, 1_000>::new(1_000).map(Bounded::get), Some(1_000));
    assert_eq!(Bounded::<1, 1_000>::new(1_001), None);
    assert_eq!(accepted("zastava: {sensor: {flushIntervalMs: 1000}}").sensor.flush_interval_ms.get(), 1_000);
}

#[test]
fn a_ring_is_a_power_of_two_that_the_kernel_takes() {
    for bytes in [4096, 8192, 1 << 30] {
        assert_eq!(RingBytes::new(bytes).map(RingBytes::get), Some(bytes));
    }
    for bytes in [0, 1, 2048, 4095, 5000, 3 << 20, 1 << 31, u32::MAX] {
        assert_eq!(RingBytes::new(bytes), None, "{bytes}");
    }
    assert!(error("zastava: {sensor: {rings: {filesBytes: 4294971392}}}").contains("4294971392"));
}

#[test]
fn an_address_has_no_password_and_is_encrypted_unless_it_is_this_machine() {
    for good in
        ["https://a", "https://a:8443/base", "https://[::1]:8443", "http://localhost:1", "http://[::1]"]
    {
        assert!(good.parse::<BaseAddress>().is_ok(), "{good}");
    }
    let bad = [
        "",
        "a",
        "/a",
        "http://a",
        "http://localhost.example",
        "ftp://a",
        "https://",
        "https:///a",
        "https://u@a",
        "https://u:p@a",
        "https://a?b",
        "https://a#b",
        "https://a b",
        "http://localhost@evil",
        "HTTPS",
    ];
    for bad in bad {
        assert!(bad.parse::<BaseAddress>().is_err(), "{bad}");
    }
}

#[test]
fn texts_have_the_form_that_they_say() {
    assert!("acme-corp_1.x".parse::<Tenant>().is_ok());
    for bad in ["", "a b", "a/b", "é", &"a".repeat(129)] {
        assert!(bad.parse::<Tenant>().is_err(), "{bad}");
    }
    assert!("kube-system".parse::<Namespace>().is_ok());
    for bad in ["", "-a", "a-", "A", "a.b", &"a".repeat(64)] {
        assert!(bad.parse::<Namespace>().is_err(), "{bad}");
    }
    assert!("api:scanner.runtime.write".parse::<Token>().is_ok());
    for bad in ["", "a b", "a\"b", "a\\b", "a\n", &"a".repeat(257)] {
        assert!(bad.parse::<Token>().is_err(), "{bad}");
    }
    assert!("/".parse::<ApiPath>().is_ok());
    for bad in ["", "a", "/a b", "/a?b", "/a#b"] {
        assert!(bad.parse::<ApiPath>().is_err(), "{bad}");
    }
    assert!("/host/proc".parse::<AbsolutePath>().is_ok());
    for bad in ["", "proc", "/host/../proc", "/a\0b", &format!("/{}", "a".repeat(4095))] {
        assert!(bad.parse::<AbsolutePath>().is_err(), "{bad}");
    }
    assert!(format!("/{}", "a".repeat(102)).parse::<SocketPath>().is_ok());
    for bad in ["/", "run/a", &format!("/{}", "a".repeat(103))] {
        assert!(bad.parse::<SocketPath>().is_err(), "{bad}");
    }
    for good in ["127.0.0.1:0", "[::1]:9464", "0.0.0.0:65535"] {
        assert_eq!(good.parse::<ListenAddress>().unwrap().get(), good.parse::<SocketAddr>().unwrap());
    }
    for bad in ["", "9464", ":9464", "localhost:9464", "127.0.0.1:65536"] {
        assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_number_is_accepted_exactly_when_it_is_in_range(value: i128) {
        let text = format!("zastava: {{limits: {{burst: {value}}}}}");
        prop_assert_eq!(parse("f", &text).is_ok(), (1..=1_000_000).contains(&value));
    }

    #[test]
    fn any_small_number_is_accepted_exactly_when_it_is_in_range(value in -2..2_000i64) {
        let text = format!("zastava: {{sensor: {{flushIntervalMs: {value}}}}}");
        prop_assert_eq!(parse("f", &text).is_ok(), (1..=1_000).contains(&value));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse("f", &text);
    }

    #[test]
    fn no_pieces_of_yaml_make_the_reader_panic(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "zastava", ":", " ", "\n", "  ", "{", "}", "[", "]", "&a", "*a", "<<", "- ", "|", ">", "!!int", "'", "\"",
                "---", "#", "runtime", "limits", "burst", "5", "~", ",", "\t", "?", "%", "tier", "sensor",
            ]),
            0..60,
        )
    ) {
        let _ = parse("f", &pieces.concat());
    }
}
