//! Side-band records as bytes: the decoder. Nothing here trusts a length.

use std::borrow::Cow;

use thiserror::Error;

/// What one record tells; the path is borrowed from the bytes decoded until [`Record::into_owned`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record<'a> {
    pub pid: u32,
    pub tid: u32,
    pub cpu: u32,
    /// `CLOCK_BOOTTIME` nanoseconds.
    pub time: u64,
    pub kind: Kind<'a>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind<'a> {
    Mmap(Mmap<'a>),
    Comm {
        comm: Vec<u8>,
        exec: bool,
    },
    Fork(Task),
    Exit(Task),
    /// Records that did not fit the ring; their kinds are not known.
    Lost(u64),
}

/// An executable mapping, or an existing one whose protection changed (`mprotect` makes the same record).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mmap<'a> {
    pub addr: u64,
    pub len: u64,
    pub pgoff: u64,
    /// `PROT_*` bits.
    pub prot: u32,
    pub flags: u32,
    /// As `d_path` gives it to the process; `//anon`, `[vdso]` and their like for what is no file.
    pub path: Cow<'a, [u8]>,
    pub build_id: Option<BuildId>,
    pub inode: Option<Inode>,
}

/// The file behind a mapping as the virtual file system names it (an overlay's own inode from 6.8 on).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Inode {
    pub major: u32,
    pub minor: u32,
    pub ino: u64,
    pub generation: u64,
}

/// At most 20 bytes (`BUILD_ID_SIZE_MAX`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BuildId {
    len: u8,
    bytes: [u8; 20],
}

impl BuildId {
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut id = Self { len: u8::try_from(bytes.len()).ok()?, bytes: [0; 20] };
        id.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        (!bytes.is_empty()).then_some(id)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Of a fork the new task, of an exit the ended one, each with its parent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Task {
    pub pid: u32,
    pub ppid: u32,
    pub tid: u32,
    pub ptid: u32,
}

#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DecodeError {
    #[error("perf record of {0} bytes is shorter than its fields")]
    Short(usize),
    #[error("perf record says that it has {said} bytes and has {has}")]
    Length { said: u16, has: usize },
    #[error("perf record of type {0} was not asked for")]
    Kind(u32),
    #[error("perf record has a text without end")]
    Text,
    #[error("perf record has a build-id of {0} bytes")]
    BuildId(u8),
}

const PERF_RECORD_LOST: u32 = 2;
const PERF_RECORD_COMM: u32 = 3;
const PERF_RECORD_EXIT: u32 = 4;
const PERF_RECORD_FORK: u32 = 7;
const PERF_RECORD_MMAP2: u32 = 10;
const MISC_COMM_EXEC: u16 = 1 << 13;
const MISC_MMAP_BUILD_ID: u16 = 1 << 14;

/// pid, tid, time, event, CPU, reserved: what `sample_id_all` adds to each record.
const SAMPLE_ID: usize = 32;
const HEADER: usize = 8;

/// Decodes one whole record.
///
/// `inode_event` is the event that was not asked for build-ids. Its records may be marked as having one all the same:
/// the kernel sets the mark for another event, ours or a stranger's, and does not take it back for the next
/// (`perf_event_mmap_output`; seen on 6.18). An inode must not be read as a build-id.
pub fn decode(bytes: &[u8], inode_event: Option<u64>) -> Result<Record<'_>, DecodeError> {
    let short = DecodeError::Short(bytes.len());
    let mut header = Fields(bytes);
    let kind = header.u32().ok_or(short)?;
    let misc = header.u16().ok_or(short)?;
    let said = header.u16().ok_or(short)?;
    if usize::from(said) != bytes.len() {
        return Err(DecodeError::Length { said, has: bytes.len() });
    }
    let body_end = bytes.len().checked_sub(SAMPLE_ID).filter(|end| *end >= HEADER).ok_or(short)?;
    let (body, sample) = bytes.split_at(body_end);
    let mut body = Fields(&body[HEADER..]);
    let mut sample = Fields(sample);
    let pid = sample.u32().ok_or(short)?;
    let tid = sample.u32().ok_or(short)?;
    let time = sample.u64().ok_or(short)?;
    let event = sample.u64().ok_or(short)?;
    let cpu = sample.u32().ok_or(short)?;
    let kind = match kind {
        PERF_RECORD_MMAP2 => {
            let has_build_id = misc & MISC_MMAP_BUILD_ID != 0 && inode_event != Some(event);
            Kind::Mmap(body.mmap(has_build_id, short)?)
        }
        PERF_RECORD_COMM => {
            body.u64().ok_or(short)?; // pid, tid: the same as in the sample
            Kind::Comm { comm: body.text()?.to_vec(), exec: misc & MISC_COMM_EXEC != 0 }
        }
        PERF_RECORD_FORK => Kind::Fork(body.task().ok_or(short)?),
        PERF_RECORD_EXIT => Kind::Exit(body.task().ok_or(short)?),
        PERF_RECORD_LOST => {
            body.u64().ok_or(short)?; // id of the event
            Kind::Lost(body.u64().ok_or(short)?)
        }
        other => return Err(DecodeError::Kind(other)),
    };
    Ok(Record { pid, tid, cpu, time, kind })
}

impl Record<'_> {
    pub fn into_owned(self) -> Record<'static> {
        let Self { pid, tid, cpu, time, kind } = self;
        let kind = match kind {
            Kind::Mmap(mmap) => {
                let Mmap { addr, len, pgoff, prot, flags, path, build_id, inode } = mmap;
                let path = Cow::Owned(path.into_owned());
                Kind::Mmap(Mmap { addr, len, pgoff, prot, flags, path, build_id, inode })
            }
            Kind::Comm { comm, exec } => Kind::Comm { comm, exec },
            Kind::Fork(task) => Kind::Fork(task),
            Kind::Exit(task) => Kind::Exit(task),
            Kind::Lost(count) => Kind::Lost(count),
        };
        Record { pid, tid, cpu, time, kind }
    }
}

impl Mmap<'_> {
    /// The mapping can be executed and has a file behind it.
    pub fn is_executable_file(&self) -> bool {
        const PROT_EXEC: u32 = 4;
        self.prot & PROT_EXEC != 0 && self.path.starts_with(b"/") && !self.path.starts_with(b"//")
    }

    /// The path without the mark that `d_path` puts behind the name of an unlinked file.
    pub fn name(&self) -> &[u8] {
        strip_deleted(&self.path)
    }
}

pub(super) fn strip_deleted(path: &[u8]) -> &[u8] {
    path.strip_suffix(b" (deleted)").unwrap_or(path)
}

/// A cursor over fields in the machine's own byte order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_ne_bytes)
    }

    /// The rest, up to its NUL.
    fn text(&mut self) -> Result<&'a [u8], DecodeError> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(DecodeError::Text)?;
        Ok(&self.0[..end])
    }

    fn task(&mut self) -> Option<Task> {
        let pid = self.u32()?;
        let ppid = self.u32()?;
        let tid = self.u32()?;
        let ptid = self.u32()?;
        Some(Task { pid, ppid, tid, ptid })
    }

    fn mmap(&mut self, has_build_id: bool, short: DecodeError) -> Result<Mmap<'a>, DecodeError> {
        self.u64().ok_or(short)?; // pid, tid: the same as in the sample
        let addr = self.u64().ok_or(short)?;
        let len = self.u64().ok_or(short)?;
        let pgoff = self.u64().ok_or(short)?;
        let file: [u8; 24] = self.array().ok_or(short)?;
        let (mut build_id, mut inode) = (None, None);
        if has_build_id {
            let id = file.get(4..4 + usize::from(file[0])).ok_or(DecodeError::BuildId(file[0]))?;
            build_id = BuildId::new(id);
        } else {
            let mut file = Fields(&file);
            let major = file.u32().ok_or(short)?;
            let minor = file.u32().ok_or(short)?;
            let ino = file.u64().ok_or(short)?;
            let generation = file.u64().ok_or(short)?;
            inode = Some(Inode { major, minor, ino, generation });
        }
        let prot = self.u32().ok_or(short)?;
        let flags = self.u32().ok_or(short)?;
        let path = Cow::Borrowed(self.text()?);
        Ok(Mmap { addr, len, pgoff, prot, flags, path, build_id, inode })
    }
}
