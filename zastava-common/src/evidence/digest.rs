//! Digests of content: `sha256:` or `sha512:` and the hash in lower-case hex.

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, SHA512, digest};

/// The digest of a manifest, blob or layer (OCI image specification, "Digests"), of a registered algorithm.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest {
    algorithm: Algorithm,
    /// Lower-case, as many digits as the algorithm has.
    hex: Box<str>,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

/// A text that is no digest that we can check.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no digest: it is sha256: with 64 or sha512: with 128 lower-case hexadecimal digits")]
pub struct NoDigest;

impl Digest {
    /// The SHA-256 of `content`.
    pub fn sha256(content: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, content)
    }

    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let hash = match algorithm {
            Algorithm::Sha256 => digest(&SHA256, content),
            Algorithm::Sha512 => digest(&SHA512, content),
        };
        Self { algorithm, hex: hex(hash.as_ref()).into() }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash alone, lower-case.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The hash alone, as bytes.
    pub fn bytes(&self) -> Vec<u8> {
        unhex(&self.hex).unwrap_or_default()
    }

    /// Whether `content` is what this digest names.
    pub fn is_of(&self, content: &[u8]) -> bool {
        Self::of(self.algorithm, content) == *self
    }

    /// The tag below which registries without a referrers API keep an index of referrers (OCI distribution
    /// specification, "Referrers Tag Schema"); cosign's tags are this one and a suffix.
    pub fn fallback_tag(&self) -> String {
        // A tag has 128 characters at most, so the schema cuts the hash.
        let shown = self.hex.get(..64).unwrap_or(&self.hex);
        format!("{}-{shown}", self.algorithm.name())
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let (name, hex) = text.split_once(':').ok_or(NoDigest)?;
        let algorithm = [Algorithm::Sha256, Algorithm::Sha512].into_iter().find(|known| known.name() == name);
        let algorithm = algorithm.ok_or(NoDigest)?;
        let digits = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !digits || hex.len() != algorithm.digits() {
            return Err(NoDigest);
        }
        Ok(Self { algorithm, hex: hex.into() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of a hexadecimal text.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [b'+', _] => None,
            [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        })
        .collect()
}
