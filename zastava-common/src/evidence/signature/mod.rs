//! Signatures: read from the forms in which registries keep them, and checked.
//!
//! Reading and checking need no network: what was fetched goes in, facts come out.

mod check;
mod claim;
mod legacy;
mod read;
#[cfg(test)]
mod tests;

pub use self::{
    check::{Checked, check},
    claim::{Claim, NoClaim, SIGNED_IMAGE},
    legacy::{ENVELOPE_LAYER, LegacyLayer, SIMPLE_SIGNING_LAYER, read_attestation, read_simple},
    read::{BUNDLE_LAYER, NoSignature, Signature, read_bundle},
};
