use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::lab::{Mood, Registry, config, webhook_program};

fn run(arguments: &[&str]) -> Output {
    Command::new(webhook_program()).args(arguments).env_remove("ZASTAVA_CONFIG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

fn manifest(registry: &Registry) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: good, namespace: shop}}\nspec:\n  containers:\n    - {{name: web, image: \"{}\"}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: bad}}\nspec:\n  template:\n    spec:\n      containers:\n        - {{name: web, image: \"{}\"}}\n",
        registry.image("app", ":app"),
        registry.image("other", ":other")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_judged_as_the_cluster_would_judge_it() {
    let registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let indented = config(&registry, "").replace('\n', "\n    ");
    let config = write(folder.path(), "zastava.yaml", &format!("zastava:\n  admission:\n    {indented}"));
    let all = write(folder.path(), "all.yaml", &manifest(&registry));

    let output = run(&["test", "--config", &config, "--output", "json", &all]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answers: Vec<_> = lines
        .iter()
        .map(|line| (line["object"].as_str().unwrap(), line["answer"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("ConfigMap default/settings", "allow"),
        ("Pod shop/good", "allow"),
        ("Deployment default/bad", "deny"),
    ];
    assert_eq!(answers, wanted);
    assert_eq!(lines[1]["images"][0]["digest"], registry.digest("app"));
    assert_eq!(lines[2]["images"][0]["findings"][0]["reason"], "unsigned");

    let table = run(&["test", "--config", &config, &all]);
    let shown = text(&table.stdout);
    assert!(shown.contains("spec.template.spec.containers[web].image"), "{shown}");
    assert!(shown.contains("to fix it: sign the image's digest"), "{shown}");

    // As itself a controller is let through with a warning, and so is a whole file of them.
    let as_sent = run(&["test", "--config", &config, "--as-sent", &all]);
    assert_eq!(as_sent.status.code(), Some(0), "{}", text(&as_sent.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_pull_secrets_that_only_the_cluster_has_is_no_answer() {
    let registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let write_config = |name: &str, more: &str| {
        let indented = config(&registry, more).replace('\n', "\n    ");
        write(folder.path(), name, &format!("zastava:\n  admission:\n    {indented}"))
    };
    let on = write_config("on.yaml", "pullSecrets: true");
    let off = write_config("off.yaml", "");
    let image = registry.image("app", ":app");
    let pod = |name: &str, images: &[&str], secrets: &str| {
        let containers: Vec<_> =
            images.iter().map(|image| format!("{{name: c, image: \"{image}\"}}")).collect();
        let spec = format!("{{imagePullSecrets: [{secrets}], containers: [{}]}}", containers.join(", "));
        write(folder.path(), name, &format!("apiVersion: v1\nkind: Pod\nspec: {spec}\n"))
    };
    let named = pod("named.yaml", &[&image], "{name: pull}");
    let unnamed = pod("unnamed.yaml", &[&image], "");
    let refused = pod("refused.yaml", &[&image, "sha256:abc"], "{name: pull}");
    let test = |config: &str, pod: &str| run(&["test", "--config", config, pod]);

    for status in [401, 403, 404] {
        registry.mood(Mood::Status(status));
        let output = test(&on, &named);
        assert_eq!(output.status.code(), Some(2), "{status}");
        let told = text(&output.stderr);
        assert!(told.contains("the pull secrets \"pull\"") && told.contains("(registries)"), "{told}");
        assert_eq!(test(&on, &unnamed).status.code(), Some(1), "{status}");
        assert_eq!(test(&on, &refused).status.code(), Some(1), "{status}");
        assert_eq!(test(&off, &named).status.code(), Some(1), "{status}");
    }
    registry.mood(Mood::Good);
    assert_eq!(test(&on, &named).status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_review_is_judged_as_it_stands() {
    let registry = Registry::start().await;
    let folder = tempfile::tempdir().unwrap();
    let indented = config(&registry, "").replace('\n', "\n    ");
    let config = write(folder.path(), "zastava.yaml", &format!("zastava:\n  admission:\n    {indented}"));
    let review = crate::lab::review(&registry.image("other", ":other")).to_string();
    let review = write(folder.path(), "review.json", &review);

    assert_eq!(run(&["test", "--config", &config, &review]).status.code(), Some(1));
}

#[test]
fn what_cannot_be_used_ends_with_another_code_than_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let off = "zastava: {admission: {verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}}";
    let good = write(folder.path(), "good.yaml", off);
    let unknown = write(folder.path(), "unknown.yaml", "zastava: {admission: {enfroce: true}}");
    let nobody = write(folder.path(), "nobody.yaml", "zastava: {}");
    let lost = off.replace("zastava: {", "zastava:\n  ").replace("}}}", "}}");
    let lost = format!("{lost}\n  backend:\n    baseAddress: https://backend.test\n    caFile: /none\n");
    let lost = write(folder.path(), "lost.yaml", &lost);
    let keyless = off.replace("zastava: {admission: {", "zastava:\n  admission:\n    ").replace("}}}", "}");
    let keyless = format!(
        "{keyless}\n    server:\n      keyFile: /none\n      certificateFile: {good}\n      \
         address: \"127.0.0.1:0\"\n      metricsAddress: \"127.0.0.1:0\"\n"
    );
    let keyless = write(folder.path(), "keyless.yaml", &keyless);
    let broken = write(folder.path(), "broken.json", "{\"kind\": ");
    let pod = write(folder.path(), "pod.yaml", "apiVersion: v1\nkind: Pod\nspec: {containers: 1}");
    let missing = folder.path().join("missing.yaml").display().to_string();
    for (arguments, says) in [
        (vec!["test", "--config", &unknown, &pod], "did you mean `enforce`?"),
        (vec!["test", "--config", &nobody, &pod], "nobody.yaml:1:1: cannot use zastava.admission.verify."),
        (vec!["test", "--config", &missing, &pod], "cannot read"),
        (vec!["test", "--config", &good, &missing], "cannot read"),
        (vec!["test", "--config", &good, &broken], "neither YAML nor JSON"),
        (vec!["test", "--config", &good, &pod], "is no Pod"),
        (vec!["test", "--config", &good, &folder.path().display().to_string()], "cannot read"),
        (vec!["config", "check", &missing], "cannot read"),
        (
            vec!["config", "check", &lost],
            "lost.yaml:5:5: cannot use zastava.backend.caFile: cannot read /none",
        ),
        (vec!["serve", "--config", &unknown], "did you mean `enforce`?"),
        (
            vec!["serve", "--config", &good],
            "cannot use zastava.admission.server.certificateFile: cannot read /etc/zastava/tls/tls.crt",
        ),
        (
            vec!["serve", "--config", &keyless],
            "keyless.yaml:5:7: cannot use zastava.admission.server.keyFile: cannot read /none",
        ),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(says), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_no_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let off = "zastava: {admission: {verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}}";
    let good = write(folder.path(), "good.yaml", off);
    let pod = write(folder.path(), "pod.yaml", "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: a}]}");
    let mut command = Command::new(webhook_program());
    command
        .args(["test", "--config", &good, &pod])
        .stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn the_schema_is_printed_as_it_stands_under_deploy() {
    let deployed = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config.schema.json");
    assert_eq!(text(&run(&["config", "schema"]).stdout), fs::read_to_string(deployed).unwrap());
}

#[test]
fn a_configuration_that_can_be_used_is_called_valid_with_its_policys_hash() {
    let folder = tempfile::tempdir().unwrap();
    let off = "zastava: {admission: {verify: {imageSignature: false, sbomReferrer: false, scannerPolicyPass: false}}}";
    let good = write(folder.path(), "good.yaml", off);
    let output = text(&run(&["config", "check", &good]).stdout);
    let hash = output.trim().rsplit(' ').next().unwrap();
    assert!(output.contains("valid; policy ") && hash.len() == 12, "{output}");
}
