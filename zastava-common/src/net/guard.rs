use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Which hosts may be at which addresses. Asked when a connection is made, with the address that it is made to: a name
/// that resolves to something else a moment later gains nothing.
#[derive(Debug)]
pub(crate) enum Guard {
    /// Anything: every host is named by the configuration.
    #[cfg(feature = "backend")]
    Open,
    /// Public addresses; others for these hosts (lower-case name, port) alone.
    Public { except: HashSet<(String, u16)> },
}

impl Guard {
    pub(crate) fn allows(&self, host: &str, port: u16, address: IpAddr) -> bool {
        match self {
            #[cfg(feature = "backend")]
            Self::Open => true,
            Self::Public { except } => {
                is_public(address) || except.contains(&(host.to_ascii_lowercase(), port))
            }
        }
    }
}

/// Whether the address is one of the open Internet (IANA's special-purpose registries; what is not known is not).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)      // this network, private, loopback, multicast and reserved
            | (100, 64..=127, _)          // carriers' own (RFC 6598), which clouds use for their metadata too
            | (169, 254, _)               // link-local
            | (172, 16..=31, _)           // private
            | (192, 168, _)               // private
            | (192, 0, 0 | 2)             // protocol assignments, documentation
            | (192, 88, 99)               // 6to4 relays
            | (198, 18..=19, _)           // benchmarking
            | (198, 51, 100)              // documentation
            | (203, 0, 113) // documentation
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Global unicast is 2000::/3. What carries an IPv4 address inside is not looked into but refused: Teredo
    // (2001::/32) and 6to4 (2002::/16); mapped and translated addresses are outside 2000::/3.
    let global = a & 0xe000 == 0x2000;
    let special = matches!((a, b), (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff));
    global && !special
}
