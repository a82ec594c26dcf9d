//! The backend: what it says about images, and the Authority whose tokens it wants to see.
//!
//! Tokens come by client credentials (RFC 6749), bound to a key of ours (DPoP, RFC 9449) or to our certificate
//! (RFC 8705). A backend that fails is left alone for a while: whoever asks learns so at once.

mod authority;
mod breaker;
mod client;
pub mod dpop;
mod error;
mod settings;
mod token;
mod verdict;

pub use client::Backend;
pub use error::BackendError;
pub use settings::{AuthoritySettings, BackendSettings, ClientCertificate};
pub use verdict::{Attestation, Decision, ImageQuestion, Question, Verdict, Verdicts};
