//! What is known of a file's content, and for which state of the file it holds.

use std::sync::Arc;

use hashlink::LruCache;
use zastava_common::abi::FileIdentity;

use crate::observation::{Content, Digest, Known};

/// A state of an inode: content that was read for it holds until one of these changes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Version {
    ino: u64,
    dev: u32,
    generation: u32,
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
}

impl From<&FileIdentity> for Version {
    fn from(identity: &FileIdentity) -> Self {
        let FileIdentity { ino, dev, generation, size, mtime_ns, ctime_ns, .. } = *identity;
        Self { ino, dev, generation, size, mtime_ns, ctime_ns }
    }
}

/// What the bytes say.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) build_id: Known<Arc<str>>,
    pub(super) sha256: Known<Digest>,
    pub(super) content: Content,
}

impl Facts {
    pub(super) fn unknown(reason: &'static str) -> Self {
        Self { build_id: Known::Not(reason), sha256: Known::Not(reason), content: Content::Unknown }
    }
}

/// The files read last.
#[derive(Debug)]
pub(super) struct Cache {
    files: LruCache<Version, Facts>,
    evictions: u64,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { files: LruCache::new(capacity), evictions: 0 }
    }

    pub(super) fn get(&mut self, version: &Version) -> Option<Facts> {
        self.files.get(version).cloned()
    }

    pub(super) fn insert(&mut self, version: Version, facts: Facts) {
        let full = self.files.len() == self.files.capacity();
        if self.files.insert(version, facts).is_none() && full {
            self.evictions += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Files forgotten to make room.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }
}
