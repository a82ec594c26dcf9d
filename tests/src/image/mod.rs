//! Container images, made here: what is in them, and hence every digest, is the same on each machine.

pub mod gzip;
pub mod registry;
pub mod tar;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::tar::Tar;
use crate::elf::hex;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Bytes that are known by their digest.
#[derive(Clone, Debug)]
pub struct Blob {
    pub media_type: &'static str,
    pub bytes: Vec<u8>,
    /// `sha256:...`
    pub digest: String,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        let digest = digest(&bytes);
        Self { media_type, bytes, digest }
    }

    fn json(media_type: &'static str, value: &Value) -> Self {
        Self::new(media_type, value.to_string().into_bytes())
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// How layers are stored: the same image in two packings has two manifests and one config.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Packing {
    Plain,
    Gzip,
}

/// A file system and how to start it.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Tar archives, the lowest first.
    pub layers: Vec<Vec<u8>>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub labels: Vec<(String, String)>,
}

impl Content {
    #[must_use]
    pub fn layer(mut self, files: Tar) -> Self {
        self.layers.push(files.finish());
        self
    }

    #[must_use]
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    #[must_use]
    pub fn command(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// An image for one platform.
#[derive(Clone, Debug)]
pub struct Image {
    pub manifest: Blob,
    pub config: Blob,
    pub layers: Vec<Blob>,
    /// Of the layers as they are unpacked.
    pub diff_ids: Vec<String>,
}

impl Image {
    pub fn new(content: &Content, packing: Packing) -> Self {
        Self::on(content, packing, "amd64")
    }

    /// For another architecture; nothing in it can run here then.
    pub fn on(content: &Content, packing: Packing, architecture: &str) -> Self {
        let Content { layers, entrypoint, command, labels } = content;
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let labels: serde_json::Map<String, Value> =
            labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let config = Blob::json(
            CONFIG,
            &json!({
                "created": "1970-01-01T00:00:00Z",
                "architecture": architecture,
                "os": "linux",
                "config": {
                    "Env": ["PATH=/bin"],
                    "Entrypoint": entrypoint,
                    "Cmd": command,
                    "Labels": labels,
                },
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": layers.iter().map(|_| json!({"created_by": "zastava-tests"})).collect::<Vec<_>>(),
            }),
        );
        let layers: Vec<Blob> = layers
            .iter()
            .map(|layer| match packing {
                Packing::Plain => Blob::new(LAYER, layer.clone()),
                Packing::Gzip => Blob::new(LAYER_GZIP, gzip::gzip(layer)),
            })
            .collect();
        let manifest = Blob::json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
            }),
        );
        Self { manifest, config, layers, diff_ids }
    }

    pub fn digest(&self) -> &str {
        &self.manifest.digest
    }

    fn blobs(&self) -> impl Iterator<Item = &Blob> {
        [&self.manifest, &self.config].into_iter().chain(&self.layers)
    }

    /// An archive that `ctr images import` and `podman load` read: an OCI layout (image-layout.md) in which the image has
    /// this full name.
    pub fn oci_archive(&self, name: &str) -> Vec<u8> {
        let mut descriptor = self.manifest.descriptor();
        descriptor["annotations"] =
            json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name});
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
        let mut tar = Tar::default()
            .file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)
            .file("index.json", 0o644, index.to_string().as_bytes())
            .directory("blobs")
            .directory("blobs/sha256");
        for blob in self.blobs() {
            let path = format!("blobs/{}", blob.digest.replace(':', "/"));
            tar = tar.file(&path, 0o644, &blob.bytes);
        }
        tar.finish()
    }

    /// An archive that every `docker load` reads. It says nothing of manifests.
    pub fn docker_archive(&self, name: &str, content: &Content) -> Vec<u8> {
        let config = format!("{}.json", self.config.digest.trim_start_matches("sha256:"));
        let layers: Vec<String> = (0..content.layers.len()).map(|number| format!("{number}.tar")).collect();
        let manifest = json!([{"Config": config, "RepoTags": [name], "Layers": layers}]);
        let mut tar = Tar::default().file("manifest.json", 0o644, manifest.to_string().as_bytes()).file(
            &config,
            0o644,
            &self.config.bytes,
        );
        for (name, layer) in layers.iter().zip(&content.layers) {
            tar = tar.file(name, 0o644, layer);
        }
        tar.finish()
    }
}

/// Images of several platforms under one name.
#[derive(Clone, Debug)]
pub struct Index {
    pub blob: Blob,
    pub images: Vec<Image>,
}

impl Index {
    /// Of images and their architectures.
    pub fn new(images: Vec<(Image, &str)>) -> Self {
        let manifests: Vec<Value> = images
            .iter()
            .map(|(image, architecture)| {
                let mut descriptor = image.manifest.descriptor();
                descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
                descriptor
            })
            .collect();
        let blob =
            Blob::json(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}));
        Self { blob, images: images.into_iter().map(|(image, _)| image).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content::default().layer(Tar::default().file("program", 0o755, b"x")).entrypoint(&["/program"])
    }

    #[test]
    fn an_image_is_the_same_wherever_it_is_made() {
        let image = Image::new(&content(), Packing::Gzip);
        assert_eq!(image.digest(), "sha256:c6ddd26b5b2f0d0a8c11aaa7f9e70b869603aa6f45635ac0f651e3daf6a07028");
    }

    #[test]
    fn two_packings_are_two_manifests_with_one_config() {
        let [plain, gzip] = [Packing::Plain, Packing::Gzip].map(|packing| Image::new(&content(), packing));
        assert_eq!(plain.config.digest, gzip.config.digest);
        assert_eq!(plain.diff_ids, gzip.diff_ids);
        assert_ne!(plain.digest(), gzip.digest());
        // Only where nothing is packed is a layer's digest the one of its contents.
        assert_eq!(plain.layers[0].digest, plain.diff_ids[0]);
        assert_ne!(gzip.layers[0].digest, gzip.diff_ids[0]);
    }
}
