//! The walk of one record through the stages process, container and file.

use zastava_common::abi::{FileIdentity, RecordKind};

use super::first_seen::FirstSeen;
use crate::{
    container::{CgroupInventory, Containers, Seen, Where},
    file::{FileRequest, FileStage, Purpose},
    kernel::record::{Exec, FileChange, KernelPath, KernelRecord, Mapping, Origin, What},
    observation::{Artifact, ContainerId, Content, Fact, Loss, Process},
    process::{Mapped, ProcessTable},
};

/// Any execute bit of `inode.i_mode`.
const EXECUTABLE: u32 = 0o111;

/// The three stages, in their order.
pub(super) struct Observer {
    pub(super) process: ProcessTable,
    pub(super) cgroups: CgroupInventory,
    pub(super) containers: Containers,
    pub(super) file: FileStage,
    pub(super) mapped: Mapped,
    /// Mappings.
    pub(super) told: FirstSeen,
    /// Keep argument texts.
    pub(super) diagnostics: bool,
}

impl Observer {
    /// Walks a record; what comes of it is in [`Containers::take_out`]. `now_ns` is the boot time. Returns whether it
    /// was worth an event.
    pub(super) fn observe(&mut self, record: KernelRecord, now_ns: u64) -> bool {
        let seen = self.see(record, now_ns);
        let is_seen = seen.is_some();
        if let Some(seen) = seen {
            self.containers.take(seen, now_ns);
        }
        is_seen
    }

    /// What a record means; `None` where it only taught the stages something, or is not worth an event.
    fn see(&mut self, record: KernelRecord, now_ns: u64) -> Option<Seen> {
        let KernelRecord { mut origin, what } = record;
        let (process, place, fact) = match what {
            What::CgroupMkdir(made) => {
                if let Some(container) = self.cgroups.made(&made, origin.boot_ns) {
                    self.containers.made(&container, made.id, origin.boot_ns);
                }
                return None;
            }
            What::CgroupRmdir(removed) => {
                if let Some(container) = self.cgroups.removed(&removed, origin.boot_ns) {
                    self.containers.removed(&container, removed.id, origin.boot_ns, now_ns);
                }
                return None;
            }
            What::Loss { key, value } => {
                let place = self.cgroups.place(&origin);
                (None, place, Fact::Loss(loss(origin.cgroup_id, key.kind, &value)))
            }
            What::Exec(exec) => {
                let process = self.process.exec(&mut origin, &exec, self.diagnostics)?;
                let place = self.cgroups.place(&origin);
                let fact = self.exec(&origin, &place, &exec);
                (Some(process), place, fact)
            }
            What::Exit(exit) => {
                let exited = self.process.exit(&mut origin, &exit);
                let place = self.cgroups.place(&origin);
                let process = exited.found.map(|found| found.process);
                (process, place, Fact::Exit { exit, duration_ns: exited.duration_ns })
            }
            What::Mapping(mapping) => {
                let process = self.process.look_up(&mut origin, mapping.image).map(|found| found.process);
                if process.as_ref().is_some_and(|process| is_own_program(process, &mapping))
                    || !self.told.is_first(&origin, &mapping)
                {
                    return None;
                }
                let place = self.cgroups.place(&origin);
                let Mapping { file, path, build_id, by_protect, image: _ } = &mapping;
                let artifact = self.identify(
                    &origin,
                    container(&place),
                    *file,
                    path,
                    build_id.as_deref(),
                    Purpose::Library,
                );
                (process, place, Fact::Library { artifact, by_protect: *by_protect })
            }
            What::File(change) => {
                let process = self.process.look_up(&mut origin, 0).map(|found| found.process);
                let place = self.cgroups.place(&origin);
                let fact = self.file_change(&origin, &place, change)?;
                (process, place, fact)
            }
            What::Listen(listen) => {
                let process = self.process.look_up(&mut origin, 0).map(|found| found.process);
                let place = self.cgroups.place(&origin);
                (process, place, Fact::Listen(listen))
            }
        };
        Some(Seen { origin, process, place, fact })
    }

    fn exec(&mut self, origin: &Origin, place: &Where, exec: &Exec) -> Fact {
        let pays = container(place);
        let program =
            self.identify(origin, pays, exec.file, &exec.exe, exec.build_id.as_deref(), Purpose::Exec);
        let script = exec.is_script.then(|| {
            let path = KernelPath { bytes: absolute(&exec.cwd.bytes, &exec.filename), truncated: false };
            self.identify(origin, pays, exec.script, &path, None, Purpose::Script)
        });
        Fact::Exec { program, script }
    }

    /// Only files that are programs by their content or their mode are worth an event.
    fn file_change(&mut self, origin: &Origin, place: &Where, change: FileChange) -> Option<Fact> {
        let artifact =
            self.identify(origin, container(place), change.file, &change.path, None, Purpose::Created);
        let executable = change.file.is_some_and(|file| file.mode & EXECUTABLE != 0);
        let program = matches!(artifact.content, Content::Elf | Content::Script);
        (executable || program).then_some(Fact::FileCreate { change, artifact })
    }

    /// `pays`: the container whose budget pays for the reading.
    pub(super) fn identify(
        &mut self,
        origin: &Origin,
        pays: Option<&str>,
        identity: Option<FileIdentity>,
        path: &KernelPath,
        build_id: Option<&[u8]>,
        purpose: Purpose,
    ) -> Artifact {
        self.file.identify(&FileRequest {
            identity: identity.as_ref(),
            path,
            process: origin.process,
            process_gone: false,
            build_id,
            purpose,
            container: pays,
        })
    }
}

fn container(place: &Where) -> Option<&str> {
    match place {
        Where::Container(container) => Some(payer(container)),
        Where::Host | Where::Unknown(_) => None,
    }
}

/// Whose budget pays for reading a container's files. A user may give a cgroup any container's name, so that such a one
/// pays for itself.
pub(super) fn payer(container: &ContainerId) -> &str {
    if container.by_user { &container.cgroup } else { &container.id }
}

/// perf tells the program's own mapping like any other; it is no library.
fn is_own_program(process: &Process, mapping: &Mapping) -> bool {
    !mapping.by_protect && mapping.image == 0 && process.exe == String::from_utf8_lossy(&mapping.path.bytes)
}

/// `path` as seen from `cwd`.
fn absolute(cwd: &[u8], path: &[u8]) -> Vec<u8> {
    if path.starts_with(b"/") {
        return path.to_vec();
    }
    let path = path.strip_prefix(b"./").unwrap_or(path);
    [cwd, b"/", path].concat()
}

fn loss(cgroup_id: Option<u64>, kind: u32, value: &zastava_common::abi::LossValue) -> Loss {
    let kind = u8::try_from(kind).ok().and_then(RecordKind::from_u8);
    Loss {
        cgroup_id,
        kind: match kind {
            Some(RecordKind::Exec) => "exec",
            Some(RecordKind::Exit) => "exit",
            Some(RecordKind::Mapping) => "mapping",
            Some(RecordKind::File) => "file",
            Some(RecordKind::Listen) => "listen",
            Some(RecordKind::CgroupMkdir) => "cgroup_mkdir",
            Some(RecordKind::CgroupRmdir) => "cgroup_rmdir",
            None => Loss::OF_UNKNOWN_KIND,
        },
        count: value.count,
        first_boot_ns: value.first_ns,
        last_boot_ns: value.last_ns,
    }
}

#[cfg(test)]
mod tests {
    use zastava_common::abi::LossValue;

    use super::{Loss, container, loss};
    use crate::{container::place, kernel::perf::assembler::LOSS_OF_UNKNOWN_KIND};

    #[test]
    fn what_perf_lost_is_of_a_kind_that_nobody_knows() {
        let value = LossValue { count: 3, first_ns: 10, last_ns: 20 };
        let told = loss(None, LOSS_OF_UNKNOWN_KIND, &value);
        assert_eq!((told.kind, told.count), (Loss::OF_UNKNOWN_KIND, 3));
    }

    #[test]
    fn a_users_cgroup_with_a_containers_name_does_not_spend_what_that_one_may() {
        let id = "0123456789abcdef".repeat(4);
        let scope = format!("docker-{id}.scope");
        let own = place(format!("/system.slice/{scope}").as_bytes());
        let by_user = |user| place(format!("/user.slice/user-{user}.slice/{scope}/below").as_bytes());
        assert_eq!(container(&own), Some(id.as_str()));
        let cgroup = format!("/user.slice/user-1000.slice/{scope}");
        assert_eq!(container(&by_user(1000)), Some(cgroup.as_str()));
        assert_ne!(container(&by_user(1000)), container(&by_user(1001)));
        assert_eq!(container(&place(b"/user.slice")), None);
    }
}
