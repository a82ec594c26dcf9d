use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use zastava_common::{
    config::{self, AbsolutePath, Admission, BaseProof, Config, Label, SbomLevel, SignatureRule},
    evidence::{
        ImageReference, Verifiers, Wanted,
        verifier::{
            self, BadKey, BadPattern, BadRoot, Identity, Matcher, Method, PublicKey, TrustRoot, Verifier,
        },
    },
};

use super::{
    Bases, FileError, Files, Glob, Need, Policy, PolicyHash, Repositories, Requirement, Rules, Tags,
};

/// Why a configuration that is valid makes no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error(
        "zastava.admission.verify.imageSignature is on, and nobody is named who may sign: name keys or identities under \
         zastava.admission.verifiers, or switch it off"
    )]
    NoVerifiers,
    #[error(
        "zastava.admission asks for an SBOM that is signed, and nobody is named who may sign: name keys or identities \
         under zastava.admission.verifiers, or ask for another level"
    )]
    NoSbomVerifiers,
    #[error(
        "zastava.admission.verify.scannerPolicyPass is on, and there is no backend to ask: configure zastava.backend, or \
         switch it off"
    )]
    NoBackend,
    #[error(
        "zastava.admission.baseImages has images and no proof that would count: name provenance, layers or both"
    )]
    NoProof,
    #[error("the verifier {name}: {source}")]
    File { name: String, source: FileError },
    #[error("the verifier {name}: {source}")]
    Key { name: String, source: BadKey },
    #[error("the verifier {name}: {source}")]
    Root { name: String, source: BadRoot },
    #[error("the verifier {name}: {source}")]
    Pattern { name: String, source: BadPattern },
    #[error("{0} is nothing that an image can be compared with")]
    Image(String),
}

impl Policy {
    /// Reads every key and root that the configuration names.
    pub fn compile(config: &Config, files: &dyn Files) -> Result<Self, PolicyError> {
        let admission = &config.admission;
        let mut known = Known::read(admission, files)?;
        let general = General { config, fail_open: false };
        let rules = general.rules(&mut known, &[])?;
        let mut namespaces = HashMap::new();
        let open: BTreeSet<&str> =
            admission.fail_open_namespaces.iter().map(config::Namespace::as_str).collect();
        let own: BTreeSet<&str> = admission
            .namespaces
            .iter()
            .flat_map(|rules| &rules.names)
            .map(config::Namespace::as_str)
            .collect();
        for namespace in open.union(&own) {
            let more: Vec<_> = admission
                .namespaces
                .iter()
                .filter(|rules| rules.names.iter().any(|name| name.as_str() == *namespace))
                .collect();
            let general = General { config, fail_open: open.contains(namespace) };
            namespaces.insert((*namespace).to_owned(), Arc::new(general.rules(&mut known, &more)?));
        }
        Ok(Self { general: Arc::new(rules), namespaces, hash: known.hash(admission) })
    }
}

/// What was read for the policy.
struct Known {
    /// In the order of the configuration; `legacy` is set where they are used.
    verifiers: Vec<Verifier>,
    /// Contents of the files, by path.
    read: BTreeMap<String, String>,
}

impl Known {
    fn read(admission: &Admission, files: &dyn Files) -> Result<Self, PolicyError> {
        let mut read = BTreeMap::new();
        let mut roots = BTreeMap::new();
        let config::Verifiers { keys, keyless } = &admission.verifiers;
        let mut verifiers = Vec::new();
        for config::Key { name, public_key, require_log, trusted_root } in keys {
            let name = name.as_str();
            let written = public_key.as_str();
            let pem = if written.starts_with('/') {
                text(name, Path::new(written), files, &mut read)?
            } else {
                written.to_owned()
            };
            let key = PublicKey::from_pem(&pem)
                .map_err(|source| PolicyError::Key { name: name.to_owned(), source })?;
            let log = if *require_log {
                Some(root(name, trusted_root.as_ref(), files, &mut read, &mut roots)?)
            } else {
                None
            };
            verifiers.push(Verifier {
                name: name.to_owned(),
                method: Method::Key { key, log },
                legacy: true,
            });
        }
        for config::Keyless { name, issuer, subject, subject_pattern, trusted_root, require_log } in keyless {
            let name = name.as_str();
            let subject = match (subject, subject_pattern) {
                (Some(subject), _) => Matcher::Exact(subject.as_str().to_owned()),
                (None, pattern) => Matcher::pattern(pattern.as_ref().map_or("", |pattern| pattern.as_str()))
                    .map_err(|source| PolicyError::Pattern { name: name.to_owned(), source })?,
            };
            let identity = Identity { issuer: Matcher::Exact(issuer.as_str().to_owned()), subject };
            let root = root(name, trusted_root.as_ref(), files, &mut read, &mut roots)?;
            let method = Method::Keyless { identity, root, log: *require_log };
            verifiers.push(Verifier { name: name.to_owned(), method, legacy: true });
        }
        Ok(Self { verifiers, read })
    }

    fn hash(&self, admission: &Admission) -> PolicyHash {
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

fn text(
    name: &str,
    path: &Path,
    files: &dyn Files,
    read: &mut BTreeMap<String, String>,
) -> Result<String, PolicyError> {
    let content = files.read(path).map_err(|source| PolicyError::File { name: name.to_owned(), source })?;
    read.insert(path.display().to_string(), content.clone());
    Ok(content)
}

/// Roots are large; each is parsed once.
fn root(
    name: &str,
    path: Option<&AbsolutePath>,
    files: &dyn Files,
    read: &mut BTreeMap<String, String>,
    roots: &mut BTreeMap<Option<String>, Arc<TrustRoot>>,
) -> Result<Arc<TrustRoot>, PolicyError> {
    let key = path.map(|path| path.as_path().display().to_string());
    if let Some(root) = roots.get(&key) {
        return Ok(Arc::clone(root));
    }
    let root = match path {
        Some(path) => TrustRoot::from_json(&text(name, path.as_path(), files, read)?),
        None => TrustRoot::sigstore(),
    };
    let root = Arc::new(root.map_err(|source| PolicyError::Root { name: name.to_owned(), source })?);
    roots.insert(key, Arc::clone(&root));
    Ok(root)
}

/// The general rules, in a namespace that fails open or not.
struct General<'a> {
    config: &'a Config,
    fail_open: bool,
}

impl General<'_> {
    /// The general rules and `more`.
    fn rules(&self, known: &mut Known, more: &[&config::NamespaceRules]) -> Result<Rules, PolicyError> {
        let admission = &self.config.admission;
        let verify = |general: bool, own: fn(&config::MoreVerify) -> bool| {
            general || more.iter().any(|rules| own(&rules.verify))
        };
        let signatures = verify(admission.verify.image_signature, |verify| verify.image_signature);
        let sbom = verify(admission.verify.sbom_referrer, |verify| verify.sbom_referrer);
        let verdict = verify(admission.verify.scanner_policy_pass, |verify| verify.scanner_policy_pass);
        if verdict && self.config.backend.is_none() {
            return Err(PolicyError::NoBackend);
        }
        let level = more.iter().map(|rules| rules.sbom.level).fold(admission.sbom.level, SbomLevel::max);
        if sbom && level == SbomLevel::Signed && known.verifiers.is_empty() {
            return Err(PolicyError::NoSbomVerifiers);
        }
        let mut list = List { known: &known.verifiers, verifiers: Vec::new() };
        let mut requirements = Vec::new();
        if signatures {
            if known.verifiers.is_empty() {
                return Err(PolicyError::NoVerifiers);
            }
            let own = more.iter().filter_map(|rules| rules.signature.as_ref());
            requirements
                .extend([&admission.signature].into_iter().chain(own).map(|rule| list.requirement(rule)));
        }
        let signers = list.verifiers;
        let bases: Vec<_> = [&admission.base_images]
            .into_iter()
            .chain(more.iter().map(|rules| &rules.base_images))
            .filter(|bases| !bases.allow.is_empty())
            .map(base)
            .collect::<Result<_, _>>()?;
        let allowlists = [&admission.registry_allowlist].into_iter();
        let registries = allowlists
            .chain(more.iter().map(|rules| &rules.registry_allowlist))
            .filter(|list| !list.is_empty())
            .map(|list| Repositories::new(list).ok_or_else(|| PolicyError::Image(written(list))))
            .collect::<Result<_, _>>()?;
        let tags =
            [&admission.tags].into_iter().chain(more.iter().map(|rules| &rules.tags)).map(tags).collect();
        // Who may sign an image may sign what is said about it; where images need no signature, everybody named.
        let sayers = if signers.is_empty() { known.verifiers.clone() } else { signers.clone() };
        let sayers = Arc::new(Verifiers::new(sayers, verifier::Need::Any));
        let nobody = Arc::new(Verifiers::new(Vec::new(), verifier::Need::Any));
        let need = match requirements.as_slice() {
            [Requirement { need: Need::Any, .. }] => verifier::Need::Any,
            _ => verifier::Need::All,
        };
        let wanted = Wanted {
            signatures: signatures.then(|| Arc::new(Verifiers::new(signers, need))),
            sbom: sbom.then(|| Arc::clone(if level == SbomLevel::Signed { &sayers } else { &nobody })),
            base: (!bases.is_empty()).then(|| {
                Arc::clone(if bases.iter().any(|bases| bases.provenance) { &sayers } else { &nobody })
            }),
        };
        Ok(Rules {
            enforce: admission.enforce || more.iter().any(|rules| rules.enforce),
            fail_open: self.fail_open,
            controllers: more
                .iter()
                .filter_map(|rules| rules.controllers)
                .fold(admission.controllers, config::Controllers::max),
            registries,
            tags,
            signatures: requirements,
            sbom: sbom.then_some(level),
            verdict,
            bases,
            wanted,
        })
    }
}

/// The verifiers that one namespace's rules are about, each once.
struct List<'a> {
    known: &'a [Verifier],
    verifiers: Vec<Verifier>,
}

impl List<'_> {
    fn requirement(&mut self, rule: &SignatureRule) -> Requirement {
        let SignatureRule { verifiers, need, legacy } = rule;
        let named = |one: &&Verifier| {
            verifiers.is_empty() || verifiers.iter().map(Label::as_str).any(|name| name == one.name)
        };
        let members = self.known.iter().filter(named).map(|one| {
            let place = self.verifiers.iter().position(|its| its.name == one.name && its.legacy == *legacy);
            place.unwrap_or_else(|| {
                self.verifiers.push(Verifier { legacy: *legacy, ..one.clone() });
                self.verifiers.len() - 1
            })
        });
        let need = match need {
            config::Need::Any => Need::Any,
            config::Need::All => Need::All,
        };
        Requirement { need, members: members.collect() }
    }
}

fn tags(rules: &config::TagRules) -> Tags {
    let config::TagRules { deny, deny_untagged, require_digest } = rules;
    Tags {
        deny: deny.iter().map(Glob::new).collect(),
        deny_untagged: *deny_untagged,
        require_digest: *require_digest,
    }
}

fn base(rule: &config::BaseImages) -> Result<Bases, PolicyError> {
    let config::BaseImages { allow, proof } = rule;
    if proof.is_empty() {
        return Err(PolicyError::NoProof);
    }
    let allow = allow.iter().map(|image| {
        image.as_str().parse::<ImageReference>().map_err(|_| PolicyError::Image(image.as_str().to_owned()))
    });
    Ok(Bases {
        allow: allow.collect::<Result<_, _>>()?,
        provenance: proof.contains(&BaseProof::Provenance),
        layers: proof.contains(&BaseProof::Layers),
    })
}

fn written(list: &[config::RepositoryPattern]) -> String {
    list.iter().map(config::RepositoryPattern::as_str).collect::<Vec<_>>().join(", ")
}
