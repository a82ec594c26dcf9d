use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use zastava_common::{
    config::{self, BaseProof, Config, Label, SbomLevel, SignatureRule},
    evidence::{
        ImageReference, Verifiers, Wanted,
        verifier::{self, Verifier},
    },
};

use super::{
    Bases, Cause, Files, Glob, Need, Policy, Repositories, Requirement, Rules, Tags, Unusable, signers::Known,
};

/// The key of the general rules.
const GENERAL: &str = "zastava.admission";

/// Rules of one entry, with its key.
type Entry<'a> = (String, &'a config::NamespaceRules);

impl Policy {
    /// Reads every key and root that the configuration names.
    pub fn compile(config: &Config, files: &dyn Files) -> Result<Self, Unusable> {
        let admission = &config.admission;
        let known = Known::read(admission, files)?;
        let general = General { config, fail_open: false };
        let rules = general.rules(&known, &[])?;
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
            let entries = admission.namespaces.iter().enumerate();
            let more: Vec<Entry<'_>> = entries
                .filter(|(_, rules)| rules.names.iter().any(|name| name.as_str() == *namespace))
                .map(|(at, rules)| (format!("{GENERAL}.namespaces[{at}]"), rules))
                .collect();
            let general = General { config, fail_open: open.contains(namespace) };
            namespaces.insert((*namespace).to_owned(), Arc::new(general.rules(&known, &more)?));
        }
        Ok(Self { general: Arc::new(rules), namespaces, hash: known.hash(admission) })
    }
}

/// The general rules, in a namespace that fails open or not.
struct General<'a> {
    config: &'a Config,
    fail_open: bool,
}

impl General<'_> {
    /// The general rules and `more`.
    fn rules(&self, known: &Known, more: &[Entry<'_>]) -> Result<Rules, Unusable> {
        let admission = &self.config.admission;
        // The key of whoever asks for it, the general rules before an entry.
        let asked = |general: bool, own: fn(&config::MoreVerify) -> bool, key: &str| {
            let entry = more.iter().find(|(_, rules)| own(&rules.verify)).map(|(here, _)| here.as_str());
            let here = if general { Some(GENERAL) } else { entry };
            here.map(|here| format!("{here}.verify.{key}"))
        };
        let config::Verify { image_signature, sbom_referrer, scanner_policy_pass } = admission.verify;
        let signatures = asked(image_signature, |verify| verify.image_signature, "imageSignature");
        let sbom = asked(sbom_referrer, |verify| verify.sbom_referrer, "sbomReferrer").is_some();
        let verdict = asked(scanner_policy_pass, |verify| verify.scanner_policy_pass, "scannerPolicyPass");
        if let (Some(key), None) = (&verdict, &self.config.backend) {
            return Err(Cause::NoBackend.at(key));
        }
        let levels = [(GENERAL, admission.sbom.level)].into_iter();
        let (here, level) = levels
            .chain(more.iter().map(|(here, rules)| (here.as_str(), rules.sbom.level)))
            .reduce(|one, other| if other.1 > one.1 { other } else { one })
            .unwrap_or((GENERAL, admission.sbom.level));
        if sbom && level == SbomLevel::Signed && known.verifiers.is_empty() {
            return Err(Cause::NoSbomVerifiers.at(format!("{here}.sbom.level")));
        }
        let mut list = List { known: &known.verifiers, verifiers: Vec::new() };
        let mut requirements = Vec::new();
        if let Some(key) = &signatures {
            if known.verifiers.is_empty() {
                return Err(Cause::NoVerifiers.at(key));
            }
            let own = more.iter().filter_map(|(_, rules)| rules.signature.as_ref());
            requirements
                .extend([&admission.signature].into_iter().chain(own).map(|rule| list.requirement(rule)));
        }
        let signers = list.verifiers;
        let bases: Vec<_> = [(GENERAL, &admission.base_images)]
            .into_iter()
            .chain(more.iter().map(|(here, rules)| (here.as_str(), &rules.base_images)))
            .filter(|(_, bases)| !bases.allow.is_empty())
            .map(|(here, bases)| base(here, bases))
            .collect::<Result<_, _>>()?;
        let registries = [(GENERAL, &admission.registry_allowlist)]
            .into_iter()
            .chain(more.iter().map(|(here, rules)| (here.as_str(), &rules.registry_allowlist)))
            .filter(|(_, list)| !list.is_empty())
            .map(|(here, list)| {
                Repositories::new(list).ok_or_else(|| Cause::Image.at(format!("{here}.registryAllowlist")))
            })
            .collect::<Result<_, _>>()?;
        let tags = [&admission.tags]
            .into_iter()
            .chain(more.iter().map(|(_, rules)| &rules.tags))
            .map(tags)
            .collect();
        // Who may sign an image may sign what is said about it; where images need no signature, everybody named.
        let sayers = if signers.is_empty() { known.verifiers.clone() } else { signers.clone() };
        let sayers = Arc::new(Verifiers::new(sayers, verifier::Need::Any));
        let nobody = Arc::new(Verifiers::new(Vec::new(), verifier::Need::Any));
        let need = match requirements.as_slice() {
            [Requirement { need: Need::Any, .. }] => verifier::Need::Any,
            _ => verifier::Need::All,
        };
        let wanted = Wanted {
            signatures: signatures.map(|_| Arc::new(Verifiers::new(signers, need))),
            sbom: sbom.then(|| Arc::clone(if level == SbomLevel::Signed { &sayers } else { &nobody })),
            base: (!bases.is_empty()).then(|| {
                Arc::clone(if bases.iter().any(|bases| bases.provenance) { &sayers } else { &nobody })
            }),
        };
        Ok(Rules {
            enforce: admission.enforce || more.iter().any(|(_, rules)| rules.enforce),
            fail_open: self.fail_open,
            controllers: more
                .iter()
                .filter_map(|(_, rules)| rules.controllers)
                .fold(admission.controllers, config::Controllers::max),
            registries,
            tags,
            signatures: requirements,
            sbom: sbom.then_some(level),
            verdict: verdict.is_some(),
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

/// `here`: the key of the section that has the rule.
fn base(here: &str, rule: &config::BaseImages) -> Result<Bases, Unusable> {
    let config::BaseImages { allow, proof } = rule;
    if proof.is_empty() {
        return Err(Cause::NoProof.at(format!("{here}.baseImages.proof")));
    }
    let allow = allow.iter().enumerate().map(|(at, image)| {
        let image = image.as_str().parse::<ImageReference>();
        image.map_err(|_| Cause::Image.at(format!("{here}.baseImages.allow[{at}]")))
    });
    Ok(Bases {
        allow: allow.collect::<Result<_, _>>()?,
        provenance: proof.contains(&BaseProof::Provenance),
        layers: proof.contains(&BaseProof::Layers),
    })
}
