//! Who may sign, with the keys and roots that the configuration names.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use sha2::{Digest as _, Sha256};
use zastava_common::{
    config::{self, AbsolutePath, Admission},
    evidence::verifier::{Identity, Matcher, Method, PublicKey, TrustRoot, Verifier},
};

use super::{Cause, Files, PolicyHash, Unusable};

/// What was read for the policy.
pub(super) struct Known {
    /// In the order of the configuration; `legacy` is set where they are used.
    pub(super) verifiers: Vec<Verifier>,
    /// Contents of the files, by path.
    read: BTreeMap<String, String>,
}

impl Known {
    pub(super) fn read(admission: &Admission, files: &dyn Files) -> Result<Self, Unusable> {
        let mut reader = Reader { files, read: BTreeMap::new(), roots: BTreeMap::new() };
        let config::Verifiers { keys, keyless } = &admission.verifiers;
        let here = "zastava.admission.verifiers";
        let keys = keys.iter().enumerate().map(|(at, one)| (format!("{here}.keys[{at}]"), one));
        let keyless = keyless.iter().enumerate().map(|(at, one)| (format!("{here}.keyless[{at}]"), one));
        let mut verifiers = Vec::new();
        for (key, one) in keys {
            verifiers.push(reader.key(one, &key)?);
        }
        for (key, one) in keyless {
            verifiers.push(reader.keyless(one, &key)?);
        }
        Ok(Self { verifiers, read: reader.read })
    }

    /// Of the configuration's section and of what was read for it.
    pub(super) fn hash(&self, admission: &Admission) -> PolicyHash {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        // Serialized, a configuration is the same text for the same values. It cannot fail: there are no maps in it.
        part(serde_json::to_string(admission).unwrap_or_default().as_bytes());
        for (path, content) in &self.read {
            part(path.as_bytes());
            part(content.as_bytes());
        }
        PolicyHash(hash.finalize().into())
    }
}

struct Reader<'a> {
    files: &'a dyn Files,
    read: BTreeMap<String, String>,
    /// Roots are large; each is parsed once.
    roots: BTreeMap<Option<String>, Arc<TrustRoot>>,
}

impl Reader<'_> {
    /// `here`: the key of the entry.
    fn key(&mut self, entry: &config::Key, here: &str) -> Result<Verifier, Unusable> {
        let config::Key { name, public_key, require_log, trusted_root } = entry;
        let written = public_key.as_str();
        let key = if written.starts_with('/') {
            self.text(Path::new(written)).and_then(|pem| Ok(PublicKey::from_pem(&pem)?))
        } else {
            PublicKey::from_pem(written).map_err(Cause::from)
        };
        let key = key.map_err(|cause| cause.at(format!("{here}.publicKey")))?;
        let log = if *require_log { Some(self.root(trusted_root.as_ref(), here)?) } else { None };
        let method = Method::Key { key, log };
        Ok(Verifier { name: name.as_str().to_owned(), method, legacy: true })
    }

    fn keyless(&mut self, entry: &config::Keyless, here: &str) -> Result<Verifier, Unusable> {
        let config::Keyless { name, issuer, subject, subject_pattern, trusted_root, require_log } = entry;
        let subject = match (subject, subject_pattern) {
            (Some(subject), _) => Matcher::Exact(subject.as_str().to_owned()),
            (None, pattern) => Matcher::pattern(pattern.as_ref().map_or("", |pattern| pattern.as_str()))
                .map_err(|bad| Cause::from(bad).at(format!("{here}.subjectPattern")))?,
        };
        let identity = Identity { issuer: Matcher::Exact(issuer.as_str().to_owned()), subject };
        let root = self.root(trusted_root.as_ref(), here)?;
        let method = Method::Keyless { identity, root, log: *require_log };
        Ok(Verifier { name: name.as_str().to_owned(), method, legacy: true })
    }

    fn root(&mut self, path: Option<&AbsolutePath>, here: &str) -> Result<Arc<TrustRoot>, Unusable> {
        let key = path.map(|path| path.as_path().display().to_string());
        if let Some(root) = self.roots.get(&key) {
            return Ok(Arc::clone(root));
        }
        let root = match path {
            Some(path) => self.text(path.as_path()).and_then(|json| Ok(TrustRoot::from_json(&json)?)),
            None => TrustRoot::sigstore().map_err(Cause::from),
        };
        let root = Arc::new(root.map_err(|cause| cause.at(format!("{here}.trustedRoot")))?);
        self.roots.insert(key, Arc::clone(&root));
        Ok(root)
    }

    fn text(&mut self, path: &Path) -> Result<String, Cause> {
        let content = self.files.read(path)?;
        self.read.insert(path.display().to_string(), content.clone());
        Ok(content)
    }
}
