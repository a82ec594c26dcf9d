//! The event model: protobuf and the advisory's JSON envelope.
