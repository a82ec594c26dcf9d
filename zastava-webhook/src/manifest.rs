//! What Kubernetes must be told of the webhook: which requests to ask about, and what to do when nobody answers.
//!
//! The namespaces that fail open stand in two places: in the configuration, for while the webhook is alive, and in the
//! ValidatingWebhookConfiguration, for when it is not. Both come from one list here.

mod live;

use std::fmt::Write as _;

use zastava_common::config::{Admission, Namespace};

pub use live::Check;

/// Where the webhook runs, unless somebody says otherwise.
pub const NAMESPACE: &str = "zastava";
/// Its Service, and the name of the ValidatingWebhookConfiguration.
pub const NAME: &str = "zastava-webhook";

/// Never asked about, so that a cluster whose webhook is dead can still start what brings it back to life.
const SYSTEM: [&str; 3] = ["kube-node-lease", "kube-public", "kube-system"];

/// Everything with a pod template in it. `resize` and `ephemeralcontainers` are not part of `pods`.
const RULES: &str = r#"    rules:
      - apiGroups: [""]
        apiVersions: ["v1"]
        operations: ["CREATE", "UPDATE"]
        resources: ["pods", "podtemplates", "replicationcontrollers"]
        scope: Namespaced
      - apiGroups: [""]
        apiVersions: ["v1"]
        operations: ["UPDATE"]
        resources: ["pods/ephemeralcontainers", "pods/resize"]
        scope: Namespaced
      - apiGroups: ["apps"]
        apiVersions: ["v1"]
        operations: ["CREATE", "UPDATE"]
        resources: ["daemonsets", "deployments", "replicasets", "statefulsets"]
        scope: Namespaced
      - apiGroups: ["batch"]
        apiVersions: ["v1"]
        operations: ["CREATE", "UPDATE"]
        resources: ["cronjobs", "jobs"]
        scope: Namespaced
"#;

/// The ValidatingWebhookConfiguration as YAML. `own`: the namespace that the webhook runs in.
pub fn webhooks(admission: &Admission, own: &str) -> String {
    let mut system: Vec<&str> = SYSTEM.into_iter().chain([own]).collect();
    system.sort_unstable();
    let mut open: Vec<&str> = admission.fail_open_namespaces.iter().map(Namespace::as_str).collect();
    open.retain(|namespace| !system.contains(namespace));
    open.sort_unstable();
    open.dedup();
    let mut closed = [system, open.clone()].concat();
    closed.sort_unstable();
    let mut text = format!(
        "# Written by `zastava-webhook config webhooks`: the namespaces are those of the configuration.\n\
         # No caBundle stands here: `zastava-webhook certs` or cert-manager puts it in.\n\
         apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata:\n  \
         name: {NAME}\n  labels:\n    app.kubernetes.io/name: {NAME}\nwebhooks:\n"
    );
    entry(&mut text, own, "closed", "Fail", "NotIn", &closed);
    if !open.is_empty() {
        entry(&mut text, own, "open", "Ignore", "In", &open);
    }
    text
}

/// The label `kubernetes.io/metadata.name` is the API server's own: nobody can set it to something else.
fn entry(text: &mut String, own: &str, name: &str, policy: &str, operator: &str, namespaces: &[&str]) {
    let values = namespaces.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "  - name: {name}.admission.zastava\n    admissionReviewVersions: [\"v1\"]\n    clientConfig:\n      service:\n        \
         name: {NAME}\n        namespace: {own}\n        path: /validate\n        port: 443\n    failurePolicy: {policy}\n    \
         matchPolicy: Equivalent\n    namespaceSelector:\n      matchExpressions:\n        - key: kubernetes.io/metadata.name\n          \
         operator: {operator}\n          values: [{values}]\n{RULES}    sideEffects: None\n    timeoutSeconds: 10\n"
    );
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use serde_json::Value;
    use zastava_common::config;

    use super::{NAMESPACE, webhooks};

    const DEPLOYED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kubernetes/webhook");

    #[test]
    fn what_is_deployed_is_what_the_deployed_configuration_says() {
        let config = config::load(&Path::new(DEPLOYED).join("zastava.yaml")).unwrap();
        let wanted = webhooks(&config.admission, NAMESPACE);
        let file = Path::new(DEPLOYED).join("webhooks.yaml");
        if env::var_os("ZASTAVA_BLESS").is_some() {
            fs::write(&file, &wanted).unwrap();
        }
        let hint = "run `ZASTAVA_BLESS=1 cargo test -p zastava-webhook manifest` and look at the difference";
        assert!(fs::read_to_string(&file).unwrap() == wanted, "{} is not current: {hint}", file.display());
    }

    #[test]
    fn every_namespace_is_in_exactly_one_entry_or_is_the_systems() {
        let yaml = "zastava: {admission: {failOpenNamespaces: [dev, kube-system, test, dev]}}";
        let admission = config::parse("f", yaml).unwrap().admission;
        let document: Value = serde_saphyr::from_str(&webhooks(&admission, "own")).unwrap();
        let selector = |at: usize| &document["webhooks"][at]["namespaceSelector"]["matchExpressions"][0];

        assert_eq!(document["webhooks"][0]["failurePolicy"], "Fail");
        assert_eq!(selector(0)["operator"], "NotIn");
        let closed = ["dev", "kube-node-lease", "kube-public", "kube-system", "own", "test"];
        assert_eq!(selector(0)["values"], serde_json::json!(closed));
        assert_eq!(document["webhooks"][1]["failurePolicy"], "Ignore");
        assert_eq!(selector(1)["operator"], "In");
        assert_eq!(selector(1)["values"], serde_json::json!(["dev", "test"]));
    }

    #[test]
    fn nothing_that_fails_open_needs_no_entry() {
        let admission = config::parse("f", "zastava: {}").unwrap().admission;
        let document: Value = serde_saphyr::from_str(&webhooks(&admission, "own")).unwrap();

        assert_eq!(document["webhooks"].as_array().unwrap().len(), 1);
    }
}
