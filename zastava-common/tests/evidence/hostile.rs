//! Registries that lie, stall, flood and send us elsewhere.

mod content;
mod credentials;
mod fake;
mod flip;
mod piled;
mod trouble;
mod where_to;
