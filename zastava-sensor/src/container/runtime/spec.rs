//! The OCI runtime specification of a container (config.md of opencontainers/runtime-spec), as far as it is used.

use std::path::PathBuf;

use serde::Deserialize;

use super::{client::Failure, labels::Texts};
use crate::container::description::{MAX_TEXT, Mount};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    process: Process,
    mounts: Vec<SpecMount>,
    linux: Linux,
    pub(super) annotations: Texts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Process {
    // `env` stands here too and is not read.
    args: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecMount {
    destination: PathBuf,
    source: PathBuf,
    r#type: String,
    options: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Linux {
    #[serde(rename = "cgroupsPath")]
    cgroups_path: Option<String>,
}

impl Spec {
    pub(super) fn parse(json: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(json).map_err(|_| Failure::Malformed("the OCI specification"))
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    pub(super) fn take_args(&mut self) -> Vec<String> {
        self.process.args.take().unwrap_or_default()
    }

    /// What of the host is mounted; not what each container has (proc, devices, its own tmpfs).
    pub(super) fn take_mounts(&mut self) -> impl Iterator<Item = Mount> {
        std::mem::take(&mut self.mounts).into_iter().filter_map(|mount| {
            let SpecMount { destination, source, r#type, options } = mount;
            let options = options.unwrap_or_default();
            let is_bind =
                r#type == "bind" || options.iter().any(|option| option == "bind" || option == "rbind");
            let read_only = options.iter().any(|option| option == "ro");
            is_bind.then_some(Mount { source, destination, read_only })
        })
    }

    /// Where the cgroup is, from the root of its hierarchy. `None`: the OCI runtime chooses.
    pub(super) fn cgroup(&self) -> Option<String> {
        cgroup_path(self.linux.cgroups_path.as_deref()?)
    }
}

/// A path (`/kubepods/burstable/pod<uid>/<id>`), or systemd's three words (`slice:prefix:name`) as the path that
/// systemd makes of them.
fn cgroup_path(configured: &str) -> Option<String> {
    if configured.is_empty() || configured.len() > MAX_TEXT {
        return None;
    }
    let words: Vec<&str> = configured.split(':').collect();
    let &[slice, prefix, name] = words.as_slice() else { return Some(configured.to_owned()) };
    let unit = match name {
        _ if expand_slice(name).is_some() => name.to_owned(),
        _ if prefix.is_empty() => format!("{name}.scope"),
        _ => format!("{prefix}-{name}.scope"),
    };
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    Some(format!("{}/{unit}", expand_slice(slice)?))
}

/// `a-b.slice` stands in `a.slice` (systemd.slice(5)). The path is as long as the name's square: no unit has a longer
/// name than a file.
fn expand_slice(slice: &str) -> Option<String> {
    const MOST: usize = 255;
    let name = slice.strip_suffix(".slice").filter(|_| slice.len() <= MOST)?;
    if name == "-" {
        return Some(String::new());
    }
    let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
    Some(ends.flat_map(|end| ["/", &name[..end], ".slice"]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_without_anything_is_one() {
        let mut spec = Spec::parse(b"{}").unwrap();
        assert_eq!(spec.take_args(), [""; 0]);
        assert_eq!(spec.cgroup(), None);
        assert!(Spec::parse(b"5").is_err());
        assert!(Spec::parse(br#"{"process":{"args":["\ud800"]}}"#).is_err());
    }

    #[test]
    fn mounts_of_the_host_alone_are_told() {
        let json = br#"{"mounts":[
            {"destination":"/proc","type":"proc","source":"proc","options":["nosuid"]},
            {"destination":"/data","type":"bind","source":"/srv/data","options":["rbind","ro"]},
            {"destination":"/etc/hosts","source":"/run/hosts","options":["rbind","rw"]},
            {"destination":"/dev/shm","type":"tmpfs","source":"shm"}]}"#;
        let mounts: Vec<Mount> = Spec::parse(json).unwrap().take_mounts().collect();
        let mount = |source: &str, destination: &str, read_only| Mount {
            source: source.into(),
            destination: destination.into(),
            read_only,
        };
        assert_eq!(mounts, [mount("/srv/data", "/data", true), mount("/run/hosts", "/etc/hosts", false)]);
    }

    #[test]
    fn a_cgroup_is_told_as_a_path() {
        let path = |configured| cgroup_path(configured).unwrap();
        assert_eq!(path("/kubepods/burstable/pod1/abc"), "/kubepods/burstable/pod1/abc");
        assert_eq!(
            path("kubepods-burstable-pod1.slice:cri-containerd:abc"),
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope"
        );
        assert_eq!(path(":docker:abc"), "/system.slice/docker-abc.scope");
        assert_eq!(path("-.slice::abc"), "/abc.scope");
        assert_eq!(cgroup_path(""), None);
        assert_eq!(cgroup_path("user:crio:abc"), None);
        assert_eq!(cgroup_path(&"/a".repeat(MAX_TEXT)), None);
        assert_eq!(cgroup_path(&format!("{}.slice:crio:abc", "-".repeat(MAX_TEXT / 2))), None);
    }
}
