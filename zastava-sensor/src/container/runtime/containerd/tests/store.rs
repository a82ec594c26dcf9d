//! Which manifest runs, asked of a fake store: its images and blobs are made here, its filters are containerd's.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::UnixListener;
use tokio_stream::{Stream, wrappers::UnixListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use super::super::{
    api,
    image::{Answer, Blob, Question, Store},
};
use crate::{
    container::{
        reason,
        runtime::{
            grpc,
            proto::containerd::services::{
                content::v1::content_server::{Content, ContentServer},
                images::v1::images_server::{Images, ImagesServer},
            },
        },
    },
    observation::Known,
};

#[derive(Clone, Default)]
struct FakeStore(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    images: BTreeMap<String, String>,
    blobs: BTreeMap<String, (Vec<u8>, BTreeMap<String, String>)>,
}

type Labels = [(&'static str, String)];

impl FakeStore {
    fn put(&self, json: &serde_json::Value, labels: &Labels) -> String {
        let bytes = json.to_string().into_bytes();
        let halves = Sha256::digest(&bytes).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let hex: String = halves.filter_map(|half| char::from_digit(half.into(), 16)).collect();
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        self.lock().blobs.insert(format!("sha256:{hex}"), (bytes, labels));
        format!("sha256:{hex}")
    }

    /// A config, and a manifest of it that differs by `note`, pulled from `paths` of one registry.
    fn image(&self, layer: &str, note: &str, paths: &str) -> (String, String) {
        let diff_id = format!("sha256:{}", layer.repeat(64));
        let rootfs = json!({"type": "layers", "diff_ids": [diff_id]});
        let chain = ("containerd.io/gc.ref.snapshot.overlayfs", diff_id.clone());
        let config = self.put(&json!({"architecture": "amd64", "rootfs": rootfs}), &[chain]);
        let manifest = json!({"config": {"digest": config}, "layers": [], "annotations": {"note": note}});
        let of_config = ("containerd.io/gc.ref.content.config", config.clone());
        let source = ("containerd.io/distribution.source.registry.example", paths.to_owned());
        (self.put(&manifest, &[of_config, source]), config)
    }

    fn name(&self, name: &str, target: &str) {
        self.lock().images.insert(name.to_owned(), target.to_owned());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl Images for FakeStore {
    async fn get(
        &self,
        request: Request<api::GetImageRequest>,
    ) -> Result<Response<api::GetImageResponse>, Status> {
        let name = request.into_inner().name;
        let target = self.lock().images.get(&name).cloned().ok_or_else(|| Status::not_found("no image"))?;
        let target = api::Descriptor { digest: target.into_bytes(), ..api::Descriptor::default() };
        let image = api::Image { name: name.into_bytes(), target: Some(target) };
        Ok(Response::new(api::GetImageResponse { image: Some(image) }))
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Content for FakeStore {
    type ListStream = Answers<api::ListContentResponse>;

    async fn list(
        &self,
        request: Request<api::ListContentRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let filter = request.into_inner().filters.remove(0);
        let words: Vec<&str> = filter.split('"').collect();
        let &["labels.", label, "==", value, ""] = words.as_slice() else {
            return Err(Status::invalid_argument(filter));
        };
        let contents = self.lock();
        let with = contents
            .blobs
            .iter()
            .filter(|(_, (_, labels))| labels.get(label).is_some_and(|own| own == value));
        let info = with.map(|(digest, (bytes, labels))| api::ContentInfo {
            digest: digest.clone().into_bytes(),
            size: i64::try_from(bytes.len()).unwrap(),
            labels: labels
                .iter()
                .map(|(key, value)| api::Entry { key: key.clone().into(), value: value.clone().into() })
                .collect(),
        });
        let answer = api::ListContentResponse { info: info.collect() };
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(answer)))))
    }

    type ReadStream = Answers<api::ReadContentResponse>;

    async fn read(
        &self,
        request: Request<api::ReadContentRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let digest = request.into_inner().digest;
        let (data, _) =
            self.lock().blobs.get(&digest).cloned().ok_or_else(|| Status::not_found("no content"))?;
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(api::ReadContentResponse { offset: 0, data })))))
    }
}

/// Asks for a container's image by the name asked for and the config that runs.
async fn ask(fake: &FakeStore, requested: &str, config: Option<&str>, chain: Option<&str>) -> Answer {
    find(fake, requested, false, config, chain).await
}

async fn find(
    fake: &FakeStore,
    requested: &str,
    by_id: bool,
    config: Option<&str>,
    chain: Option<&str>,
) -> Answer {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("c.sock");
    let listener = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
    let server = Server::builder()
        .add_service(ImagesServer::new(fake.clone()))
        .add_service(ContentServer::new(fake.clone()))
        .serve_with_incoming(listener);
    let serving = tokio::spawn(server);
    let store = Store::new(grpc::connect(&socket).await.unwrap());
    let stored = "registry.example/first:1";
    let snapshotter = "overlayfs";
    let question = Question { namespace: "k8s.io", requested, by_id, stored, config, chain, snapshotter };
    let answer = store.find(&question).await;
    serving.abort();
    answer
}

fn is(digest: &str) -> Known<Arc<str>> {
    Known::Is(digest.into())
}

#[tokio::test]
async fn of_two_manifests_with_one_config_the_name_asked_for_tells() {
    let fake = FakeStore::default();
    let (first, config) = fake.image("a", "gzip", "first");
    let (second, same) = fake.image("a", "zstd", "team/second");
    assert_eq!(config, same);
    fake.name("registry.example/first:1", &first);
    fake.name("registry.example/team/second:1", &second);
    let answer = ask(&fake, "registry.example/team/second:1", Some(&config), None).await;
    assert_eq!((&answer.digest, &answer.index), (&is(&second), &None));
    assert_eq!(answer.config.as_deref(), Some(config.as_str()));
    assert_eq!(answer.diff_ids.len(), 1);
    assert_eq!(ask(&fake, "registry.example/first:1", Some(&config), None).await.digest, is(&first));
}

#[tokio::test]
async fn a_tag_that_moved_does_not_take_a_running_container_with_it() {
    let fake = FakeStore::default();
    let (old, config) = fake.image("a", "old", "app");
    let (new, _) = fake.image("b", "new", "app");
    fake.name("registry.example/app:1", &new);
    assert_eq!(ask(&fake, "registry.example/app:1", Some(&config), None).await.digest, is(&old));
    // Two have the config: the one from the repository asked for.
    fake.image("a", "another", "elsewhere");
    assert_eq!(ask(&fake, "registry.example/app:1", Some(&config), None).await.digest, is(&old));
    // Both are from there: nothing tells which.
    fake.image("a", "a third", "other,app");
    let answer = ask(&fake, "registry.example/app:1", Some(&config), None).await;
    assert_eq!(answer.digest, Known::Not(reason::DIGEST_AMBIGUOUS));
    assert_eq!(answer.config.as_deref(), Some(config.as_str()));
}

#[tokio::test]
async fn an_index_is_told_beside_the_manifest_that_runs() {
    let fake = FakeStore::default();
    let (amd64, config) = fake.image("a", "amd64", "app");
    let absent = format!("sha256:{}", "f".repeat(64));
    let index = fake.put(&json!({"manifests": [{"digest": absent}, {"digest": amd64}]}), &[]);
    fake.name("registry.example/app:1", &index);
    for requested in ["registry.example/app:1".to_owned(), format!("registry.example/app@{index}")] {
        let answer = ask(&fake, &requested, Some(&config), None).await;
        assert_eq!(
            (&answer.digest, answer.index.as_deref()),
            (&is(&amd64), Some(index.as_str())),
            "{requested}"
        );
    }
    let by_manifest = ask(&fake, &format!("registry.example/app@{amd64}"), Some(&config), None).await;
    assert_eq!((by_manifest.digest, by_manifest.index), (is(&amd64), None));
}

#[tokio::test]
async fn an_image_asked_for_by_its_id_is_not_given_another_ones_digest() {
    let fake = FakeStore::default();
    let (first, config) = fake.image("a", "gzip", "first");
    let index = fake.put(&json!({"manifests": [{"digest": first}]}), &[]);
    fake.name("registry.example/first:1", &index);
    // A name that it has.
    let name = "registry.example/first:1";
    let answer = find(&fake, name, true, Some(&config), None).await;
    assert_eq!((&answer.digest, answer.index.as_deref()), (&is(&first), Some(index.as_str())));
    fake.image("a", "zstd", "team/second");
    let answer = find(&fake, name, true, Some(&config), None).await;
    assert_eq!(answer.digest, Known::Not(reason::DIGEST_AMBIGUOUS));
}

#[tokio::test]
async fn without_the_cri_the_layers_tell() {
    let fake = FakeStore::default();
    let (old, _) = fake.image("a", "old", "app");
    let (new, _) = fake.image("b", "new", "app");
    fake.name("docker.io/library/app:latest", &new);
    let layers = |layer: &str| format!("sha256:{}", layer.repeat(64));
    assert_eq!(ask(&fake, "app", None, Some(&layers("b"))).await.digest, is(&new));
    assert_eq!(ask(&fake, "app", None, Some(&layers("a"))).await.digest, is(&old));
    let gone = ask(&fake, "app", None, Some(&layers("c"))).await;
    assert_eq!(gone.digest, Known::Not(reason::IMAGE_GONE));
}

#[tokio::test]
async fn an_image_that_is_gone_is_told_so() {
    let fake = FakeStore::default();
    let config = format!("sha256:{}", "e".repeat(64));
    let answer = ask(&fake, "registry.example/app:1", Some(&config), None).await;
    assert_eq!(answer.digest, Known::Not(reason::IMAGE_GONE));
    // Nor does a name with quotes get into the filter.
    let hostile = ask(&fake, "x\" or 1==\"1", Some("sha256:\" or 1==\"1"), None).await;
    assert_eq!(hostile.digest, Known::Not(reason::IMAGE_GONE));
}

#[test]
fn content_is_known_by_its_shape() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let blob = |json: serde_json::Value| Blob::parse(json.to_string().as_bytes());
    let config = json!({"config": {"digest": digest}, "layers": []});
    assert_eq!(blob(config), Blob::Manifest { config: digest.as_str().into() });
    // An image's config has a `config` of its own.
    let config = json!({"config": {"Cmd": ["x"]}, "rootfs": {"diff_ids": [digest, "sha256:short"]}});
    assert_eq!(blob(config), Blob::Config { diff_ids: vec![digest.as_str().into()] });
    let many: Vec<_> = (0..300).map(|_| json!({"digest": digest})).collect();
    assert!(matches!(blob(json!({"manifests": many})), Blob::Index { manifests } if manifests.len() == 256));
    assert_eq!(blob(json!({"config": {"digest": "x"}, "layers": []})), Blob::Other);
    assert_eq!(Blob::parse(b"\xff"), Blob::Other);
}
