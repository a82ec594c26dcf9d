use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Bounded;

/// How much may go out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Limits {
    /// Events to the backend per second, in the long run.
    pub events_per_second: Bounded<1, 1_000_000>,
    /// Events that may go out at once after a quiet time.
    pub burst: Bounded<1, 1_000_000>,
    /// Events that may wait on this node.
    pub per_node_queue: Bounded<1, 10_000_000>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events_per_second: Bounded::literal::<50>(),
            burst: Bounded::literal::<200>(),
            per_node_queue: Bounded::literal::<10_000>(),
        }
    }
}
