//! Real registries on loopback, and what is put into them.

mod docker;
mod ferro;
mod http;

use std::{process::Command, sync::Arc};

use serde_json::{Value, json};
use zastava_common::evidence::{
    Digest, Evidence, Fault, ImageReference, Source, Wanted,
    manifest::Descriptor,
    registry::{Endpoint, PullSecrets, Registry, RegistryConfig},
};

pub(crate) use self::docker::DockerRegistry;
use self::ferro::Ferro;
pub(crate) use self::http::{Reply, request};
use crate::made::{self, Made, Piece, made};

/// How a registry tells who refers to an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Style {
    /// By the referrers API, one to a page.
    Api,
    /// By a tag.
    Tag,
    /// By a tag that old tools wrote: what kind of thing refers is not said, or wrongly.
    TagWithoutType,
}

pub(crate) const STYLES: [Style; 3] = [Style::Api, Style::Tag, Style::TagWithoutType];

/// A registry that runs as long as this lives.
pub(crate) struct Lab {
    pub(crate) host: String,
    style: Style,
    _process: Process,
}

enum Process {
    Docker { _registry: DockerRegistry },
    Ferro { _registry: Ferro },
}

impl Lab {
    pub(crate) async fn start(style: Style) -> Self {
        let (host, process) = match style {
            Style::Api => {
                let registry = Ferro::start().await;
                (registry.host.clone(), Process::Ferro { _registry: registry })
            }
            Style::Tag | Style::TagWithoutType => {
                let registry = DockerRegistry::start();
                (registry.host.clone(), Process::Docker { _registry: registry })
            }
        };
        Self { host, style, _process: process }
    }

    pub(crate) fn source(&self) -> Source {
        Source::new(&self.config()).unwrap()
    }

    pub(crate) fn config(&self) -> RegistryConfig {
        let host = self.host.parse().unwrap();
        let endpoint = Endpoint { plain_http: true, ..Endpoint::new(host) };
        let host = endpoint.host.clone();
        let registry = Registry::new(host, vec![endpoint]);
        RegistryConfig { registries: vec![registry], ..RegistryConfig::default() }
    }

    pub(crate) fn image(&self, repository: &str) -> ImageReference {
        format!("{}/{repository}", self.host).parse().unwrap()
    }

    /// Pushes an image with skopeo.
    pub(crate) fn skopeo(&self, image: &str, repository: &str, tag: &str) {
        skopeo(image, &format!("{}/{repository}:{tag}", self.host), &["--dest-tls-verify=false"]);
    }

    /// Puts an image into a repository, without a tag.
    pub(crate) fn put_image(&self, repository: &str, digest: &Digest) {
        let bytes = made::blob(digest);
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let blobs =
            [&manifest["config"]].into_iter().chain(manifest["layers"].as_array().into_iter().flatten());
        for blob in blobs.filter(|blob| !blob.is_null()) {
            self.put_blob(repository, &made::blob(&blob["digest"].as_str().unwrap().parse().unwrap()));
        }
        for entry in manifest["manifests"].as_array().into_iter().flatten() {
            self.put_image(repository, &entry["digest"].as_str().unwrap().parse().unwrap());
        }
        self.put_manifest(repository, &digest.to_string(), manifest["mediaType"].as_str().unwrap(), &bytes);
    }

    /// Puts pieces of evidence into a repository, as the registry's style has it.
    pub(crate) fn attach(&self, repository: &str, made: &Made, pieces: &[&str]) {
        let mut referrers: Vec<(&str, &Descriptor)> = Vec::new();
        for name in pieces {
            let piece = made.piece(name);
            let Descriptor { digest, media_type, .. } = piece.descriptor();
            let image = piece.image();
            for blob in [&image.config].into_iter().chain(&image.layers) {
                self.put_blob(repository, &made::blob(&blob.digest));
            }
            let Piece { subject, referrer, tag, .. } = piece;
            let reference = match tag {
                Some(suffix) => format!("{}{suffix}", made.digest(subject).fallback_tag()),
                None => digest.to_string(),
            };
            self.put_manifest(repository, &reference, media_type, &made::blob(digest));
            referrers.extend(referrer.as_ref().map(|referrer| (subject.as_str(), referrer)));
        }
        if self.style == Style::Api {
            return;
        }
        for subject in made.images.keys() {
            let of_subject = referrers.iter().filter(|(of, _)| of == subject);
            let entries: Vec<Value> = of_subject.map(|(_, referrer)| self.entry(referrer)).collect();
            if !entries.is_empty() {
                self.put_referrers(repository, made.digest(subject), &entries);
            }
        }
    }

    /// Puts a piece of evidence into a repository with one character changed: the fifth behind `mark`, in what its layer
    /// holds or else in its manifest. Every digest is that of the changed content, as by somebody who may push.
    pub(crate) fn attach_tampered(&self, repository: &str, made: &Made, name: &str, mark: &str) {
        let Piece { subject, referrer, tag, .. } = made.piece(name);
        let descriptor = made.piece(name).descriptor();
        let mut text = String::from_utf8(made::blob(&descriptor.digest)).unwrap();
        let image = made.piece(name).image();
        let old = &image.layers[0].digest;
        let content = String::from_utf8(made::blob(old)).unwrap();
        let change = |text: &str| {
            let at = text.find(mark)? + mark.len() + 4;
            // Fit for hexadecimal digits, Base64 and words.
            let other = if text.as_bytes()[at] == b'1' { "2" } else { "1" };
            Some(format!("{}{other}{}", &text[..at], &text[at + 1..]))
        };
        if let Some(changed) = change(&content) {
            self.put_blob(repository, changed.as_bytes());
            let digest = Digest::sha256(changed.as_bytes());
            text = text.replace(&old.to_string(), &digest.to_string());
        } else {
            self.put_blob(repository, content.as_bytes());
            text = change(&text).unwrap_or_else(|| panic!("{name} has no {mark}"));
        }
        self.put_blob(repository, &made::blob(&image.config.digest));
        let digest = Digest::sha256(text.as_bytes());
        let reference = match tag {
            Some(suffix) => format!("{}{suffix}", made.digest(subject).fallback_tag()),
            None => digest.to_string(),
        };
        self.put_manifest(repository, &reference, &descriptor.media_type, text.as_bytes());
        if let (Some(referrer), false) = (referrer, self.style == Style::Api) {
            let entry = self.entry(&Descriptor { digest, ..referrer.clone() });
            self.put_referrers(repository, made.digest(subject), &[entry]);
        }
    }

    fn entry(&self, Descriptor { media_type, digest, size, artifact_type, .. }: &Descriptor) -> Value {
        let artifact_type = match self.style {
            Style::TagWithoutType => Some("application/vnd.oci.empty.v1+json"),
            _ => artifact_type.as_deref(),
        };
        json!({ "mediaType": media_type, "digest": digest, "size": size, "artifactType": artifact_type })
    }

    pub(crate) fn put_referrers(&self, repository: &str, subject: &Digest, entries: &[Value]) {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
        self.put_manifest(repository, &subject.fallback_tag(), media_type, index.to_string().as_bytes());
    }

    /// The entry of an index for an image of those made.
    pub(crate) fn platform(digest: &Digest, architecture: &str) -> Value {
        let content = made::blob(digest);
        let manifest: Value = serde_json::from_slice(&content).unwrap();
        let platform = json!({ "os": "linux", "architecture": architecture });
        json!({ "mediaType": manifest["mediaType"], "digest": digest, "size": content.len(), "platform": platform })
    }

    pub(crate) fn put_index(&self, repository: &str, entries: &[Value]) -> Digest {
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries }).to_string();
        let digest = Digest::sha256(index.as_bytes());
        self.put_manifest(repository, &digest.to_string(), media_type, index.as_bytes());
        digest
    }

    pub(crate) fn put_blob(&self, repository: &str, content: &[u8]) {
        let Reply { status, headers, .. } =
            request("POST", &self.host, &format!("/v2/{repository}/blobs/uploads/"), &[], &[]);
        assert_eq!(status, 202, "the registry takes uploads");
        let location = headers.iter().find(|(name, _)| name == "location").map(|(_, value)| value).unwrap();
        let path = location.strip_prefix(&format!("http://{}", self.host)).unwrap_or(location);
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}digest={}", Digest::sha256(content));
        let reply =
            request("PUT", &self.host, &path, &[("content-type", "application/octet-stream")], content);
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    }

    pub(crate) fn put_manifest(&self, repository: &str, reference: &str, media_type: &str, content: &[u8]) {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let reply = request("PUT", &self.host, &path, &[("content-type", media_type)], content);
        assert_eq!(reply.status, 201, "{reference}: {}", String::from_utf8_lossy(&reply.body));
    }
}

/// What there is about an image of those made.
pub(crate) async fn gather(
    lab: &Lab,
    repository: &str,
    image: &str,
    wanted: &Wanted,
) -> Result<Evidence, Fault> {
    let made = made();
    let secrets = PullSecrets::default();
    lab.source().gather(&lab.image(repository), made.digest(image), wanted, &secrets).await
}

pub(crate) fn signed_by(verifiers: Arc<zastava_common::evidence::Verifiers>) -> Wanted {
    Wanted { signatures: Some(verifiers), ..Wanted::default() }
}

/// Pushes an image with skopeo.
pub(crate) fn skopeo(image: &str, to: &str, how: &[&str]) {
    let from = format!("oci:{}:{image}", made::folder().join("image").display());
    let mut skopeo = Command::new("skopeo");
    skopeo
        .args(["copy", "--quiet", "--all", "--preserve-digests"])
        .args(how)
        .args([from, format!("docker://{to}")]);
    let output = skopeo.output().expect("skopeo is needed: cargo xtask setup");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
