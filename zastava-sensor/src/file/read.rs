//! One read of a file: its digest, its build-id and what kind of file it is.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::observation::{Content, Digest, Known};

use super::elf::{self, ElfError, ReadAt};
use super::facts::Facts;
use super::open::Opened;
use super::reason;
use super::same::Sight;

/// Bytes read at a time.
const BUFFER: usize = 256 << 10;
/// Bytes read of a file that is not hashed: its headers and, as linkers lay files out, its notes.
const HEAD: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    /// Bytes hashed so far.
    hashed: u64,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER], hashed: 0 }
    }

    pub(super) fn hashed(&self) -> u64 {
        self.hashed
    }

    /// Reads the whole file.
    pub(super) fn all(&mut self, opened: &Opened) -> Facts {
        let size = opened.sight.file.size;
        if size > BUFFER as u64 {
            // The kernel then reads further ahead; it is no worse if it does not.
            let _ = fadvise(&opened.fd, 0, None, Advice::Sequential);
        }
        let mut hash = Context::new(&SHA256);
        let mut head = None;
        let mut offset = 0;
        loop {
            let Ok(len) = read_at(&opened.fd, offset, &mut self.buffer) else {
                return Facts::unknown(reason::READ_FAILED);
            };
            let chunk = &self.buffer[..len];
            // The headers stand in the first bytes, where they are still at hand.
            head.get_or_insert_with(|| look(chunk, &opened.fd));
            hash.update(chunk);
            offset += len as u64;
            self.hashed += len as u64;
            if len == 0 || offset > size {
                break;
            }
        }
        let (content, build_id) = head.unwrap_or((Content::Unknown, Known::Not(reason::READ_FAILED)));
        if offset != size || !is_unchanged(opened) {
            return Facts::unknown(reason::CHANGED_WHILE_READ);
        }
        let digest = Digest { sha256: hex(hash.finish().as_ref()), strength: opened.strength };
        Facts { build_id, sha256: Known::Is(digest), content }
    }

    /// Reads the first bytes and the notes; why there is no digest is given.
    pub(super) fn head(&mut self, opened: &Opened, no_digest: &'static str) -> Facts {
        let Ok(len) = read_at(&opened.fd, 0, &mut self.buffer[..HEAD]) else {
            return Facts::unknown(reason::READ_FAILED);
        };
        let (content, build_id) = look(&self.buffer[..len], &opened.fd);
        if !is_unchanged(opened) {
            return Facts::unknown(reason::CHANGED_WHILE_READ);
        }
        Facts { build_id, sha256: Known::Not(no_digest), content }
    }
}

fn is_unchanged(opened: &Opened) -> bool {
    Sight::of(&opened.fd).is_ok_and(|now| {
        let (now, then) = (now.file, opened.sight.file);
        (now.size, now.mtime_ns, now.ctime_ns) == (then.size, then.mtime_ns, then.ctime_ns)
    })
}

/// Whether a later change of the file would show in its times.
///
/// A file system stamps changes with a clock that ticks a few times in a hundredth of a second, a few with one of
/// two seconds: what is written in the tick of the last change leaves the times as they are.
pub(super) fn is_settled(opened: &Opened) -> bool {
    const SECOND: i64 = 1_000_000_000;
    let ctime = opened.sight.file.ctime_ns;
    let now = clock_gettime(ClockId::RealtimeCoarse);
    let now = now.tv_sec.saturating_mul(SECOND).saturating_add(now.tv_nsec);
    let granularity = if ctime % SECOND == 0 { 2 * SECOND } else { 0 };
    now.saturating_sub(granularity) > ctime
}

fn look(head: &[u8], fd: &OwnedFd) -> (Content, Known<Arc<str>>) {
    if head.starts_with(b"#!") {
        return (Content::Script, Known::Not(reason::NOT_ELF));
    }
    if !elf::is_elf(head) {
        return (Content::Other, Known::Not(reason::NOT_ELF));
    }
    let build_id = match elf::build_id(&Begun { head, fd }) {
        Ok(bytes) => Known::Is(hex(&bytes)),
        Err(error) => Known::Not(match error {
            ElfError::NotElf => reason::NOT_ELF,
            ElfError::Malformed => reason::MALFORMED_ELF,
            ElfError::NoBuildId => reason::NO_BUILD_ID,
            ElfError::Read(_) => reason::READ_FAILED,
        }),
    };
    (Content::Elf, build_id)
}

/// A file whose first bytes have been read.
#[derive(Debug)]
struct Begun<'a> {
    head: &'a [u8],
    fd: &'a OwnedFd,
}

impl ReadAt for Begun<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let end = offset.saturating_add(buffer.len() as u64);
        if end <= self.head.len() as u64 {
            return self.head.read_at(offset, buffer);
        }
        Ok(read_at(self.fd, offset, buffer)?)
    }
}

/// Fills the buffer as far as the file has bytes.
fn read_at(fd: &OwnedFd, offset: u64, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(fd, &mut buffer[filled..], offset.saturating_add(filled as u64)) {
            // The end, or an offset beyond what a file can have.
            Ok(0) | Err(Errno::INVAL) => break,
            Ok(len) => filled += len,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let text: String = bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect();
    text.into()
}
