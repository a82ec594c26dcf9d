//! The stage: a file that the kernel reported goes in, a named artifact comes out.

use std::fmt;

use rustix::fs::FileType;
use zastava_common::abi::{FileIdentity, file_flag};

use crate::kernel::record::{KernelPath, ProcessKey};
use crate::kernel::sys::stat::TMPFS;
use crate::observation::{Artifact, Content, FileOrigin, Known};
use crate::process::proc::ProcRoot;

use super::budget::{Budget, Limits};
use super::facts::{Cache, Facts, Version};
use super::open::{Opened, Opener};
use super::read::{Reader, hex, is_settled};
use super::reason;
use super::same::may_block;

/// Any execute bit of `inode.i_mode`.
const EXECUTABLE: u32 = 0o111;

/// What a file is asked for.
#[derive(Clone, Copy, Debug)]
pub struct FileRequest<'a> {
    /// As the kernel reported it; `None` where the tier cannot tell.
    pub identity: Option<&'a FileIdentity>,
    /// Absolute in the process's root.
    pub path: &'a KernelPath,
    pub process: ProcessKey,
    /// The process is known to have exited: nothing is looked for in its `/proc` directory.
    pub process_gone: bool,
    /// Raw bytes, where the kernel itself read it from the mapping.
    pub build_id: Option<&'a [u8]>,
    pub purpose: Purpose,
    /// Id of the container whose budget pays for the reading; `None`: the host's own files.
    pub container: Option<&'a str>,
}

/// Why it is asked for: decides which ways lead to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The program that the process runs.
    Exec,
    /// Mapped by the process.
    Library,
    /// Executed through an interpreter; the path may lead through symbolic links.
    Script,
    /// Written, renamed, linked or made executable.
    Created,
}

/// What the stage has done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Files that were known, without a system call.
    pub hits: u64,
    pub misses: u64,
    /// Files without a digest, by reason, in the order of [`reason::ALL`].
    pub refusals: [u64; reason::ALL.len()],
    /// Bytes read to be hashed.
    pub hashed_bytes: u64,
    /// Files remembered now.
    pub remembered: usize,
    /// Files forgotten to make room.
    pub evictions: u64,
    /// Files not remembered because their times could not yet tell a change.
    pub unsettled: u64,
    /// Mount tables read.
    pub mount_tables: u64,
}

impl Counters {
    /// Files that got no digest for this reason.
    pub fn refused(&self, reason: &'static str) -> u64 {
        reason::ALL.iter().position(|known| *known == reason).map_or(0, |place| self.refusals[place])
    }
}

/// Names files. Owned by one thread; a file that has to be read is read there and then.
pub struct FileStage {
    limits: Limits,
    clock: Box<dyn Fn() -> u64 + Send>,
    opener: Opener,
    cache: Cache,
    budget: Budget,
    reader: Reader,
    counters: Counters,
}

impl fmt::Debug for FileStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStage").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

impl FileStage {
    /// `clock` gives `CLOCK_BOOTTIME` nanoseconds.
    pub fn new(limits: Limits, proc_root: ProcRoot, clock: impl Fn() -> u64 + Send + 'static) -> Self {
        Self {
            limits,
            clock: Box::new(clock),
            opener: Opener::new(proc_root),
            cache: Cache::new(limits.cache_entries),
            budget: Budget::new(&limits),
            reader: Reader::new(),
            counters: Counters::default(),
        }
    }

    pub fn counters(&self) -> Counters {
        Counters {
            hashed_bytes: self.reader.hashed(),
            remembered: self.cache.len(),
            evictions: self.cache.evictions(),
            mount_tables: self.opener.tables(),
            ..self.counters.clone()
        }
    }

    /// Whether there is something left of this second's bytes: a file that can wait is better asked for then.
    pub fn may_read(&mut self) -> bool {
        self.budget.has_some((self.clock)())
    }

    /// Names a file as well as can be proved.
    pub fn identify(&mut self, request: &FileRequest<'_>) -> Artifact {
        let facts = match request.identity {
            Some(file) => self.reported(file, request),
            None => self.named(request),
        };
        let facts = with_hint(facts, request.build_id);
        if let Known::Not(reason) = facts.sha256
            && let Some(place) = reason::ALL.iter().position(|known| *known == reason)
        {
            self.counters.refusals[place] += 1;
        }
        let (path, raw_path) = text(&request.path.bytes);
        Artifact {
            path,
            raw_path,
            path_truncated: request.path.truncated,
            identity: request.identity.copied(),
            build_id: facts.build_id,
            sha256: facts.sha256,
            content: facts.content,
            origin: request.identity.map_or(FileOrigin::Unknown, origin),
        }
    }

    fn reported(&mut self, file: &FileIdentity, request: &FileRequest<'_>) -> Facts {
        let version = Version::from(file);
        if let Some(facts) = self.cache.get(&version) {
            self.counters.hits += 1;
            return facts;
        }
        self.counters.misses += 1;
        if FileType::from_raw_mode(file.mode) != FileType::RegularFile {
            return Facts::unknown(reason::NOT_REGULAR);
        }
        if may_block(file.fs_magic) {
            return Facts::unknown(reason::MAY_BLOCK);
        }
        let now_ns = (self.clock)();
        match self.opener.reported(file, request, now_ns) {
            Ok(opened) => self.read(version, &opened, request, now_ns),
            Err(reason) => Facts::unknown(reason),
        }
    }

    fn named(&mut self, request: &FileRequest<'_>) -> Facts {
        let now_ns = (self.clock)();
        let opened = match self.opener.named(request, now_ns) {
            Ok(opened) => opened,
            Err(reason) => {
                self.counters.misses += 1;
                return Facts::unknown(reason);
            }
        };
        let version = Version::from(&opened.sight.file);
        let mut facts = if let Some(facts) = self.cache.get(&version) {
            self.counters.hits += 1;
            facts
        } else {
            self.counters.misses += 1;
            self.read(version, &opened, request, now_ns)
        };
        // What the bytes are is sure; that they are the right ones is as sure as the way that led here.
        if let Known::Is(digest) = &mut facts.sha256 {
            digest.strength = opened.strength;
        }
        facts
    }

    fn read(&mut self, version: Version, opened: &Opened, request: &FileRequest<'_>, now_ns: u64) -> Facts {
        let size = opened.sight.file.size;
        // Of every file that is written few are programs: the first bytes tell.
        if request.purpose == Purpose::Created && opened.sight.file.mode & EXECUTABLE == 0 {
            let facts = self.reader.head(opened, reason::NOT_A_PROGRAM);
            if facts.content == Content::Other {
                return facts;
            }
        }
        let is_settled = is_settled(opened);
        let facts = if size > self.limits.max_hash_file_bytes {
            self.reader.head(opened, reason::TOO_LARGE)
        } else if let Err(reason) = self.budget.take(size, request.container, now_ns) {
            self.reader.head(opened, reason)
        } else {
            self.reader.all(opened)
        };
        if !matches!(facts.sha256, Known::Is(_) | Known::Not(reason::TOO_LARGE)) {
            return facts;
        }
        if is_settled {
            self.cache.insert(version, facts.clone());
        } else {
            self.counters.unsettled += 1;
        }
        facts
    }
}

/// The kernel read the build-id from the mapping itself: it holds where there is no other, and where there is
/// another, the file that was found is not the one mapped.
fn with_hint(mut facts: Facts, hint: Option<&[u8]>) -> Facts {
    let Some(hint) = hint else { return facts };
    match &facts.build_id {
        Known::Is(found) if is_hex_of(found, hint) => facts,
        Known::Is(_) => Facts { build_id: Known::Is(hex(hint)), ..Facts::unknown(reason::OTHER_BUILD_ID) },
        Known::Not(_) => {
            facts.build_id = Known::Is(hex(hint));
            facts
        }
    }
}

fn is_hex_of(text: &str, bytes: &[u8]) -> bool {
    let value = |digit: u8| if digit < b'a' { digit - b'0' } else { digit - b'a' + 10 };
    text.len() == 2 * bytes.len()
        && text
            .as_bytes()
            .chunks_exact(2)
            .zip(bytes)
            .all(|(two, byte)| value(two[0]) << 4 | value(two[1]) == *byte)
}

fn text(bytes: &[u8]) -> (String, Option<Vec<u8>>) {
    match str::from_utf8(bytes) {
        Ok(path) => (path.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(bytes.to_vec())),
    }
}

fn origin(file: &FileIdentity) -> FileOrigin {
    if file.flags & file_flag::INTERNAL_MOUNT != 0 {
        FileOrigin::Memory
    } else if file.flags & file_flag::OVERLAY_UNRESOLVED != 0 {
        FileOrigin::Unknown
    } else if file.flags & file_flag::OVERLAY_UPPER != 0 {
        FileOrigin::OverlayUpper
    } else if file.flags & file_flag::OVERLAY != 0 {
        FileOrigin::OverlayLower
    } else if file.fs_magic == TMPFS {
        FileOrigin::Tmpfs
    } else {
        FileOrigin::Plain
    }
}
