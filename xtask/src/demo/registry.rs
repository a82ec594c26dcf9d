//! A registry of Debian's, images pushed by skopeo, signatures by openssl: nothing of ours is in what is looked at.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use anyhow::{Context as _, Result};

use crate::{places, step};

/// An OCI layout with small images in it.
const IMAGES: &str = "zastava-common/tests/evidence/made/image";

/// docker-registry in a process of its own, ended when this is dropped.
pub(super) struct Registry {
    pub(super) host: String,
    folder: PathBuf,
    child: Child,
}

impl Registry {
    /// Keeps everything in `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let config = folder.join("registry.yml");
        let storage = folder.join("registry");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n\
             http:\n  addr: 127.0.0.1:0\n",
            storage.display()
        );
        fs::write(&config, text)?;
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start docker-registry")?;
        let log = child.stderr.take().context("docker-registry has no log")?;
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let host = lines.find_map(|line| {
            line.split_once("listening on ")?.1.split(['"', ',', ' ']).next().map(str::to_owned)
        });
        let host = host.context("docker-registry does not say where it listens");
        // Nobody reads on, and it must not wait for that.
        thread::spawn(move || lines.for_each(drop));
        Ok(Self { host: host?, folder: folder.to_owned(), child })
    }

    /// Copies an image of the layout there; its digest.
    pub(super) fn push(&self, image: &str, repository: &str, tag: &str) -> Result<String> {
        let to = format!("docker://{}/{repository}:{tag}", self.host);
        let mut copy = Command::new("skopeo");
        copy.args(["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", "--insecure-policy"]);
        copy.arg(format!("oci:{}:{image}", places::root().join(IMAGES).display())).arg(&to);
        step::output(&mut copy)?;
        let mut inspect = Command::new("skopeo");
        inspect.args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &to]);
        Ok(step::output(&mut inspect)?.trim().to_owned())
    }

    /// Signs an image as cosign does ("simple signing"), by openssl with the private key in `key`.
    pub(super) fn sign(&self, repository: &str, digest: &str, key: &Path) -> Result<()> {
        let payload = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"{}/{repository}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#,
            self.host
        );
        let file = self.folder.join("payload");
        fs::write(&file, &payload)?;
        let signature = self.folder.join("signature");
        let mut openssl = Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-sign"]).arg(key).arg("-out").arg(&signature).arg(&file);
        step::output(&mut openssl)?;
        let signature = step::output(Command::new("openssl").args(["base64", "-A", "-in"]).arg(&signature))?
            .trim()
            .to_owned();
        let layer = self.blob(repository, &payload)?;
        let config = "{}";
        let config_digest = self.blob(repository, config)?;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","size":{},"digest":"{config_digest}"}},"layers":[{{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","size":{},"digest":"{layer}","annotations":{{"dev.cosignproject.cosign/signature":"{signature}"}}}}]}}"#,
            config.len(),
            payload.len()
        );
        let tag = format!("{}.sig", digest.replace(':', "-"));
        let address = format!("http://{}/v2/{repository}/manifests/{tag}", self.host);
        let content_type = "Content-Type: application/vnd.oci.image.manifest.v1+json";
        step::output(
            curl()
                .args(["--request", "PUT", "--header", content_type, "--data-binary"])
                .args([&manifest, &address]),
        )?;
        Ok(())
    }

    /// Uploads a blob; its digest.
    fn blob(&self, repository: &str, content: &str) -> Result<String> {
        let file = self.folder.join("blob");
        fs::write(&file, content)?;
        let sum = step::output(Command::new("sha256sum").arg(&file))?;
        let digest = format!("sha256:{}", sum.split(' ').next().unwrap_or_default());
        let begin = format!("http://{}/v2/{repository}/blobs/uploads/", self.host);
        let head = step::output(curl().args([
            "--request",
            "POST",
            "--dump-header",
            "-",
            "--output",
            "/dev/null",
            &begin,
        ]))?;
        let location = head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("location")))
            .context("the registry takes no upload")?;
        let place = format!("{}&digest={digest}", location.1.trim());
        let data = format!("@{}", file.display());
        let content_type = "Content-Type: application/octet-stream";
        step::output(curl().args([
            "--request",
            "PUT",
            "--header",
            content_type,
            "--data-binary",
            &data,
            &place,
        ]))?;
        Ok(digest)
    }
}

fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail"]);
    curl
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
