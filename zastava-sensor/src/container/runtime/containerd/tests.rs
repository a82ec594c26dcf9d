//! On recordings of containerd 1.6.20, 1.7.24 and 2.1.9, and on a fake store of images.

use prost::Message;

use super::{
    api,
    event::change,
    record::{Kind, Record},
};
use crate::container::runtime::{
    Stop,
    client::{Failure, What},
};

mod store;

const CONFIG: &str = "sha256:5da50483e68d4dfbd0c408a9e19f4040a252fd4a9364ecb86de96fee0705ecca";

/// A container of a pod and its sandbox, as containerd has them: started by the CRI with the image's id for an image
/// and its name as the one that the user specified, as a kubelet does.
const RECORDED: [(&str, &[u8], &[u8]); 3] = [
    ("1.6", include_bytes!("recorded/1.6-container.pb"), include_bytes!("recorded/1.6-sandbox.pb")),
    ("1.7", include_bytes!("recorded/1.7-container.pb"), include_bytes!("recorded/1.7-sandbox.pb")),
    ("2.1", include_bytes!("recorded/2.1-container.pb"), include_bytes!("recorded/2.1-sandbox.pb")),
];

fn container(recorded: &[u8]) -> api::Container {
    api::Container::decode(recorded).unwrap()
}

#[test]
fn a_container_of_a_pod_is_read_in_every_version() {
    for (version, recorded, sandbox) in RECORDED {
        let sandbox = Record::parse(container(sandbox)).unwrap();
        let mut record = Record::parse(container(recorded)).unwrap();
        assert_eq!((record.kind, record.name.as_str()), (Kind::Container, "api"), "{version}");
        let pod = record.pod.as_ref().unwrap();
        assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("production", "web-7c9fbbd8b7-ktd84"));
        assert_eq!(pod.uid, "0c4a9d1e-6f0b-4c52-9d0a-2f6c1d7e8b90", "{version}");
        assert_eq!(*pod.sandbox_id, *sandbox.id, "{version}");
        // The CRI of 1.6 does not know the field, and tells the first name of the image.
        assert_eq!((record.requested.as_str(), record.by_id), ("lab.local/busybox:1", version == "1.6"));
        assert_eq!(record.config.as_deref(), Some(CONFIG), "{version}");
        assert_eq!((record.snapshotter.as_str(), &record.snapshot_key), ("overlayfs", &record.id));
        // The image's label is not the container's.
        assert!(!record.labels.contains_key("img") && record.labels.contains_key("io.kubernetes.pod.uid"));
        assert_eq!(record.annotations["io.kubernetes.container.restartCount"], "0");
        assert_eq!(record.spec.take_args(), ["/bin/sleep", "1000"]);
        let cgroup = format!("/kubepods/burstable/pod{}/{}", pod.uid, record.id);
        assert_eq!(record.spec.cgroup(), Some(cgroup), "{version}");
        let mount = record.spec.take_mounts().next().unwrap();
        assert_eq!((mount.destination.to_str(), mount.read_only), (Some("/data"), true), "{version}");
    }
}

#[test]
fn a_sandbox_is_known_by_what_the_cri_left_and_not_by_a_label() {
    for (version, recorded, sandbox) in RECORDED {
        let record = Record::parse(container(sandbox)).unwrap();
        assert_eq!((record.kind, record.name.as_str()), (Kind::Sandbox, "web-7c9fbbd8b7-ktd84"), "{version}");
        assert_eq!(record.labels["app"], "web", "{version}");
        assert_eq!(record.pod.unwrap().sandbox_id.to_string(), record.id, "{version}");
        // Whoever makes an image can give it any label, and `ctr run` copies them.
        let mut forged = container(recorded);
        forged.extensions.clear();
        let label = ("io.cri-containerd.kind", "sandbox");
        forged.labels.push(api::Entry { key: label.0.into(), value: label.1.into() });
        let record = Record::parse(forged).unwrap();
        assert_eq!((record.kind, record.pod), (Kind::Plain, None), "{version}");
    }
}

#[test]
fn foreign_bytes_refuse_one_container_with_a_reason() {
    let recorded = || container(RECORDED[0].1);
    let with = |change: fn(&mut api::Container)| {
        let mut container = recorded();
        change(&mut container);
        Record::parse(container)
    };
    assert!(matches!(with(|container| container.image = vec![0xff]), Err(Failure::Malformed(_))));
    assert!(matches!(with(|container| container.image = vec![b'x'; 5000]), Err(Failure::TooLarge(_))));
    assert!(matches!(with(|container| container.id = b"../x".to_vec()), Err(Failure::Malformed(_))));
    let spec = |container: &mut api::Container| container.spec.as_mut().unwrap().value.truncate(99);
    assert!(matches!(with(spec), Err(Failure::Malformed(_))));
    let extension = |container: &mut api::Container| {
        container.extensions[0].value.as_mut().unwrap().value = b"{\"Metadata\":{}}".to_vec();
    };
    assert!(matches!(with(extension), Err(Failure::Malformed(_))));
    // A label that is no text is left out.
    let plain = |container: &mut api::Container| {
        container.extensions.clear();
        container.labels = vec![
            api::Entry { key: b"a".to_vec(), value: vec![0xff] },
            api::Entry { key: b"nerdctl/name".to_vec(), value: b"web".to_vec() },
        ];
    };
    let record = with(plain).unwrap();
    assert_eq!((record.name.as_str(), record.labels.len()), ("web", 1));
}

fn envelope(topic: &str, event: &impl Message) -> api::Envelope {
    api::Envelope {
        timestamp: Some(prost_types::Timestamp { seconds: 7, nanos: 0 }),
        namespace: b"k8s.io".to_vec(),
        topic: topic.into(),
        event: Some(api::Typed { type_url: b"containerd.events.X".to_vec(), value: event.encode_to_vec() }),
    }
}

#[test]
fn events_are_told_apart_by_their_topic() {
    let created = api::TaskCreate {
        container_id: b"abc".to_vec(),
        bundle: b"/run/containerd/io.containerd.runtime.v2.task/k8s.io/abc".to_vec(),
        rootfs: Vec::new(),
        pid: 17,
    };
    let told = change(&envelope("/tasks/create", &created)).unwrap().unwrap();
    assert_eq!((&*told.key.id, told.key.namespace.as_deref()), ("abc", Some("k8s.io")));
    let root = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/abc/rootfs".into();
    assert_eq!(told.what, What::Started { pid: Some(17), rootfs: Some(root), at: None });

    let exit = |id: &str| api::TaskExit {
        container_id: b"abc".to_vec(),
        id: id.into(),
        pid: 17,
        exit_status: 143,
        exited_at: None,
    };
    let told = change(&envelope("/tasks/exit", &exit("abc"))).unwrap().unwrap();
    let stop = Stop { code: Some(143), signal: Some(15), ..Stop::default() };
    assert_eq!(told.what, What::Stopped(Some(stop)));
    // An exec's end is not the container's.
    assert_eq!(change(&envelope("/tasks/exit", &exit("exec1"))), Ok(None));

    let one = || api::ContainerEvent { id: b"abc".to_vec() };
    let what = |topic| change(&envelope(topic, &one())).map(|change| change.map(|change| change.what));
    assert_eq!(what("/containers/create"), Ok(Some(What::Changed)));
    assert_eq!(what("/containers/delete"), Ok(Some(What::Removed)));
    assert_eq!(what("/tasks/oom"), Ok(Some(What::OutOfMemory)));
    assert_eq!(what("/snapshot/prepare"), Ok(None));
    // Docker tells its own containers.
    let moby = api::Envelope { namespace: b"moby".to_vec(), ..envelope("/containers/create", &one()) };
    assert_eq!(change(&moby), Ok(None));
    let hostile = api::ContainerEvent { id: b"a/../b".to_vec() };
    assert!(change(&envelope("/containers/create", &hostile)).is_err());
}
