//! What an event must be: a kind, and what its fields must hold.

use std::{fmt::Debug, os::unix::ffi::OsStrExt as _, path::Path};

use zastava_common::{
    abi::Tier,
    event::v1::{
        self, Event, File,
        event::{self, Kind},
        file,
    },
};

use crate::{fixture::Fixture, sight::Sight};

type Check = Box<dyn Fn(&Event) -> Result<(), String>>;

/// One event that must come, exactly once.
#[must_use]
pub struct Expected {
    label: String,
    kind: Kind,
    tier: Tier,
    /// May come any number of times, or not at all.
    optional: bool,
    /// Tells this event from others of its kind.
    is_it: Box<dyn Fn(&Event) -> bool>,
    checks: Vec<Check>,
}

impl Expected {
    /// An event of this kind that `is_it`.
    pub fn new(tier: Tier, kind: Kind, label: &str, is_it: impl Fn(&Event) -> bool + 'static) -> Self {
        let label = format!("{} {label}", kind.as_str_name());
        Self { label, kind, tier, optional: false, is_it: Box::new(is_it), checks: Vec::new() }
    }

    /// An event that tells nothing wrong, but is not what the scenario is about.
    pub fn maybe(tier: Tier, kind: Kind, label: &str, is_it: impl Fn(&Event) -> bool + 'static) -> Self {
        Self { optional: true, ..Self::new(tier, kind, label, is_it) }
    }

    /// A program was executed.
    pub fn exec(tier: Tier, program: &Fixture) -> Self {
        Self::exec_of(tier, &lossy(&program.path)).file(program)
    }

    /// The program at `path` was executed; the path is what it is known by.
    pub fn exec_of(tier: Tier, path: &str) -> Self {
        let (exe, is_it) = (path.to_owned(), path.to_owned());
        Self::new(tier, Kind::ProcessExec, path, move |event| file_of(event).path == is_it)
            .check("process.exe", exe, |event| process(event).exe)
            .check("process.existing", false, |event| process(event).existing)
            .check("process.argv", Vec::new(), |event| process(event).argv)
    }

    /// The process that runs `program` ended.
    pub fn exit(tier: Tier, program: &Path) -> Self {
        let path = lossy(program);
        Self::new(tier, Kind::ProcessExit, &path.clone(), move |event| process(event).exe == path)
    }

    /// A container began with this program, and its runtime, if there is one, has no name for it. Where the tier is blind to
    /// cgroups it may not be told.
    pub fn started(tier: Tier, program: &Fixture) -> Self {
        let path = lossy(&program.path);
        let this =
            Self::new(tier, Kind::ContainerStart, &path.clone(), move |event| file_of(event).path == path)
                .check("observed", event::Observed::Live, Event::observed)
                .that("the names are missing, and it says why", |event| {
                    let workload = event.workload.clone().unwrap_or_default();
                    workload.container.is_empty() && !workload.names_reason.is_empty()
                });
        Self { optional: !Sight::Cgroup.sees(tier), ..this }
    }

    /// A container ended with the process that runs this program, and nothing of it was lost.
    pub fn stopped(tier: Tier, program: &Path) -> Self {
        let path = lossy(program);
        let this =
            Self::new(tier, Kind::ContainerStop, &path.clone(), move |event| process(event).exe == path)
                .that("losses of each kind, and none lost", |event| {
                    event.losses.len() == 5 && event.losses.iter().all(|loss| loss.count == Some(0))
                });
        Self { optional: !Sight::Cgroup.sees(tier), ..this }
    }

    /// A file was mapped executable.
    pub fn library(tier: Tier, library: &Fixture) -> Self {
        let path = lossy(&library.path);
        Self::new(tier, Kind::LibraryLoad, &path.clone(), move |event| file_of(event).path == path)
            .file(library)
    }

    /// A file came to be or became executable.
    pub fn created(tier: Tier, op: file::Op, made: &Fixture) -> Self {
        Self::created_of(tier, op, &made.path).file(made)
    }

    /// The file at `path` came to be or became executable; the path is what it is known by.
    pub fn created_of(tier: Tier, op: file::Op, path: &Path) -> Self {
        let path = lossy(path);
        Self::new(tier, Kind::FileCreate, &path.clone(), move |event| {
            file_of(event).path == path && file_of(event).op == i32::from(op)
        })
    }

    /// A socket listens.
    pub fn listen(tier: Tier, address: std::net::SocketAddr) -> Self {
        let port = u32::from(address.port());
        Self::new(tier, Kind::Listen, &address.to_string(), move |event| {
            event.listen.as_ref().is_some_and(|listen| listen.port == port)
        })
        .check("listen.address", address.ip().to_string(), |event| {
            event.listen.clone().unwrap_or_default().address
        })
        .check("listen.protocol", "tcp".to_owned(), |event| event.listen.clone().unwrap_or_default().protocol)
    }

    /// The file is that very one, with these bytes; a tier that does not see what is gone may say that it does not know.
    pub fn file(self, file: &Fixture) -> Self {
        if Sight::Gone.sees(self.tier) || self.kind == Kind::FileCreate {
            self.identity(file).contents(file)
        } else {
            self.identity_or_reason(file).contents_or_reason(file)
        }
    }

    /// The file is that very one.
    pub fn identity(self, file: &Fixture) -> Self {
        let raw = file.path.to_str().is_none();
        let raw_path = if raw { crate::elf::hex(file.path.as_os_str().as_bytes()) } else { String::new() };
        self.check("file.inode", Some(file.inode), |event| file_of(event).inode)
            .check("file.device", file.device.clone(), |event| file_of(event).device)
            .check("file.rawPath", raw_path, |event| file_of(event).raw_path)
    }

    /// The file is that very one, or the event says why it does not know.
    pub fn identity_or_reason(self, file: &Fixture) -> Self {
        let (inode, device) = (file.inode, file.device.clone());
        self.that("file.inode and device are right, or it says why they are not known", move |event| {
            let File { inode: found, device: on, identity_reason, .. } = file_of(event);
            match found {
                Some(found) => found == inode && on == device,
                None => !identity_reason.is_empty(),
            }
        })
    }

    /// The file's bytes are these, and that was proved.
    pub fn contents(self, file: &Fixture) -> Self {
        self.build_id(file)
            .check("file.size", Some(file.size), |event| file_of(event).size)
            .check("file.sha256", file.sha256.clone(), |event| file_of(event).sha256)
            .that("file.sha256Strength is a proof of identity", |event| {
                use file::Strength::{ByInode, ByPathChecked, ByProcess};
                matches!(file_of(event).sha256_strength(), ByInode | ByProcess | ByPathChecked)
            })
    }

    /// The file's bytes are these, or the event says why it does not know.
    pub fn contents_or_reason(self, file: &Fixture) -> Self {
        let sha256 = file.sha256.clone();
        self.that("file.sha256 is right, or says why it is not known", move |event| {
            let File { sha256: found, sha256_reason, .. } = file_of(event);
            if found.is_empty() { !sha256_reason.is_empty() } else { found == sha256 }
        })
        .build_id_or_reason(file)
    }

    fn build_id_or_reason(self, file: &Fixture) -> Self {
        let Some(build_id) = file.build_id.clone() else { return self };
        self.that("file.buildId is right, or says why it is not known", move |event| {
            let File { build_id: found, build_id_reason, .. } = file_of(event);
            if found.is_empty() { !build_id_reason.is_empty() } else { found == build_id }
        })
    }

    fn build_id(self, file: &Fixture) -> Self {
        match file.build_id.clone() {
            Some(build_id) => self.check("file.buildId", build_id, |event| file_of(event).build_id),
            None => self,
        }
    }

    /// Who ran it: this test, directly, with these arguments, in this directory.
    pub fn run_by_me(self, pid: u32, arguments: u32, bytes: u32, directory: &Path) -> Self {
        let me = std::process::id();
        let tier = self.tier;
        let directory = lossy(directory);
        let this = self
            .check("process.pid", pid, |event| process(event).pid)
            .check("process.ppid", Some(me), |event| process(event).ppid)
            .check("process.ancestors[0].pid", Some(me), |event| {
                process(event).ancestors.first().map(|ancestor| ancestor.pid)
            });
        if !Sight::Details.sees(tier) {
            return this;
        }
        this.check("process.argc", Some(arguments), |event| process(event).argc)
            .check("process.argsLen", Some(bytes), |event| process(event).args_len)
            .check("process.cwd", directory, |event| process(event).cwd)
            .check("process.uid", Some(0), |event| process(event).uid)
            .check("process.gid", Some(0), |event| process(event).gid)
            .check("workload.platform", "host".to_owned(), |event| {
                event.workload.clone().unwrap_or_default().platform
            })
    }

    /// Ended by itself.
    pub fn with_code(self, code: u32) -> Self {
        self.ended(Some(code), None)
    }

    /// Ended by a signal.
    pub fn with_signal(self, signal: u32) -> Self {
        self.ended(None, Some(signal))
    }

    fn ended(self, code: Option<u32>, signal: Option<u32>) -> Self {
        let exit = |event: &Event| event.exit.clone().unwrap_or_default();
        if Sight::Details.sees(self.tier) {
            self.check("exit.code", code, move |event| exit(event).code)
                .check("exit.signal", signal, move |event| exit(event).signal)
                .that("exit.durationNs is known", move |event| {
                    exit(event).duration_ns.is_some_and(|ns| ns > 0)
                })
        } else {
            self.that("exit.reason says why there is no code", move |event| !exit(event).reason.is_empty())
                .that("exit.durationNs is known, or it says why not", move |event| {
                    exit(event).duration_ns.is_some() || !exit(event).duration_reason.is_empty()
                })
        }
    }

    /// A field must hold a value.
    pub fn check<T: Debug + PartialEq + 'static>(
        mut self,
        field: &'static str,
        expected: T,
        found: impl Fn(&Event) -> T + 'static,
    ) -> Self {
        self.checks.push(Box::new(move |event| {
            let found = found(event);
            if found == expected { Ok(()) } else { Err(format!("{field} is {found:?}, not {expected:?}")) }
        }));
        self
    }

    /// Something must hold.
    pub fn that(mut self, what: &'static str, holds: impl Fn(&Event) -> bool + 'static) -> Self {
        self.checks
            .push(Box::new(move |event| if holds(event) { Ok(()) } else { Err(format!("not so: {what}")) }));
        self
    }

    /// Several things must hold; what does not is told.
    pub fn holds(mut self, faults: impl Fn(&Event) -> Vec<String> + 'static) -> Self {
        self.checks.push(Box::new(move |event| match faults(event) {
            faults if faults.is_empty() => Ok(()),
            faults => Err(faults.join("; ")),
        }));
        self
    }

    pub fn matches(&self, event: &Event) -> bool {
        event.kind() == self.kind && (self.is_it)(event)
    }

    /// What is wrong with an event that matches.
    pub fn faults(&self, event: &Event) -> Vec<String> {
        self.checks.iter().filter_map(|check| check(event).err()).collect()
    }

    pub fn is_optional(&self) -> bool {
        self.optional
    }

    pub fn label(&self) -> &str {
        &self.label
    }
}

/// The process, or an empty one.
pub fn process(event: &Event) -> v1::Process {
    event.process.clone().unwrap_or_default()
}

/// The file, or an empty one.
pub fn file_of(event: &Event) -> File {
    event.file.clone().unwrap_or_default()
}

/// The container's id without the name of its engine; empty where the event names no container.
pub fn id_of(event: &Event) -> String {
    let id = event.workload.as_ref().map(|workload| workload.container_id.clone()).unwrap_or_default();
    id.split_once("://").map_or_else(|| id.clone(), |(_, id)| id.to_owned())
}

pub fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
