//! Generated from `proto/`: the part of the CRI and of containerd's API that is asked for.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    rust_2018_idioms,
    unreachable_pub,
    unused_qualifications,
    reason = "generated"
)]

include!(concat!(env!("OUT_DIR"), "/runtimes.rs"));
