//! Evidence against real parts: registries, and signatures by openssl, cosign and sigstore's own packages.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "all of this is tests")]

mod attacks;
mod beside;
mod differential;
mod flip;
mod hostile;
mod lab;
mod made;
mod matrix;
mod platforms;
mod secured;
mod signatures;
