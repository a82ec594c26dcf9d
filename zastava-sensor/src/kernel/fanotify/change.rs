//! What an event means: created, overwritten, renamed, linked into place, made executable.
//!
//! fanotify says that an entry appeared, not why: a new file and a link look alike, and so do chmod, chown and utimes.
//! What came before tells them apart, as far as it is remembered:
//! - link and unlink change a file's link count, which is told of the file without a name; creation does not. So an
//!   entry that appears after such an event is a link (`fsnotify_link`, include/linux/fsnotify.h).
//! - A change of attributes that leaves the file executable counts as chmod once, until it is seen not executable.
//!
//! The file is looked at when the event is read, not when it happened: its link count and mode may be newer.

use hashlink::LruCache;
use zastava_common::abi::{FileIdentity, FileOp};

use crate::kernel::sys::handle::Handle;

/// Device, inode and generation: an inode's number is soon another file's.
type FileKey = (u32, u64, u32);

/// Files that were seen lately; memories of a fixed size.
#[derive(Debug)]
pub(super) struct Changes {
    /// Entries that appeared and wait for their file to be closed.
    created: LruCache<FileKey, ()>,
    /// Files whose link count changed.
    counted: LruCache<Handle, ()>,
    /// Files linked into place, with size and modification time as they were.
    linked: LruCache<FileKey, (u64, i64)>,
    /// Files that were told to be executable.
    executable: LruCache<FileKey, ()>,
}

/// One event's file as it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) file: &'a FileIdentity,
    /// `None`: its file system has none.
    pub(super) handle: Option<Handle>,
    pub(super) name: &'a [u8],
}

impl Changes {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            created: LruCache::new(capacity),
            counted: LruCache::new(capacity),
            linked: LruCache::new(capacity),
            executable: LruCache::new(capacity),
        }
    }

    /// The link count of a file changed.
    pub(super) fn count_changed(&mut self, handle: Handle) {
        self.counted.insert(handle, ());
    }

    /// What the bits of one event tell, in the order in which they can have happened.
    pub(super) fn judge(&mut self, mask: u64, seen: &Seen<'_>) -> Vec<FileOp> {
        let mut ops = Vec::new();
        if mask & libc::FAN_CREATE != 0 {
            ops.extend(self.appeared(seen));
        }
        if mask & libc::FAN_MOVED_TO != 0 {
            ops.push(FileOp::Rename);
        }
        if seen.file.mode & 0o111 == 0 {
            self.executable.remove(&seen.key());
        } else if mask & libc::FAN_ATTRIB != 0 && self.executable.insert(seen.key(), ()).is_none() {
            ops.push(FileOp::Chmod);
        }
        if mask & libc::FAN_CLOSE_WRITE != 0 {
            ops.extend(self.closed(seen));
        }
        ops
    }

    fn appeared(&mut self, seen: &Seen<'_>) -> Option<FileOp> {
        let is_link = match &seen.handle {
            Some(handle) => self.counted.get(handle).is_some(),
            None => seen.file.nlink > 1,
        };
        if is_link {
            self.linked.insert(seen.key(), (seen.file.size, seen.file.mtime_ns));
            return Some(FileOp::Link);
        }
        self.created.insert(seen.key(), ());
        None
    }

    fn closed(&mut self, seen: &Seen<'_>) -> Option<FileOp> {
        if seen.file.nlink == 0 {
            return None;
        }
        if self.created.remove(&seen.key()).is_some() {
            return Some(FileOp::Create);
        }
        let unchanged =
            seen.is_nameless() && self.linked.get(&seen.key()) == Some(&(seen.file.size, seen.file.mtime_ns));
        (!unchanged).then_some(FileOp::Write)
    }
}

impl Seen<'_> {
    fn key(&self) -> FileKey {
        (self.file.dev, self.file.ino, self.file.generation)
    }

    /// The event carries the name that the kernel makes up for an `O_TMPFILE` (`d_mark_tmpfile`, fs/dcache.c).
    pub(super) fn is_nameless(&self) -> bool {
        self.name.strip_prefix(b"#") == Some(self.file.ino.to_string().as_bytes())
    }
}
