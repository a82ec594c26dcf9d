//! The ways to a file, the surest first, each answer compared with what the kernel reported.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use zastava_common::abi::FileIdentity;

use crate::observation::Strength;
use crate::process::proc::stat::{self, Stat};
use crate::process::proc::{ProcRoot, maps};

use super::mounts::{Mounts, Owner};
use super::reason;
use super::same::{Likeness, Sight};
use super::stage::{FileRequest, Purpose};
use super::walk::{Walk, readable};

/// A file open for reading, and how sure it is that it is the right one.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) sight: Sight,
    pub(super) strength: Strength,
}

#[derive(Debug)]
pub(super) struct Opener {
    proc_root: ProcRoot,
    mounts: Mounts,
}

/// Mappings of one file that are tried.
const MAPPINGS: usize = 4;
/// The process in whose root the host's files stand.
const INIT: u32 = 1;

impl Opener {
    pub(super) fn new(proc_root: ProcRoot) -> Self {
        Self { mounts: Mounts::new(proc_root.clone()), proc_root }
    }

    /// Mount tables read so far.
    pub(super) fn tables(&self) -> u64 {
        self.mounts.tables()
    }

    /// The file that the kernel reported.
    pub(super) fn reported(
        &mut self,
        file: &FileIdentity,
        request: &FileRequest<'_>,
        now_ns: u64,
    ) -> Result<Opened, &'static str> {
        let mut search = Search { opener: self, file, request, now_ns };
        search.by_handle().or_else(|first| {
            let second = match search.by_process() {
                Ok(opened) => return Ok(opened),
                Err(reason) => more_telling(first, reason),
            };
            // The inode was found in another state: no other way leads to the old one.
            if second == reason::CHANGED {
                return Err(second);
            }
            search.by_path().map_err(|third| more_telling(second, third))
        })
    }

    /// A file of which the kernel gave a path and nothing else.
    pub(super) fn named(&mut self, request: &FileRequest<'_>, now_ns: u64) -> Result<Opened, &'static str> {
        if request.process_gone {
            return Err(reason::PROCESS_GONE);
        }
        let table = self.mounts.table(Owner::Process(request.process.tgid), now_ns)?;
        let running = if request.purpose == Purpose::Exec { self.running(request) } else { None };
        let is_running = running.is_some();
        let found = match running {
            Some(found) => found,
            None => walk(&self.proc_root.entry(request.process.tgid, "root"), request, table.may_block())?,
        };
        let sight = Sight::of(&found)?;
        if table.device_may_block(sight.file.dev) {
            return Err(reason::MAY_BLOCK);
        }
        // Asked last: what was reached by way of this pid was then this process's.
        if !self.is_alive(request) {
            return Err(reason::PROCESS_GONE);
        }
        let is_sure = is_running && request.process.start_boot_ns != 0;
        let strength = if is_sure { Strength::Inode } else { Strength::Path };
        Ok(Opened { fd: readable(&found)?, sight, strength })
    }

    /// The program that the process runs, if its link has the path that the kernel reported.
    fn running(&self, request: &FileRequest<'_>) -> Option<OwnedFd> {
        fn name(path: &[u8]) -> &[u8] {
            path.strip_suffix(b" (deleted)").unwrap_or(path)
        }
        let exe = self.proc_root.entry(request.process.tgid, "exe");
        let found = follow(&exe).ok()?;
        let link = std::fs::read_link(&exe).ok()?.into_os_string().into_encoded_bytes();
        (name(&link) == name(&request.path.bytes)).then_some(found)
    }

    /// Whether the pid still belongs to the process meant.
    fn is_alive(&self, request: &FileRequest<'_>) -> bool {
        let Ok(bytes) = self.proc_root.read(request.process.tgid, "stat", stat::LIMIT) else { return false };
        Stat::parse(&bytes)
            .is_some_and(|stat| !stat.is_gone() && request.process.is_same_start(stat.start_boot_ns()))
    }
}

/// The search for one file.
#[derive(Debug)]
struct Search<'a> {
    opener: &'a mut Opener,
    file: &'a FileIdentity,
    request: &'a FileRequest<'a>,
    now_ns: u64,
}

impl Search<'_> {
    /// By the inode's own number, whatever became of its names and of the process.
    fn by_handle(&mut self) -> Result<Opened, &'static str> {
        let process = (!self.request.process_gone).then_some(self.request.process.tgid);
        let fd = self.opener.mounts.open_inode(self.file, process, self.now_ns)?;
        let mut sight = Sight::of(&fd)?;
        // Both are in the handle.
        sight.file.generation = self.file.generation;
        sight.file.fs_magic = self.file.fs_magic;
        accept(sight.likeness(self.file))?;
        Ok(Opened { fd, sight, strength: Strength::Inode })
    }

    /// By what the process runs or has mapped, whatever became of the path.
    fn by_process(&mut self) -> Result<Opened, &'static str> {
        if self.request.process_gone {
            return Err(reason::FILE_GONE);
        }
        match self.request.purpose {
            Purpose::Exec => self.running(),
            Purpose::Library => self.mapped(),
            Purpose::Script | Purpose::Created => Err(reason::FILE_GONE),
        }
    }

    /// Of a program that runs a later change of status is forgiven, and said by the strength: nobody can write to it
    /// (`ETXTBSY`), so one that has unlinked itself still shows what it was.
    fn running(&mut self) -> Result<Opened, &'static str> {
        let process = self.request.process;
        let found = follow(&self.opener.proc_root.entry(process.tgid, "exe"))?;
        let sight = self.look(&found, Owner::Process(process.tgid))?;
        let strength = match sight.likeness(self.file) {
            Likeness::StatusChanged if process.start_boot_ns != 0 && self.opener.is_alive(self.request) => {
                Strength::Running
            }
            likeness => accept(likeness).map(|()| Strength::Inode)?,
        };
        Ok(Opened { fd: readable(&found)?, sight, strength })
    }

    fn mapped(&mut self) -> Result<Opened, &'static str> {
        let tgid = self.request.process.tgid;
        let bytes =
            self.opener.proc_root.read(tgid, "maps", maps::LIMIT).map_err(|_| reason::PROCESS_GONE)?;
        let lines = maps::files(&bytes).filter(|line| line.ino == self.file.ino).take(MAPPINGS);
        let places: Vec<_> =
            lines.map(|line| self.opener.proc_root.map_file(tgid, line.start, line.end)).collect();
        let mut failure = reason::FILE_GONE;
        for place in places {
            let found = follow(&place);
            match found.and_then(|found| self.check(&found, Owner::Process(tgid), Strength::Inode)) {
                Ok(opened) => return Ok(opened),
                Err(reason) => failure = more_telling(failure, reason),
            }
        }
        Err(failure)
    }

    /// What stands at the path below the process's root; without a process, below the host's.
    fn by_path(&mut self) -> Result<Opened, &'static str> {
        let tgid = if self.request.process_gone { INIT } else { self.request.process.tgid };
        match self.below(Owner::Process(tgid)) {
            Err(reason::PROCESS_GONE) if tgid != INIT => self.below(Owner::Process(INIT)),
            answer => answer,
        }
    }

    fn below(&mut self, owner: Owner) -> Result<Opened, &'static str> {
        let cached = self.opener.mounts.table(owner, self.now_ns)?.may_block();
        let found = walk(&owner.root(&self.opener.proc_root), self.request, cached)?;
        self.check(&found, owner, Strength::PathChecked)
    }

    fn check(&mut self, found: &OwnedFd, owner: Owner, strength: Strength) -> Result<Opened, &'static str> {
        let sight = self.look(found, owner)?;
        accept(sight.likeness(self.file))?;
        Ok(Opened { fd: readable(found)?, sight, strength })
    }

    /// Looks at what was found in somebody's mounts. Only a file system that is the reported one, or one of those
    /// that show files under devices of their own, is asked for more.
    fn look(&mut self, found: &OwnedFd, owner: Owner) -> Result<Sight, &'static str> {
        let sight = Sight::of(found)?;
        if sight.file.dev == self.file.dev {
            return Ok(sight.on(found, self.file.fs_magic));
        }
        let table = self.opener.mounts.table(owner, self.now_ns)?;
        Ok(table.magic(sight.mount).map_or(sight, |magic| sight.on(found, magic)))
    }
}

fn accept(likeness: Likeness) -> Result<(), &'static str> {
    match likeness {
        Likeness::Same => Ok(()),
        Likeness::StatusChanged | Likeness::Written => Err(reason::CHANGED),
        Likeness::Other => Err(reason::REPLACED),
    }
}

fn walk(root: &Path, request: &FileRequest<'_>, cached: bool) -> Result<OwnedFd, &'static str> {
    if request.path.truncated {
        return Err(reason::PATH_TRUNCATED);
    }
    if !request.path.bytes.starts_with(b"/") {
        return Err(reason::NO_PATH);
    }
    let symlinks = request.purpose == Purpose::Script;
    Walk { symlinks, cached }.open(root, &request.path.bytes)
}

/// Follows one of procfs's links without opening what it leads to.
fn follow(link: &Path) -> Result<OwnedFd, &'static str> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, link, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ACCESS | Errno::PERM => reason::NO_ACCESS,
        _ => reason::PROCESS_GONE,
    })
}

/// Of two reasons the one that says more of the file.
fn more_telling(one: &'static str, other: &'static str) -> &'static str {
    let rank = |reason| match reason {
        reason::FILE_GONE => 0,
        reason::PROCESS_GONE => 1,
        reason::REPLACED => 3,
        reason::CHANGED => 4,
        _ => 2,
    };
    if rank(other) > rank(one) { other } else { one }
}
