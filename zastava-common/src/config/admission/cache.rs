use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Bounded;

/// What is remembered, and for how long. Facts live for `cacheTtlSeconds`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Cache {
    /// Memory for facts, in bytes; what was used least goes first.
    pub max_bytes: Bounded<1_048_576, 1_073_741_824>,
    /// How long it is remembered which digest a tag stands for, in seconds; 0 asks each time.
    pub tag_seconds: Bounded<0, 300>,
    /// How long a definite no is remembered (no such image, no signature), in seconds; 0 asks each time.
    pub negative_seconds: Bounded<0, 300>,
    /// Most images looked up at once.
    pub max_lookups: Bounded<1, 1_024>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_bytes: Bounded::literal::<16_777_216>(),
            tag_seconds: Bounded::literal::<15>(),
            negative_seconds: Bounded::literal::<15>(),
            max_lookups: Bounded::literal::<64>(),
        }
    }
}
