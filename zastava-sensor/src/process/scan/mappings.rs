//! Files that a running process has mapped executable.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use hashlink::LruCache;
use rustix::fs::{AtFlags, CWD, MemfdFlags, Mode, OFlags, StatxFlags};
use zastava_common::abi::{FileIdentity, file_flag};

use crate::kernel::record::{KernelPath, Mapping};
use crate::kernel::sys::handle::Handle;
use crate::kernel::sys::stat::{Magics, identity, kernel_dev};
use crate::process::proc::{ProcRoot, maps};

/// Files remembered as told; when more are mapped, some are told twice.
const TOLD: usize = 65_536;

/// Identifies mapped files and tells each once for a cgroup.
#[derive(Debug)]
pub(super) struct MappedFiles {
    told: LruCache<(Option<u64>, u32, u64), ()>,
    magics: Magics,
    /// Device of the kernel's internal tmpfs, which holds memfds.
    internal: Option<u32>,
}

impl MappedFiles {
    pub(super) fn new() -> Self {
        let memfd = rustix::fs::memfd_create(c"zastava", MemfdFlags::CLOEXEC);
        let internal = memfd.and_then(|memfd| {
            let stat = rustix::fs::statx(&memfd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
            Ok(kernel_dev(stat.stx_dev_major, stat.stx_dev_minor))
        });
        Self { told: LruCache::new(TOLD), magics: Magics::new(), internal: internal.ok() }
    }

    /// The program that a process runs.
    pub(super) fn program(&mut self, proc: &ProcRoot, tgid: u32) -> Option<FileIdentity> {
        self.identify(&proc.entry(tgid, "exe"))
    }

    /// Executable mappings of files that no process of the cgroup had before. What vanishes meanwhile is passed over.
    pub(super) fn executable(&mut self, proc: &ProcRoot, tgid: u32, cgroup_id: Option<u64>) -> Vec<Mapping> {
        let bytes = proc.read(tgid, "maps", maps::LIMIT).unwrap_or_default();
        let mut mappings = Vec::new();
        for line in maps::files(&bytes).filter(|line| line.executable) {
            if self.told.insert((cgroup_id, kernel_dev(line.major, line.minor), line.ino), ()).is_none() {
                mappings.push(self.mapping(proc, tgid, &line));
            }
        }
        mappings
    }

    /// Executable mappings of files, each file once, of those that `known` does not know by their paths.
    pub(super) fn sample(
        &mut self,
        proc: &ProcRoot,
        tgid: u32,
        known: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Vec<Mapping>> {
        let bytes = proc.read(tgid, "maps", maps::LIMIT)?;
        let mut files = HashSet::new();
        let lines = maps::files(&bytes).filter(|line| line.executable && !known(line.path));
        let lines = lines.filter(|line| files.insert((line.major, line.minor, line.ino)));
        Ok(lines.map(|line| self.mapping(proc, tgid, &line)).collect())
    }

    fn mapping(&mut self, proc: &ProcRoot, tgid: u32, line: &maps::Line<'_>) -> Mapping {
        let entry = proc.map_file(tgid, line.start, line.end);
        let named = std::fs::read_link(&entry).map(PathBuf::into_os_string).map(OsStringExt::into_vec);
        let mut path = named.unwrap_or_else(|_| line.path.to_vec());
        let file = self.identify(&entry).or_else(|| {
            // Without the capability for map_files: by name, if that is still the file which is mapped.
            let name = Path::new(OsStr::from_bytes(&path)).strip_prefix("/").ok()?;
            let found = self.identify(&proc.entry(tgid, "root").join(name))?;
            (found.ino == line.ino && found.dev == kernel_dev(line.major, line.minor)).then_some(found)
        });
        // The mark of an unlinked file; where the file cannot be asked, the mark is believed.
        if file.is_none_or(|file| file.nlink == 0)
            && let Some(plain) = path.strip_suffix(b" (deleted)")
        {
            path.truncate(plain.len());
        }
        Mapping {
            file,
            image: 0,
            path: KernelPath { bytes: path, truncated: false },
            build_id: None,
            by_protect: false,
        }
    }

    fn identify(&mut self, path: &Path) -> Option<FileIdentity> {
        // O_PATH: whatever the file is, opening it has no effect.
        let file = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let stat = rustix::fs::statx(&file, c"", flags, StatxFlags::BASIC_STATS).ok()?;
        let dev = kernel_dev(stat.stx_dev_major, stat.stx_dev_minor);
        let magic = self.magics.of(dev, || rustix::fs::fstatfs(&file));
        let handle = Handle::of(std::os::fd::AsFd::as_fd(&file)).ok();
        let generation = handle.and_then(|handle| handle.generation(magic)).unwrap_or(0);
        let mut identity = identity(&stat, generation, magic);
        if self.internal == Some(dev) {
            identity.flags |= file_flag::INTERNAL_MOUNT;
        }
        Some(identity)
    }
}
