//! The walk of one record through the stages process, container and file.

use zastava_common::abi::{FileIdentity, RecordKind};

use super::first_seen::FirstSeen;
use crate::{
    container::CgroupInventory,
    file::{FileRequest, FileStage, Purpose},
    kernel::record::{Exec, FileChange, KernelPath, KernelRecord, Mapping, Origin, What},
    observation::{Artifact, Content, Fact, Loss, Observation, Place, Process},
    process::ProcessTable,
};

/// Any execute bit of `inode.i_mode`.
const EXECUTABLE: u32 = 0o111;

/// The three stages, in their order.
pub(super) struct Observer {
    pub(super) process: ProcessTable,
    pub(super) container: CgroupInventory,
    pub(super) file: FileStage,
    /// Mappings.
    pub(super) told: FirstSeen,
    /// Keep argument texts.
    pub(super) diagnostics: bool,
}

impl Observer {
    /// What a record means; `None` where it only taught the stages something, or is not worth an event.
    pub(super) fn observe(&mut self, record: KernelRecord) -> Option<Observation> {
        let KernelRecord { mut origin, what } = record;
        let (process, container, fact) = match what {
            What::CgroupMkdir(made) => {
                self.container.made(&made, origin.boot_ns);
                return None;
            }
            What::CgroupRmdir(removed) => {
                self.container.removed(&removed, origin.boot_ns);
                return None;
            }
            What::Loss { key, value } => {
                let container = self.container.place(&origin);
                (None, container, Fact::Loss(loss(origin.cgroup_id, key.kind, &value)))
            }
            What::Exec(exec) => {
                let process = self.process.exec(&mut origin, &exec, self.diagnostics)?;
                let container = self.container.place(&origin);
                let fact = self.exec(&origin, &container, &exec);
                (Some(process), container, fact)
            }
            What::Exit(exit) => {
                let exited = self.process.exit(&mut origin, &exit);
                let container = self.container.place(&origin);
                let process = exited.found.map(|found| found.process);
                (process, container, Fact::Exit { exit, duration_ns: exited.duration_ns })
            }
            What::Mapping(mapping) => {
                let process = self.process.look_up(&mut origin, mapping.image).map(|found| found.process);
                if process.as_ref().is_some_and(|process| is_own_program(process, &mapping))
                    || !self.told.is_first(&origin, &mapping)
                {
                    return None;
                }
                let container = self.container.place(&origin);
                let Mapping { file, path, build_id, by_protect, image: _ } = &mapping;
                let artifact =
                    self.identify(&origin, &container, *file, path, build_id.as_deref(), Purpose::Library);
                (process, container, Fact::Library { artifact, by_protect: *by_protect })
            }
            What::File(change) => {
                let process = self.process.look_up(&mut origin, 0).map(|found| found.process);
                let container = self.container.place(&origin);
                let fact = self.file_change(&origin, &container, change)?;
                (process, container, fact)
            }
            What::Listen(listen) => {
                let process = self.process.look_up(&mut origin, 0).map(|found| found.process);
                let container = self.container.place(&origin);
                (process, container, Fact::Listen(listen))
            }
        };
        Some(Observation { origin, process, container, fact })
    }

    fn exec(&mut self, origin: &Origin, place: &Place, exec: &Exec) -> Fact {
        let program =
            self.identify(origin, place, exec.file, &exec.exe, exec.build_id.as_deref(), Purpose::Exec);
        let script = exec.is_script.then(|| {
            let path = KernelPath { bytes: absolute(&exec.cwd.bytes, &exec.filename), truncated: false };
            self.identify(origin, place, exec.script, &path, None, Purpose::Script)
        });
        Fact::Exec { program, script }
    }

    /// Only files that are programs by their content or their mode are worth an event.
    fn file_change(&mut self, origin: &Origin, place: &Place, change: FileChange) -> Option<Fact> {
        let artifact = self.identify(origin, place, change.file, &change.path, None, Purpose::Created);
        let executable = change.file.is_some_and(|file| file.mode & EXECUTABLE != 0);
        let program = matches!(artifact.content, Content::Elf | Content::Script);
        (executable || program).then_some(Fact::FileCreate { change, artifact })
    }

    fn identify(
        &mut self,
        origin: &Origin,
        place: &Place,
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
            // The container's budget pays for its files.
            container: origin.cgroup_id.filter(|_| matches!(place, Place::Container(_))),
        })
    }
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
            None => "unknown",
        },
        count: value.count,
        first_boot_ns: value.first_ns,
        last_boot_ns: value.last_ns,
    }
}
