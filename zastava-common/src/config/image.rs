//! Texts that name images, their registries and their signers.

use std::{borrow::Cow, fmt, marker::PhantomData, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    NotAllowed,
    text::{TextVisitor, absolute, all, text},
};

text!(
    /// A name that an operator gives to something.
    Label(String),
    "1 to 64 letters, digits, dots, dashes and underscores",
    64,
    "^[A-Za-z0-9._-]+$",
    |text| all(text, |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
);

text!(
    /// A registry as it stands in image references.
    RegistryHost(String),
    "a host name or address in lower case, perhaps with a port: registry.example:5000",
    255,
    "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$|^\\[[0-9a-f:.]+\\](:[0-9]{1,5})?$",
    |text| host(text).then(|| text.to_owned())
);

text!(
    /// Where a mirror has what is in a registry: a host of its own, or a path below one that mirrors several.
    MirrorPlace(String),
    "a host name or address in lower case, perhaps with a port, and perhaps a path below it: mirror.example:5000/docker.io",
    512,
    "^[a-z0-9.:\\[\\]-]+(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
    |text| {
        let mut parts = text.split('/');
        let known = host(parts.next().unwrap_or_default());
        let end = |byte: Option<u8>| byte.is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
        let segment = |segment: &str| {
            let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
            end(segment.bytes().next()) && end(segment.bytes().next_back()) && segment.bytes().all(plain)
        };
        (known && parts.all(segment)).then(|| text.to_owned())
    }
);

text!(
    /// A registry, a repository in it, or everything below a part of its path. Compared by whole segments: what permits
    /// `registry.example/acme` permits `registry.example/acme/api` and not `registry.example/acme-evil`.
    RepositoryPattern(String),
    "a registry's host and perhaps a path below it, registry.example/acme; * stands for one segment of the path, or *. \
     before a host for one label",
    512,
    "^(\\*\\.)?[a-z0-9.:\\[\\]-]+(/([a-z0-9._-]+|\\*))*$",
    |text| {
        let mut segments = text.split('/');
        let first = segments.next().unwrap_or_default();
        let known = host(first.strip_prefix("*.").unwrap_or(first));
        let path = |segment: &str| {
            let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
            segment == "*" || (!segment.is_empty() && segment.bytes().all(plain))
        };
        // One word could be a host or an image of Docker Hub; a host has a dot, a port, or is this machine.
        let is_host = first.contains(['.', ':']) || first == "localhost";
        (known && is_host && segments.all(path)).then(|| text.to_owned())
    }
);

text!(
    /// A tag, in which `*` stands for any characters.
    TagPattern(String),
    "1 to 128 letters, digits, dots, dashes and underscores; * stands for any characters",
    128,
    "^[A-Za-z0-9._*-]+$",
    |text| all(text, |byte| byte.is_ascii_alphanumeric() || b"._-*".contains(&byte))
);

text!(
    /// An image by digest.
    ImageAtDigest(String),
    "an image by digest: registry.example/base@sha256:... with 64 digits in lower-case hex",
    512,
    "^[a-z0-9.:\\[\\]-]+(/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}$",
    |text| {
        let (name, digest) = text.split_once("@sha256:")?;
        let (first, path) = name.split_once('/')?;
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let segments = path.split('/').all(|segment| !segment.is_empty() && segment.bytes().all(plain));
        let hex = digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_host = host(first) && (first.contains(['.', ':']) || first == "localhost");
        (segments && hex && is_host).then(|| text.to_owned())
    }
);

text!(
    /// Text of a certificate: issuer or subject, or a pattern for one.
    SubjectText(String),
    "1 to 1024 characters, none of them a control character",
    1024,
    "^[^\\x00-\\x1F]+$",
    |text| (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
);

text!(
    /// A public key, or where it is.
    PublicKeySource(String),
    "a public key that begins with -----BEGIN PUBLIC KEY-----, or the path of a file with one",
    16_384,
    "^(/|-----BEGIN PUBLIC KEY-----)",
    |text| {
        if text.trim_start().starts_with("-----BEGIN PUBLIC KEY-----") {
            return Some(text.to_owned());
        }
        absolute(text)
    }
);

macro_rules! as_str {
    ($($name:ident)+) => {
        $(impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        })+
    };
}

as_str!(Label RegistryHost MirrorPlace RepositoryPattern TagPattern ImageAtDigest SubjectText PublicKeySource);

impl MirrorPlace {
    /// The host, and what stands behind its slash.
    pub fn parts(&self) -> (&str, Option<&str>) {
        match self.0.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (&self.0, None),
        }
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets, and perhaps a port.
fn host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if port.is_some_and(|port| !digits(port) || !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return false;
    }
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(plain)
    };
    name.split('.').all(label)
}
