use std::sync::Arc;

use zastava_common::{
    config::{Controllers, SbomLevel},
    evidence::{ImageReference, Verifiers, Wanted},
};

use super::{Glob, Repositories};

/// What is asked in one namespace.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Refuse; else only warn.
    pub enforce: bool,
    /// Let through what could not be found out.
    pub fail_open: bool,
    pub controllers: Controllers,
    /// Each must permit the image.
    pub registries: Vec<Repositories>,
    /// Each must hold.
    pub tags: Vec<Tags>,
    /// Each must hold; empty: signatures are not verified. The members are of `wanted.signatures`.
    pub signatures: Vec<Requirement>,
    /// `None`: SBOMs are not verified.
    pub sbom: Option<SbomLevel>,
    /// The backend must say `pass`.
    pub verdict: bool,
    /// Each must hold.
    pub bases: Vec<Bases>,
    /// What is looked for in registries.
    pub wanted: Wanted,
}

/// Signatures that are needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Requirement {
    pub need: Need,
    /// Places in the list of verifiers.
    pub members: Vec<usize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    Any,
    All,
}

/// What a reference's tag may be.
#[derive(Clone, Debug, Default)]
pub struct Tags {
    pub deny: Vec<Glob>,
    pub deny_untagged: bool,
    pub require_digest: bool,
}

/// What an image may be built on.
#[derive(Clone, Debug)]
pub struct Bases {
    /// Each by digest.
    pub allow: Vec<ImageReference>,
    /// Signed provenance counts as proof.
    pub provenance: bool,
    /// The base's layers as the image's first ones count as proof.
    pub layers: bool,
}

impl Rules {
    /// Whether a registry must be asked at all.
    pub fn needs_evidence(&self) -> bool {
        !self.signatures.is_empty() || self.sbom.is_some() || !self.bases.is_empty()
    }

    /// The verifiers of `signatures`.
    pub fn verifiers(&self) -> Option<&Arc<Verifiers>> {
        self.wanted.signatures.as_ref()
    }

    /// Bases whose layers are compared with an image's.
    pub fn bases_by_layers(&self) -> impl Iterator<Item = &ImageReference> {
        self.bases.iter().filter(|bases| bases.layers).flat_map(|bases| &bases.allow)
    }
}
