use std::{
    path::Path,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use tokio::{sync::mpsc, time::timeout};
use zastava_common::config;

use super::{
    Cri,
    api::ContainerState,
    fake::{CONFIG, CONTAINER, DIGEST, FakeCri, LAYER, SANDBOX, Serving},
};
use crate::{
    container::{
        description::{DigestOf, Owner, Platform, Role, State},
        runtime::{
            EngineKind, Settings,
            client::{Change, Client, Failure, Key, Told, What},
            grpc,
        },
    },
    observation::Known,
};

fn settings() -> Arc<Settings> {
    let runtime = config::Runtime::default();
    Arc::new(Settings { annotations: ["team"].into_iter().collect(), ..Settings::from(&runtime) })
}

async fn client(socket: &Path) -> Cri {
    Cri::identify(grpc::connect(socket).await.unwrap(), socket, &settings()).await.unwrap()
}

async fn serve(fake: &FakeCri) -> (tempfile::TempDir, Serving, Cri) {
    let root = tempfile::tempdir().unwrap();
    let serving = fake.serve(&root.path().join("crio.sock"));
    let client = client(&serving.socket).await;
    (root, serving, client)
}

fn key(id: &str) -> Key {
    Key { id: id.into(), namespace: None }
}

async fn next(changes: &mut mpsc::Receiver<Change>) -> (String, What) {
    let change = timeout(Duration::from_secs(20), changes.recv()).await.unwrap().unwrap();
    (change.key.id.to_string(), change.what)
}

#[tokio::test]
async fn a_container_is_described_in_cri_os_dialect() {
    let fake = FakeCri::new();
    let (_root, _serving, client) = serve(&fake).await;
    assert_eq!((client.engine().kind, client.engine().version.as_str()), (EngineKind::CriO, "1.37.0"));
    fake.create(CONTAINER, "api");
    fake.start(CONTAINER);
    let Told { description, stop } = client.describe(&key(CONTAINER)).await.unwrap();
    assert_eq!(stop, None);
    assert_eq!((description.role, description.platform), (Role::Workload, Platform::Kubernetes));
    assert_eq!((description.state, description.pid), (State::Running, Some(4242)));
    assert_eq!((description.name.as_str(), description.attempt), ("api", 2));
    let pod = description.pod.unwrap();
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("production", "web-7c9fbbd8b7-ktd84"));
    assert_eq!((pod.uid.len(), &*pod.sandbox_id), (36, SANDBOX));
    assert_eq!(
        description.owner,
        Some(Owner { kind: "Deployment".to_owned(), name: "web".to_owned(), derived: true })
    );
    // What was asked for, and its repository's digest: neither is the first of the image's names.
    let image = description.image.unwrap();
    assert_eq!(image.requested, "registry.example/team/app:1");
    assert_eq!(image.reference, format!("registry.example/team/app:1@{DIGEST}"));
    assert_eq!((image.digest, image.digest_of), (Known::Is(DIGEST.into()), DigestOf::Pulled));
    assert_eq!(image.config_digest.as_deref(), Some(format!("sha256:{CONFIG}").as_str()));
    // Its own label goes before its pod's.
    assert_eq!(description.labels.kept, [("app".to_owned(), "own".to_owned())].into());
    assert_eq!(description.annotations.kept, [("team".to_owned(), "a".to_owned())].into());
    assert_eq!(description.entrypoint.words, ["/bin/app", "--serve"]);
    let mount = &description.mounts.kept[0];
    assert_eq!((mount.source.to_str(), mount.read_only), (Some("/srv/data"), true));
    let rootfs = description.rootfs.unwrap();
    assert_eq!(&*rootfs.diff_ids[0], LAYER);
    let merged = format!("/var/lib/containers/storage/overlay/{CONTAINER}/merged");
    assert_eq!(rootfs.path.as_deref(), Some(Path::new(&merged)));
    let cgroup = format!(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/crio-{CONTAINER}.scope"
    );
    assert_eq!(description.cgroup, Some(cgroup));
    assert_eq!(description.started, Some(UNIX_EPOCH + Duration::from_secs(2)));
}

#[tokio::test]
async fn a_sandbox_is_known_as_one_and_has_no_process() {
    let fake = FakeCri::new();
    let (_root, _serving, client) = serve(&fake).await;
    fake.create(CONTAINER, "api");
    let description = client.describe(&key(SANDBOX)).await.unwrap().description;
    assert_eq!((description.role, description.pid), (Role::Sandbox, None));
    assert_eq!(description.name, "web-7c9fbbd8b7-ktd84");
    assert_eq!(description.image, None);
}

#[tokio::test]
async fn an_end_has_code_time_and_the_runtimes_own_word() {
    let fake = FakeCri::new();
    let (_root, _serving, client) = serve(&fake).await;
    fake.create(CONTAINER, "api");
    fake.end(CONTAINER, 137, "OOMKilled");
    let Told { description, stop } = client.describe(&key(CONTAINER)).await.unwrap();
    assert_eq!((description.state, description.pid), (State::Exited, None));
    let stop = stop.unwrap();
    assert_eq!((stop.code, stop.signal, stop.oom), (Some(137), Some(9), Some(true)));
    assert_eq!(stop.at, Some(UNIX_EPOCH + Duration::from_secs(3)));
}

#[tokio::test]
async fn a_container_that_the_runtime_lost_sight_of_has_not_ended() {
    let fake = FakeCri::new();
    let (_root, _serving, client) = serve(&fake).await;
    fake.create(CONTAINER, "api");
    fake.change(CONTAINER, |status| status.set_state(ContainerState::ContainerUnknown));
    let Told { description, stop } = client.describe(&key(CONTAINER)).await.unwrap();
    assert_eq!((description.state, stop), (State::Unknown, None));
}

#[tokio::test]
async fn names_are_right_or_refused_and_labels_that_are_no_text_left_out() {
    let fake = FakeCri::new();
    let (_root, _serving, client) = serve(&fake).await;
    fake.create(CONTAINER, "quote\" and\nnewline");
    fake.change(CONTAINER, |status| {
        status.labels[1].value = vec![0xff];
    });
    let description = client.describe(&key(CONTAINER)).await.unwrap().description;
    assert_eq!(description.name, "quote\" and\nnewline");
    // The pod's stands.
    assert_eq!(description.labels.kept["app"], "web");

    let named = async |name: Vec<u8>| {
        fake.change(CONTAINER, |status| status.metadata.as_mut().unwrap().name = name);
        client.describe(&key(CONTAINER)).await
    };
    assert_eq!(named(vec![b'x'; 4096]).await.unwrap().description.name.len(), 4096);
    assert!(matches!(named(vec![b'x'; 4097]).await, Err(Failure::TooLarge(_))));
    assert!(matches!(named(vec![0xff]).await, Err(Failure::Malformed(_))));
    // And the others can be listed all the same.
    assert_eq!(client.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn events_of_the_stream_are_changes() {
    let fake = FakeCri::new();
    let (_root, _serving, client) = serve(&fake).await;
    let (sender, mut changes) = mpsc::channel(8);
    tokio::spawn(async move { client.watch(sender).await });
    // The stream begins some time after it was asked for.
    while changes.is_empty() {
        fake.create(CONTAINER, "api");
        tokio::task::yield_now().await;
    }
    fake.start(CONTAINER);
    fake.end(CONTAINER, 0, "Completed");
    fake.remove(CONTAINER);
    let mut told = vec![next(&mut changes).await];
    while told.last().unwrap().1 != What::Removed {
        told.push(next(&mut changes).await);
    }
    told.dedup();
    let started = What::Started { pid: None, rootfs: None, at: None };
    let whats = [What::Changed, started, What::Stopped(None), What::Removed];
    assert_eq!(told, whats.map(|what| (CONTAINER.to_owned(), what)));
}

#[tokio::test]
async fn without_a_stream_the_list_is_polled() {
    let fake = FakeCri::new().without_events();
    let (_root, _serving, client) = serve(&fake).await;
    fake.create("ab", "first");
    let (sender, mut changes) = mpsc::channel(8);
    tokio::spawn(async move { client.watch(sender).await });
    // All that the first look has found may be new to who listed before; the second one finds it changed.
    fake.listed().await;
    fake.start("ab");
    let started = || What::Started { pid: None, rootfs: None, at: None };
    let mut first = [next(&mut changes).await, next(&mut changes).await];
    first.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(first, [(SANDBOX.to_owned(), started()), ("ab".to_owned(), What::Changed)]);
    assert_eq!(next(&mut changes).await, ("ab".to_owned(), started()));
    fake.remove("ab");
    assert_eq!(next(&mut changes).await, ("ab".to_owned(), What::Removed));
}

#[tokio::test]
async fn a_stream_that_worked_and_breaks_is_not_given_up_for_polling() {
    let fake = FakeCri::new();
    let (_root, _serving, client) = serve(&fake).await;
    let (sender, mut changes) = mpsc::channel(8);
    let watching = tokio::spawn(async move { client.watch(sender).await });
    while changes.is_empty() {
        fake.create(CONTAINER, "api");
        tokio::task::yield_now().await;
    }
    fake.break_streams();
    tokio::spawn(async move { while changes.recv().await.is_some() {} });
    let ended = timeout(Duration::from_secs(20), watching).await.unwrap().unwrap();
    assert!(matches!(ended, Failure::Refused(_)), "{ended:?}");
}
