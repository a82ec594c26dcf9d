//! Who must have signed, and how that is checked.

mod identity;
mod key;
mod root;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

pub use self::{
    identity::{BadPattern, Identity, Matcher},
    key::{BadKey, PublicKey},
    root::{BadRoot, TrustRoot},
};

/// The verifiers that one question is about.
#[derive(Clone, Debug)]
pub struct Verifiers {
    list: Vec<Verifier>,
    need: Need,
    fingerprint: [u8; 32],
}

/// How many of them must be satisfied. Facts are told for each; this says when no more needs to be looked for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Need {
    Any,
    All,
}

/// One party that may have signed.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Stands in facts and in messages.
    pub name: String,
    pub method: Method,
    /// Whether signatures below cosign's `.sig` and `.att` tags count.
    pub legacy: bool,
}

#[derive(Clone, Debug)]
pub enum Method {
    /// Signed with this key. With `log`, it must also be in one of that root's transparency logs.
    Key { key: PublicKey, log: Option<Arc<TrustRoot>> },
    /// Signed with a short-lived certificate for this identity, by an authority of this root. `log` is off only for
    /// authorities that have no public log and countersign the time instead.
    Keyless { identity: Identity, root: Arc<TrustRoot>, log: bool },
}

impl Verifiers {
    pub fn new(list: Vec<Verifier>, need: Need) -> Self {
        let fingerprint = fingerprint(&list, need);
        Self { list, need, fingerprint }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Verifier> {
        self.list.iter()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn need(&self) -> Need {
        self.need
    }

    /// Equal for equal verifiers alone: what was found for others holds for these if it is the same.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

/// Each part behind its length, so that no two lists run into the same bytes.
fn fingerprint(list: &[Verifier], need: Need) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        context.update(bytes);
    };
    part(&[match need {
        Need::Any => 0,
        Need::All => 1,
    }]);
    for Verifier { name, method, legacy } in list {
        part(name.as_bytes());
        part(&[u8::from(*legacy)]);
        match method {
            Method::Key { key, log } => {
                part(b"key");
                part(key.spki());
                part(log.as_ref().map_or(&[], |root| root.fingerprint().as_slice()));
            }
            Method::Keyless { identity: Identity { issuer, subject }, root, log } => {
                part(b"keyless");
                for matcher in [issuer, subject] {
                    part(&[u8::from(matcher.is_pattern())]);
                    part(matcher.as_str().as_bytes());
                }
                part(root.fingerprint());
                part(&[u8::from(*log)]);
            }
        }
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(context.finish().as_ref());
    fingerprint
}
