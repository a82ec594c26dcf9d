//! Signed and unsigned: two pods, two answers.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::registry::Registry;
use crate::{places, setup, step};

/// `what`: arguments of `cargo build` that choose the webhook.
pub(crate) fn run(what: &[&str]) -> Result<()> {
    setup::webhook()?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(places::root()).args(["build", "--locked"]).args(what);
    step::shown("Building the webhook", &mut cargo)?;

    let folder = places::target().join("demo-webhook");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let registry = Registry::start(&folder)?;
    println!("A registry (Debian's docker-registry) listens on {}", registry.host);
    let signed = registry.push("app", "demo/signed", "1.0")?;
    let unsigned = registry.push("other", "demo/unsigned", "1.0")?;
    println!("skopeo pushed demo/signed:1.0   {signed}\n              demo/unsigned:1.0 {unsigned}");
    let key = folder.join("release.key");
    step::output(
        Command::new("openssl")
            .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
            .arg(&key),
    )?;
    step::output(
        Command::new("openssl")
            .args(["ec", "-pubout", "-in"])
            .arg(&key)
            .arg("-out")
            .arg(folder.join("release.pub")),
    )?;
    registry.sign("demo/signed", &signed, &key)?;
    println!("openssl made a key and signed demo/signed with it");

    let webhook = Webhook::start(&folder, &registry.host)?;
    println!("The webhook answers on https://{}/validate\n", webhook.address);
    let signed = webhook.ask(&format!("{}/demo/signed:1.0", registry.host))?;
    let unsigned = webhook.ask(&format!("{}/demo/unsigned:1.0", registry.host))?;
    ensure!(signed["allowed"] == true, "the signed image should have been let through: {signed}");
    ensure!(unsigned["allowed"] == false, "the unsigned image should have been refused: {unsigned}");
    let reasons = &unsigned["auditAnnotations"]["reasons"];
    ensure!(reasons == "unsigned", "the reason should have been `unsigned`, it was {reasons}");
    println!("Both answers are as they should be. Everything of this is in {}", folder.display());
    Ok(())
}

/// The webhook in a process of its own, ended when this is dropped.
struct Webhook<'a> {
    address: String,
    folder: &'a Path,
    child: Child,
}

impl<'a> Webhook<'a> {
    fn start(folder: &'a Path, registry: &str) -> Result<Self> {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "1",
        ]);
        openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
        openssl.arg("-keyout").arg(folder.join("tls.key")).arg("-out").arg(folder.join("tls.crt"));
        step::output(&mut openssl)?;
        let path = |file: &str| folder.join(file).display().to_string();
        // JSON is YAML.
        let config = json!({ "zastava": { "admission": {
            "verify": { "imageSignature": true, "sbomReferrer": false, "scannerPolicyPass": false },
            "verifiers": { "keys": [{ "name": "release", "publicKey": path("release.pub") }] },
            "registries": [{ "host": registry, "plainHttp": true, "private": true }],
            "server": {
                "address": "127.0.0.1:0", "metricsAddress": "127.0.0.1:0", "drainSeconds": 0,
                "certificateFile": path("tls.crt"), "keyFile": path("tls.key"),
            },
        } } });
        fs::write(folder.join("zastava.yaml"), format!("{config:#}"))?;
        let mut child = Command::new(places::target().join("debug/zastava-webhook"))
            .args(["serve", "--config"])
            .arg(folder.join("zastava.yaml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the webhook")?;
        let log = child.stderr.take().context("the webhook has no log")?;
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let address = lines.find_map(|line| {
            let json: Value = serde_json::from_str(&line).unwrap_or_default();
            said.push(line);
            json["address"].as_str().map(str::to_owned)
        });
        thread::spawn(move || lines.for_each(drop));
        let Some(address) = address else {
            let _ = child.wait();
            bail!("the webhook did not start: {}", said.join("\n"));
        };
        Ok(Self { address, folder, child })
    }

    /// What it answers about a pod with this image, shown and given.
    fn ask(&self, image: &str) -> Result<Value> {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "8f2f6b1c-0000-4000-8000-000000000000", "operation": "CREATE", "namespace": "shop", "name": "web",
                "kind": { "group": "", "version": "v1", "kind": "Pod" }, "userInfo": { "username": "demo" },
                "object": {
                    "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "shop" },
                    "spec": { "containers": [{ "name": "web", "image": image }] },
                },
            },
        });
        let file = self.folder.join("review.json");
        fs::write(&file, review.to_string())?;
        let port = self.address.rsplit(':').next().unwrap_or_default();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--header", "Content-Type: application/json"]);
        curl.arg("--cacert")
            .arg(self.folder.join("tls.crt"))
            .arg("--data-binary")
            .arg(format!("@{}", file.display()));
        curl.arg(format!("https://localhost:{port}/validate?timeout=10s"));
        let answer: Value =
            serde_json::from_str(&step::output(&mut curl)?).context("the answer is no JSON")?;
        let response = answer["response"].clone();
        let word = if response["allowed"] == true { "ALLOWED" } else { "REFUSED" };
        println!("{word}  a pod with {image}");
        for line in response["status"]["message"].as_str().unwrap_or_default().lines() {
            println!("  {line}");
        }
        for (key, value) in response["auditAnnotations"].as_object().into_iter().flatten() {
            println!("  {key}: {}", value.as_str().unwrap_or_default());
        }
        println!();
        Ok(response)
    }
}

impl Drop for Webhook<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
