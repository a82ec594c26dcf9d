use std::{fmt, net::IpAddr, str::FromStr};

/// A registry's host: a name or an address, lower-case, with the port where one was given.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Host {
    text: Box<str>,
    /// Where in `text` the name ends.
    name: usize,
    port: Option<u16>,
}

/// Docker Hub, as references name it.
const DOCKER_HUB: &str = concat!("docker", ".", "io");

/// A text that is no host.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no host: it is a name or an address (IPv6 in brackets), and behind a colon the port")]
pub struct NoHost;

impl Host {
    /// The registry of references that name none.
    pub fn docker_hub() -> Self {
        Self { text: DOCKER_HUB.into(), name: DOCKER_HUB.len(), port: None }
    }

    /// With the port, where one was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Without the port; an IPv6 address stands in brackets.
    pub fn name(&self) -> &str {
        self.text.get(..self.name).unwrap_or(&self.text)
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The address, where the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        let name = self.name();
        match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(address) => address.parse().ok().map(IpAddr::V6),
            None => name.parse().ok().map(IpAddr::V4),
        }
    }
}

impl FromStr for Host {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let text = text.to_ascii_lowercase();
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, Some(port)),
            _ => (text.as_str(), None),
        };
        let port = match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok().filter(|port| *port != 0).ok_or(NoHost)?)
            }
            Some(_) => return Err(NoHost),
            None => None,
        };
        let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let allowed = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name.len() <= 253 && name.split('.').all(is_label),
        };
        if !allowed {
            return Err(NoHost);
        }
        // Docker Hub's older name is read as its newer one, as runtimes do.
        if name.strip_prefix("index.") == Some(DOCKER_HUB) && port.is_none() {
            return Ok(Self::docker_hub());
        }
        Ok(Self { name: name.len(), text: text.into(), port })
    }
}

fn is_label(label: &str) -> bool {
    let dash = label.starts_with('-') || label.ends_with('-');
    let bytes = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    !label.is_empty() && label.len() <= 63 && !dash && bytes
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
