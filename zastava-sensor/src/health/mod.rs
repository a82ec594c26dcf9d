//! Readiness, metrics, the loss ledger.
#![forbid(unsafe_code)]
