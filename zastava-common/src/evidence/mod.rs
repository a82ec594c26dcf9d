//! Evidence: what a registry holds to prove about an image, as facts about one digest.
//!
//! [`ImageReference`] names an image; [`Source`] resolves it to a digest and gathers [`Evidence`]: which of the
//! configured [`Verifiers`] a signature satisfies and else why not, which SBOMs there are, what it was built on.
//! Facts only: what they are worth is the policy of whoever asks. Everything that a registry answers is foreign: sizes
//! and numbers are bounded, digests checked, addresses guarded.

pub mod digest;
mod facts;
mod fault;
pub mod manifest;
mod predicate;
pub mod reference;
pub mod registry;
pub mod signature;
mod source;
pub mod verifier;

pub use digest::Digest;
pub use facts::{
    Base, Evidence, Form, Format, Hint, Layers, Material, Outcome, Platform, Reason, Refusal, Sbom,
    SbomFound, SbomLevel, SignerFact, Verified,
};
pub use fault::Fault;
pub use reference::ImageReference;
pub use source::{Source, Wanted};
pub use verifier::Verifiers;
