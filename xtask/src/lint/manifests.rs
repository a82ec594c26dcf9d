//! Kubernetes manifests, rendered as they are applied: does everything in them fit together?

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{places, step};

/// A kustomization, from the root.
const WEBHOOK: &str = "deploy/kubernetes/webhook";
/// Never asked about.
const SYSTEM: [&str; 3] = ["kube-node-lease", "kube-public", "kube-system"];

/// Renders the webhook's manifests and says what is wrong with them.
pub(super) fn check() -> Result<()> {
    let mut kubectl = Command::new("kubectl");
    kubectl.current_dir(places::root()).args(["kustomize", WEBHOOK]);
    let rendered = step::output(&mut kubectl).context("`kubectl kustomize` renders the manifests")?;
    let told = faults(&rendered)?;
    if told.is_empty() { Ok(()) } else { bail!("{WEBHOOK}: {}", told.join(&format!("\n{WEBHOOK}: "))) }
}

fn faults(rendered: &str) -> Result<Vec<String>> {
    let objects = Objects(serde_saphyr::from_multiple(rendered).context("what was rendered is no YAML")?);
    let config = objects.one("ConfigMap", "zastava-webhook")?["data"]["zastava.yaml"].clone();
    let config: Value = serde_saphyr::from_str(config.as_str().unwrap_or_default())
        .context("the configuration in the ConfigMap is no YAML")?;
    let mut told = Vec::new();
    objects.pods(&mut told);
    objects.namespaces(&config, &mut told)?;
    objects.service(&mut told)?;
    objects.replicas(&mut told)?;
    objects.quota(&mut told)?;
    objects.rights(&mut told);
    objects.keys(&config, &mut told)?;
    Ok(told)
}

struct Objects(Vec<Value>);

impl Objects {
    fn of<'a>(&'a self, kind: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        let kind = kind.to_owned();
        self.0.iter().filter(move |object| object["kind"] == *kind)
    }

    fn one(&self, kind: &str, name: &str) -> Result<&Value> {
        self.of(kind)
            .find(|object| object["metadata"]["name"] == name)
            .with_context(|| format!("no {kind} {name}"))
    }

    /// Each pod's specification, with the name of what makes it.
    fn pod_specs(&self) -> impl Iterator<Item = (String, &Value)> {
        self.0.iter().filter_map(|object| {
            let spec = match object["kind"].as_str()? {
                "Deployment" | "Job" => &object["spec"]["template"]["spec"],
                "CronJob" => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
                _ => return None,
            };
            Some((format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"])), spec))
        })
    }

    /// No privileges, a root that cannot be written, a bound on memory.
    fn pods(&self, told: &mut Vec<String>) {
        for (name, spec) in self.pod_specs() {
            if spec["securityContext"]["runAsNonRoot"] != true {
                told.push(format!("{name} may run as root"));
            }
            for container in list(&spec["containers"]) {
                let context = &container["securityContext"];
                let wanted = [
                    (context["readOnlyRootFilesystem"] == true, "may write to its root"),
                    (context["allowPrivilegeEscalation"] == false, "may gain privileges"),
                    (context["capabilities"]["drop"] == serde_json::json!(["ALL"]), "keeps capabilities"),
                    (context["privileged"] != true, "is privileged"),
                    (container["resources"]["limits"]["memory"].is_string(), "has no limit of memory"),
                    (
                        container["resources"]["requests"]["cpu"].is_string(),
                        "asks for no share of the processor",
                    ),
                ];
                let faults = wanted.iter().filter(|(holds, _)| !holds);
                told.extend(faults.map(|(_, fault)| format!("{name}: {} {fault}", text(&container["name"]))));
            }
        }
    }

    /// The entries of the ValidatingWebhookConfiguration and the configuration say the same.
    fn namespaces(&self, config: &Value, told: &mut Vec<String>) -> Result<()> {
        let hooks = self.one("ValidatingWebhookConfiguration", "zastava-webhook")?;
        let open: BTreeSet<&str> = words(&config["zastava"]["admission"]["failOpenNamespaces"]);
        let own = text(&self.one("Deployment", "zastava-webhook")?["metadata"]["namespace"]);
        let system: BTreeSet<&str> = SYSTEM.into_iter().chain([own]).collect();
        let mut entries = BTreeMap::new();
        for hook in list(&hooks["webhooks"]) {
            let selector = &hook["namespaceSelector"]["matchExpressions"][0];
            let by_name = selector["key"] == "kubernetes.io/metadata.name";
            if !by_name || hook["objectSelector"].is_object() {
                told.push(format!("{} selects by labels that somebody can set", text(&hook["name"])));
            }
            if hook["sideEffects"] != "None" {
                told.push(format!("{} has no `sideEffects: None`: dry runs would fail", text(&hook["name"])));
            }
            if !hook["timeoutSeconds"].as_u64().is_some_and(|seconds| (1..=30).contains(&seconds)) {
                told.push(format!("{} has no timeout from 1 to 30 seconds", text(&hook["name"])));
            }
            let operator = text(&selector["operator"]);
            entries
                .insert(text(&hook["failurePolicy"]), (operator, words(&selector["values"]), &hook["rules"]));
        }
        let wanted: BTreeSet<&str> = open.union(&system).copied().collect();
        match entries.get("Fail") {
            Some(("NotIn", namespaces, _)) if *namespaces == wanted => {}
            _ => told.push(format!("the entry that fails closed must leave out exactly {wanted:?}")),
        }
        let open: BTreeSet<&str> = open.difference(&system).copied().collect();
        match (entries.get("Ignore"), open.is_empty()) {
            (None, true) => {}
            (Some(("In", namespaces, _)), false) if *namespaces == open => {}
            _ => told
                .push(format!("the entry that fails open must be for exactly failOpenNamespaces, {open:?}")),
        }
        if let (Some((_, _, fail)), Some((_, _, ignore))) = (entries.get("Fail"), entries.get("Ignore"))
            && fail != ignore
        {
            told.push("the two entries ask about different objects".to_owned());
        }
        Ok(())
    }

    /// The API server finds the webhook's port.
    fn service(&self, told: &mut Vec<String>) -> Result<()> {
        let hooks = self.one("ValidatingWebhookConfiguration", "zastava-webhook")?;
        let deployment = self.one("Deployment", "zastava-webhook")?;
        let template = &deployment["spec"]["template"];
        for hook in list(&hooks["webhooks"]) {
            let asked = &hook["clientConfig"]["service"];
            let service = self.one("Service", text(&asked["name"]))?;
            if service["metadata"]["namespace"] != asked["namespace"] {
                told.push(format!("{} asks in another namespace", text(&hook["name"])));
            }
            let labels = service["spec"]["selector"].as_object().into_iter().flatten();
            if !labels.clone().all(|(key, value)| template["metadata"]["labels"][key] == *value)
                || labels.count() == 0
            {
                told.push("the Service selects other pods than the Deployment's".to_owned());
            }
            let ports = list(&service["spec"]["ports"]);
            let port = ports.iter().find(|port| port["port"] == asked["port"]);
            let target = port.map(|port| port["targetPort"].clone()).unwrap_or_default();
            let container = &template["spec"]["containers"][0];
            if !list(&container["ports"]).iter().any(|port| port["name"] == target) {
                told.push(format!("{} asks at a port that no container has", text(&hook["name"])));
            }
        }
        Ok(())
    }

    fn replicas(&self, told: &mut Vec<String>) -> Result<()> {
        let deployment = self.one("Deployment", "zastava-webhook")?;
        let labels = &deployment["spec"]["selector"]["matchLabels"];
        if deployment["spec"]["replicas"].as_u64() < Some(2) {
            told.push("one replica is none when its node goes".to_owned());
        }
        if !deployment["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"].is_object() {
            told.push("nothing keeps the replicas on different nodes".to_owned());
        }
        for (kind, selector) in [("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")] {
            if !self.of(kind).any(|object| object["spec"][selector]["matchLabels"] == *labels) {
                told.push(format!("no {kind} is for the webhook's pods"));
            }
        }
        Ok(())
    }

    /// Some clusters want a quota that names the pods' class, with room for all of them and one more in a roll-out.
    fn quota(&self, told: &mut Vec<String>) -> Result<()> {
        let deployment = &self.one("Deployment", "zastava-webhook")?["spec"];
        let class = text(&deployment["template"]["spec"]["priorityClassName"]);
        let fits = |quota: &Value| {
            let pods = text(&quota["spec"]["hard"]["pods"]).parse().ok();
            let scope = &quota["spec"]["scopeSelector"]["matchExpressions"][0];
            let names = scope["scopeName"] == "PriorityClass" && words(&scope["values"]).contains(class);
            names && pods > deployment["replicas"].as_u64()
        };
        if class.starts_with("system-") && !self.of("ResourceQuota").any(fits) {
            told.push(format!("no ResourceQuota has room for the webhook's pods of the class {class}"));
        }
        Ok(())
    }

    /// No right is for everything, and none is beyond getting and changing what is named.
    fn rights(&self, told: &mut Vec<String>) {
        for role in self.of("Role").chain(self.of("ClusterRole")) {
            let name = text(&role["metadata"]["name"]);
            for rule in list(&role["rules"]) {
                let all = ["apiGroups", "resources", "verbs"].iter().flat_map(|part| words(&rule[*part]));
                if all.into_iter().any(|word| word == "*") {
                    told.push(format!("{name} has a right to everything"));
                }
                let named =
                    !list(&rule["resourceNames"]).is_empty() || words(&rule["verbs"]) == ["create"].into();
                if !named {
                    told.push(format!("{name} has a right to objects that it does not name"));
                }
            }
        }
    }

    /// Files that the configuration names are in what is mounted there.
    fn keys(&self, config: &Value, told: &mut Vec<String>) -> Result<()> {
        let spec = &self.one("Deployment", "zastava-webhook")?["spec"]["template"]["spec"];
        let mut files = BTreeSet::new();
        for mount in list(&spec["containers"][0]["volumeMounts"]) {
            let volume = list(&spec["volumes"]).iter().find(|volume| volume["name"] == mount["name"]);
            let Some(volume) = volume else {
                told.push(format!("nothing is mounted at {}", text(&mount["mountPath"])));
                continue;
            };
            if let Some(name) = volume["configMap"]["name"].as_str() {
                let map = self.one("ConfigMap", name)?;
                let names = map["data"].as_object().into_iter().flatten().map(|(file, _)| file);
                files.extend(names.map(|file| format!("{}/{file}", text(&mount["mountPath"]))));
            }
        }
        let verifiers = &config["zastava"]["admission"]["verifiers"];
        let keys = list(&verifiers["keys"]).iter().flat_map(|key| [&key["publicKey"], &key["trustedRoot"]]);
        let roots = list(&verifiers["keyless"]).iter().map(|keyless| &keyless["trustedRoot"]);
        let named = keys.chain(roots).filter_map(Value::as_str).filter(|path| path.starts_with('/'));
        told.extend(
            named
                .filter(|path| !files.contains(*path))
                .map(|path| format!("the configuration names {path}, which is not mounted")),
        );
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn words(value: &Value) -> BTreeSet<&str> {
    list(value).iter().filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::faults;
    use crate::places;

    /// The files one after another: what `kubectl kustomize` would render, nearly.
    fn rendered() -> String {
        let directory = places::root().join(super::WEBHOOK);
        let read = |file: &str| fs::read_to_string(directory.join(file)).unwrap();
        let files = ["deployment", "service", "disruption", "quota", "network", "rbac", "certs", "webhooks"];
        let mut documents: Vec<String> = files.iter().map(|file| read(&format!("{file}.yaml"))).collect();
        let config = read("zastava.yaml").replace('\n', "\n    ");
        let key = Path::new("release.pub").display().to_string();
        documents.push(format!(
            "kind: ConfigMap\nmetadata: {{name: zastava-webhook}}\ndata:\n  zastava.yaml: |\n    {config}"
        ));
        documents
            .push(format!("kind: ConfigMap\nmetadata: {{name: zastava-webhook-keys}}\ndata: {{{key}: x}}\n"));
        documents.join("\n---\n").replace(
            "metadata:\n  name: zastava-webhook\n",
            "metadata:\n  name: zastava-webhook\n  namespace: zastava\n",
        )
    }

    fn told(from: &str, to: &str) -> String {
        let rendered = rendered();
        assert!(from.is_empty() || rendered.contains(from), "{from}");
        faults(&rendered.replace(from, to)).unwrap().join("\n")
    }

    #[test]
    fn what_is_deployed_fits_together() {
        assert_eq!(faults(&rendered()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_fit_is_told() {
        assert!(
            told("failOpenNamespaces: [\"dev\", \"test\"]", "failOpenNamespaces: [\"dev\"]")
                .contains("exactly")
        );
        assert!(told("\"kube-system\", ", "").contains("must leave out exactly"));
        assert!(
            told("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")
                .contains("write to its root")
        );
        assert!(told("replicas: 2", "replicas: 1").contains("one replica"));
        assert!(told("[\"system-cluster-critical\"]", "[]").contains("no ResourceQuota"));
        assert!(told("pods: \"16\"", "pods: \"2\"").contains("no ResourceQuota"));
        assert!(told("targetPort: https", "targetPort: web").contains("port that no container has"));
        assert!(told("verbs: [\"get\", \"update\"]", "verbs: [\"*\"]").contains("right to everything"));
        assert!(told("keys/release.pub", "keys/other.pub").contains("not mounted"));
        assert!(told("sideEffects: None", "sideEffects: Some").contains("dry runs"));
    }
}
