use std::net::IpAddr;

use super::guard::{Guard, is_public};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn addresses_that_are_not_of_the_open_internet_are_known() {
    let special = [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2001:0:1::1",
        "100::1",
        "5f00::1",
    ];
    for special in special {
        assert!(!is_public(address(special)), "{special}");
    }
    for public in ["8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.1.1", "2606:4700::1", "2a00:1450::1"] {
        assert!(is_public(address(public)), "{public}");
    }
}

#[test]
fn a_host_may_be_at_a_private_address_where_it_is_configured_so_and_at_that_port_alone() {
    let guard = Guard::Public { except: [("reg.test".to_owned(), 5000)].into() };
    let private = address("10.0.0.1");
    assert!(guard.allows("REG.test", 5000, private));
    assert!(!guard.allows("reg.test", 443, private));
    assert!(!guard.allows("other.test", 5000, private));
    assert!(guard.allows("other.test", 443, address("8.8.8.8")));
}
