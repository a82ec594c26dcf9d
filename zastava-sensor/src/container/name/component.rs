//! What one component of a cgroup's path says.

/// Prefix before the id, and the runtime that uses it: systemd scopes (`docker-<id>.scope`), cgroupfs names
/// (`crio-<id>`) and the colon form.
const PREFIXES: [(&[u8], &str); 6] = [
    (b"docker", "docker"),
    (b"cri-containerd", "containerd"),
    (b"nerdctl", "containerd"),
    (b"crio", "cri-o"),
    (b"libpod", "podman"),
    // `podman run --cgroups=split`, as Quadlet units do.
    (b"libpod-payload", "podman"),
];

/// Directories in which a runtime puts bare ids, where they tell the runtime: `docker/<id>` (cgroupfs driver),
/// `k8s.io/<id>` (containerd's own name space, without a cgroup parent).
const PARENTS: [(&[u8], &str); 3] = [(b"docker", "docker"), (b"moby", "docker"), (b"k8s.io", "containerd")];

/// Digits of a container id.
const ID_LEN: usize = 64;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Component<'a> {
    Container {
        id: &'a [u8],
        runtime: Option<&'static str>,
        /// The slice that the colon form names in the same component.
        slice: Option<&'a [u8]>,
    },
    /// The runtime's process beside the container (conmon): of the host.
    Monitor,
    /// Nearly a container's.
    Malformed,
    OtherKind,
    /// `..`: outside of the reader's cgroup namespace.
    Outside,
    /// The kubelet's directory of all pods.
    Kubepods,
    Plain,
}

impl<'a> Component<'a> {
    /// `owned_by_user`: the cgroup stands in `user.slice`, where a user may make any name.
    pub(super) fn of(name: &'a [u8], parent: &[u8], owned_by_user: bool) -> Self {
        if name == b".." {
            return Self::Outside;
        }
        if let Some(component) = prefixed(name) {
            return component;
        }
        // Rootless runtimes make scopes, so a bare id in a user's slice is no container's.
        if !owned_by_user && is_hex(name) && name.len() >= ID_LEN - 16 {
            let runtime = PARENTS.iter().find(|(known, _)| *known == parent).map(|(_, runtime)| *runtime);
            return container(name, runtime, None);
        }
        if is_other_kind(name, parent) {
            return Self::OtherKind;
        }
        let unit = name.strip_suffix(b".slice").unwrap_or(name);
        // `kubelet-kubepods` with a cgroup root of its own.
        if unit == b"kubepods" || unit.ends_with(b"-kubepods") { Self::Kubepods } else { Self::Plain }
    }
}

/// Names that say `<prefix>-<id>`, with or without `.scope`, and `<slice>:<prefix>:<id>` (a runtime with the
/// cgroupfs driver below a kubelet with systemd's).
fn prefixed(name: &[u8]) -> Option<Component<'_>> {
    let mut colons = name.split(|byte| *byte == b':');
    if let (Some(slice), Some(prefix), Some(id), None) =
        (colons.next(), colons.next(), colons.next(), colons.next())
    {
        let runtime = runtime(prefix)?;
        return Some(container(id, Some(runtime), Some(slice)));
    }
    let unit = name.strip_suffix(b".scope").unwrap_or(name);
    let hyphen = unit.iter().rposition(|byte| *byte == b'-')?;
    let (prefix, id) = (&unit[..hyphen], &unit[hyphen + 1..]);
    // Shorter ones are names of something else (`docker-cafe.scope`).
    if !is_hex(id) || id.len() < 12 {
        return None;
    }
    if prefix == b"crio-conmon" || prefix == b"libpod-conmon" {
        return Some(Component::Monitor);
    }
    runtime(prefix).map(|runtime| container(id, Some(runtime), None))
}

fn container<'a>(id: &'a [u8], runtime: Option<&'static str>, slice: Option<&'a [u8]>) -> Component<'a> {
    if is_id(id) { Component::Container { id, runtime, slice } } else { Component::Malformed }
}

fn runtime(prefix: &[u8]) -> Option<&'static str> {
    PREFIXES.iter().find(|(known, _)| *known == prefix).map(|(_, runtime)| *runtime)
}

fn is_id(bytes: &[u8]) -> bool {
    bytes.len() == ID_LEN && bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

/// LXC (`lxc/<name>`, `lxc.payload.<name>`), systemd-nspawn (`machine-<name>.scope`, `systemd-nspawn@<name>`;
/// `machine-qemu...` is a virtual machine) and BuildKit's steps (`buildkit/<id>`).
fn is_other_kind(name: &[u8], parent: &[u8]) -> bool {
    parent == b"lxc"
        || parent == b"buildkit"
        || name.starts_with(b"lxc.payload.")
        || name.starts_with(b"systemd-nspawn@")
        || (name.starts_with(b"machine-") && !name.starts_with(b"machine-qemu") && name.ends_with(b".scope"))
}

/// The uid of a pod from the name of its cgroup below `kubepods`: `pod<uid>`, `kubepods-burstable-pod<uid_>.slice`.
pub(super) fn pod_uid(name: &[u8]) -> Option<String> {
    let unit = str::from_utf8(name.strip_suffix(b".slice").unwrap_or(name)).ok()?;
    let (before, uid) = unit.rsplit_once("pod")?;
    let placed = before.is_empty() || (before.contains("kubepods") && before.ends_with('-'));
    // A UUID, in a systemd slice with underscores; of static pods 32 digits without any.
    let formed = (32..=36).contains(&uid.len())
        && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'-' | b'_'));
    (placed && formed).then(|| uid.replace('_', "-"))
}
