//! The admission webhook: no pod starts on a promise that nobody checked.
//!
//! A request walks through it once: `review` -> `images` -> `gather` (what is `known`) -> `criteria` -> `decision` ->
//! `respond`. `policy` says what is asked, `server` listens, `certs` keeps certificates, `cli` has a file per subcommand.

pub mod assemble;
pub mod certs;
pub mod cli;
pub mod criteria;
pub mod decision;
pub mod engine;
pub mod exposition;
pub mod gather;
pub mod images;
pub mod known;
pub mod manifest;
pub mod policy;
pub mod reason;
pub mod respond;
pub mod review;
pub mod secrets;
pub mod server;
pub mod telemetry;
