//! What was found for one subject, an image or an index, while its evidence comes in piece by piece.

#[cfg(test)]
mod tests;

use crate::evidence::{
    Base, Digest, Fault, Form, Format, Material, Outcome, Reason, Refusal, SbomFound, SbomLevel, SignerFact,
    Verified, Verifiers,
    facts::refusal,
    predicate,
    signature::{Checked, Claim, NoSignature, Signature, check},
    source::Wanted,
    verifier::{Need, Verifier},
};

/// Inputs of a build that are kept of all provenance of one subject.
const MAX_MATERIALS: usize = 2_000;

/// SBOMs that are kept of one image.
const MAX_SBOMS: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Findings {
    pub(super) subject: Digest,
    wanted: Wanted,
    signers: Vec<Signer>,
    pub(super) sboms: Vec<SbomFound>,
    /// None where there are `too_many`.
    materials: Vec<Material>,
    too_many: Option<Fault>,
    /// The verifiers whose provenance there is.
    provenance: Vec<String>,
    /// The first fault for which something could not be looked at.
    pub(super) unknown: Option<Fault>,
}

/// How one verifier stands.
#[derive(Clone, Debug)]
enum Signer {
    Satisfied(Checked, Form),
    /// By what came closest.
    Not(Refusal),
}

impl Findings {
    pub(super) fn new(subject: Digest, wanted: &Wanted) -> Self {
        let verifiers = wanted.signatures.as_ref().map_or(0, |verifiers| verifiers.len());
        let none = Signer::Not(refusal(Reason::Unsigned, "there is no signature"));
        Self {
            subject,
            wanted: wanted.clone(),
            signers: vec![none; verifiers],
            sboms: Vec::new(),
            materials: Vec::new(),
            too_many: None,
            provenance: Vec::new(),
            unknown: None,
        }
    }

    /// Takes a signature into account: as one of the image, or as one of something said about it.
    pub(super) fn consider(&mut self, signature: &Signature) {
        if let Some(verifiers) = &self.wanted.signatures {
            for (verifier, signer) in verifiers.iter().zip(&mut self.signers) {
                signer.consider(verifier, signature, &self.subject);
            }
        }
        let Claim::Statement { predicate_type, predicate, .. } = signature.claim() else { return };
        if let Some(format) = predicate::sbom(predicate_type) {
            self.consider_sbom(format, signature);
        }
        if predicate::is_provenance(predicate_type) {
            self.consider_provenance(predicate, signature);
        }
    }

    fn consider_sbom(&mut self, format: Format, signature: &Signature) {
        let Some(verifiers) = &self.wanted.sbom else { return };
        if !signature.claim().is_about(&self.subject) {
            return;
        }
        let signed_by: Vec<String> = satisfied(verifiers, signature, &self.subject).collect();
        let level = if signed_by.is_empty() { SbomLevel::Present } else { SbomLevel::Signed };
        self.add_sbom(level, format, signature.source().clone(), signed_by);
    }

    /// An SBOM without a signature of its own.
    pub(super) fn add_sbom(
        &mut self,
        level: SbomLevel,
        format: Format,
        digest: Digest,
        signed_by: Vec<String>,
    ) {
        if self.sboms.len() == MAX_SBOMS {
            // Those that count for more displace one that counts for less.
            let Some(least) = self.sboms.iter().position(|found| found.level < level) else { return };
            self.sboms.swap_remove(least);
        }
        self.sboms.push(SbomFound { of: self.subject.clone(), level, format, digest, signed_by });
    }

    fn consider_provenance(&mut self, predicate: &str, signature: &Signature) {
        let Some(verifiers) = &self.wanted.base else { return };
        for verifier in satisfied(verifiers, signature, &self.subject) {
            let materials = predicate::materials(predicate).take(MAX_MATERIALS + 1);
            let verified = |(uri, digest)| Material { uri, digest, verifier: verifier.clone() };
            self.materials.extend(materials.map(verified));
            if !self.provenance.contains(&verifier) {
                self.provenance.push(verifier);
            }
        }
        if self.materials.len() > MAX_MATERIALS {
            let (host, what) = (signature.source().to_string(), "inputs of its build");
            self.too_many = Some(Fault::TooMany { host, what, limit: MAX_MATERIALS });
        }
        // Those that are left out could be the ones that are not allowed.
        if self.too_many.is_some() {
            self.materials.clear();
        }
    }

    /// Takes into account what should have been a signature.
    pub(super) fn refuse(&mut self, why: &NoSignature) {
        let reason = if why.is_other() { Reason::FormatUnsupported } else { Reason::SignatureInvalid };
        self.refuse_all(&Refusal { reason, detail: why.to_string() });
    }

    /// Takes into account what could not be read of the registry: some faults leave everything open; what is
    /// broken, missing or too large is no evidence, and never will be.
    pub(super) fn fault(&mut self, fault: Fault) {
        if fault.leaves_open() {
            self.unknown.get_or_insert(fault);
        } else {
            self.refuse_all(&Refusal { reason: Reason::SignatureInvalid, detail: fault.to_string() });
        }
    }

    pub(super) fn refuse_all(&mut self, refusal: &Refusal) {
        self.signers.iter_mut().for_each(|signer| signer.refuse(refusal));
    }

    /// Whether the signatures found suffice, and nothing else is wanted.
    pub(super) fn is_enough(&self) -> bool {
        self.is_signed() && self.wanted.sbom.is_none() && self.wanted.base.is_none()
    }

    /// Whether as many verifiers are satisfied as must be.
    pub(super) fn is_signed(&self) -> bool {
        let satisfied = |signer: &Signer| matches!(signer, Signer::Satisfied(..));
        match self.wanted.signatures.as_ref().map(|verifiers| verifiers.need()) {
            None => true,
            Some(Need::Any) => self.signers.iter().any(satisfied),
            Some(Need::All) => self.signers.iter().all(satisfied),
        }
    }

    /// One fact for each verifier: by what was found for the subject, else by what was found for `each` platform of it,
    /// where that is `complete`.
    pub(super) fn signatures(&self, each: &[Self], complete: bool) -> Vec<SignerFact> {
        let Some(verifiers) = &self.wanted.signatures else { return Vec::new() };
        let facts = verifiers.iter().enumerate().map(|(at, verifier)| {
            let outcome = self.outcome(at, each, complete);
            SignerFact { verifier: verifier.name.clone(), outcome }
        });
        facts.collect()
    }

    fn outcome(&self, at: usize, each: &[Self], complete: bool) -> Outcome {
        let own = self.signers.get(at);
        if let Some(Signer::Satisfied(checked, form)) = own {
            return checked.verified(vec![self.subject.clone()], *form);
        }
        let on_each = each.iter().map(|platform| match platform.signers.get(at) {
            Some(Signer::Satisfied(checked, form)) => Some((platform.subject.clone(), checked, *form)),
            _ => None,
        });
        if complete
            && let Some(on_each) = on_each.collect::<Option<Vec<_>>>()
            && let Some((_, checked, form)) = on_each.first()
        {
            let signed = on_each.iter().map(|(digest, ..)| digest.clone()).collect();
            return checked.verified(signed, *form);
        }
        let unknown = [self].into_iter().chain(each).find_map(|findings| findings.unknown.clone());
        let refusals = [self].into_iter().chain(each).filter_map(|findings| match findings.signers.get(at) {
            Some(Signer::Not(refusal)) => Some(refusal),
            _ => None,
        });
        match (unknown, refusals.max_by_key(|refusal| refusal.reason)) {
            (Some(fault), _) => Outcome::Unknown(fault),
            (None, Some(refusal)) => Outcome::Refused(refusal.clone()),
            (None, None) => Outcome::Refused(refusal(Reason::Unsigned, "there is no signature")),
        }
    }

    /// What signed provenance says: that of the subject, else that of `each` platform of it, where that is `complete`
    /// and one verifier's. Of platforms, each must name an image: one that does not may be built on anything.
    pub(super) fn base(&self, each: &[Self], complete: bool) -> Base {
        let (of, named) = if self.has_provenance() {
            (std::slice::from_ref(self), true)
        } else if complete && shared(each, Self::has_provenance_by) {
            (each, shared(each, Self::names_image_by))
        } else {
            (Default::default(), false)
        };
        let refused = of.iter().find_map(|findings| findings.too_many.clone());
        let told = of.iter().filter(|_| named && refused.is_none());
        let materials = told.flat_map(|findings| findings.materials.clone()).collect();
        Base { materials, provenance: !of.is_empty(), refused, ..Base::default() }
    }

    pub(super) fn has_provenance(&self) -> bool {
        !self.provenance.is_empty()
    }

    fn has_provenance_by(&self, verifier: &str) -> bool {
        self.provenance.iter().any(|by| by == verifier)
    }

    fn names_image_by(&self, verifier: &str) -> bool {
        self.materials.iter().any(|material| material.verifier == verifier && material.is_image())
    }

    /// Whether some verifier is satisfied here that was so wherever `others` were looked at.
    pub(super) fn shares_signer(&self, others: &[Self]) -> bool {
        let satisfied = |findings: &Self, at| matches!(findings.signers.get(at), Some(Signer::Satisfied(..)));
        (0..self.signers.len())
            .any(|at| satisfied(self, at) && others.iter().all(|other| satisfied(other, at)))
    }
}

impl Signer {
    fn consider(&mut self, verifier: &Verifier, signature: &Signature, subject: &Digest) {
        if matches!(self, Self::Satisfied(..)) {
            return;
        }
        let claim = signature.claim();
        if !claim.signs() {
            let predicate = claim.predicate_type().unwrap_or_default();
            let detail = format!("what is signed is an attestation ({predicate}), which may say anything");
            return self.refuse(&Refusal { reason: Reason::WrongPredicate, detail });
        }
        if signature.form() == Form::Legacy && !verifier.legacy {
            let detail = "it has a signature of cosign's older form, which the policy does not take";
            return self.refuse(&refusal(Reason::FormatUnsupported, detail));
        }
        match check(verifier, signature, subject) {
            Ok(checked) => *self = Self::Satisfied(checked, signature.form()),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Keeps the reason that came closest.
    fn refuse(&mut self, refusal: &Refusal) {
        if let Self::Not(closest) = self
            && refusal.reason > closest.reason
        {
            *closest = refusal.clone();
        }
    }
}

impl Checked {
    fn verified(&self, signed: Vec<Digest>, form: Form) -> Outcome {
        let Self { identity, logged } = self.clone();
        Outcome::Verified(Verified { signed, form, identity, logged })
    }
}

/// Whether something holds by one and the same verifier for `each`, of which there is one at least.
fn shared(each: &[Findings], holds: impl Fn(&Findings, &str) -> bool) -> bool {
    let Some(first) = each.first() else { return false };
    first.provenance.iter().any(|verifier| each.iter().all(|findings| holds(findings, verifier)))
}

/// The verifiers that an attestation's signature satisfies.
fn satisfied<'v>(
    verifiers: &'v Verifiers,
    signature: &'v Signature,
    subject: &'v Digest,
) -> impl Iterator<Item = String> + use<'v> {
    let usable = verifiers.iter().filter(|verifier| verifier.legacy || signature.form() == Form::Bundle);
    let satisfied = usable.filter(|verifier| check(verifier, signature, subject).is_ok());
    satisfied.map(|verifier| verifier.name.clone())
}
