//! Labels that the backend hears of.

use std::{collections::BTreeMap, sync::Arc};

/// Labels of a pod or a template.
pub type Labels = Arc<BTreeMap<String, String>>;

/// Labels that a controller makes up for each pod or each roll-out. They say nothing about an image, and with them no
/// two pods would be alike.
const GENERATED: [&str; 10] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// Those of `labels` that somebody chose.
pub fn labels(labels: &BTreeMap<String, String>) -> Labels {
    let chosen = labels.iter().filter(|(key, _)| !GENERATED.contains(&key.as_str()));
    Arc::new(chosen.map(|(key, value)| (key.clone(), value.clone())).collect())
}
