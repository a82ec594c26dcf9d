//! What: file identity, build-id, SHA-256.
#![forbid(unsafe_code)]

pub mod elf;
