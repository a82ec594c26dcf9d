use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Admission, Backend, Limits, Runtime, Sensor, present};

/// The file: everything stands below one key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[schemars(title = "Zastava configuration")]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Document {
    /// All settings of Zastava.
    pub(super) zastava: Config,
}

/// All settings. What is absent has the default that its section documents.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Which parts of Zastava this file is for.
    pub mode: Mode,
    /// The service that takes events and gives verdicts. Absent: events stay on this machine.
    #[schemars(with = "Backend")]
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
    /// What is observed, and as whom.
    pub runtime: Runtime,
    /// What the admission webhook asks of a pod.
    pub admission: Admission,
    /// How much may go out.
    pub limits: Limits,
    /// How the sensor reads the kernel, and what it may hold in memory.
    pub sensor: Sensor,
}

/// Which parts of Zastava the file is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Mode {
    /// Observe what runs on the node.
    pub observer: bool,
    /// Answer admission requests of Kubernetes.
    pub webhook: bool,
}

impl Default for Mode {
    fn default() -> Self {
        Self { observer: true, webhook: true }
    }
}
