//! The event model: protobuf and the advisory's JSON envelope.
//!
//! `proto/zastava/v1` is the one source of truth; [`v1`] is generated from it.

pub mod id;
pub mod json;

/// Messages, gRPC clients and servers, as `build.rs` generates them.
#[allow(
    clippy::allow_attributes_without_reason,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    missing_docs,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("zastava.v1");
}
