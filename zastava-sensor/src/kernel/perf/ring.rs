//! The memory that a perf event shares with the kernel: one page of control data, then a ring of records.
//!
//! The kernel writes between `data_tail` and `data_tail + size` and publishes by `data_head`; it does not touch what
//! stands between tail and head until the tail has moved (`perf_output_put_handle`, kernel/events/ring_buffer.c).
//! Records are copied out before the tail moves: nobody holds a reference into the ring.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// `offsetof(struct perf_event_mmap_page, data_head)`.
const DATA_HEAD: usize = 1024;
/// `offsetof(struct perf_event_mmap_page, data_tail)`.
const DATA_TAIL: usize = 1032;
/// `struct perf_event_header`: type, misc, size.
const HEADER: u64 = 8;

#[derive(Debug)]
pub(super) struct Ring {
    fd: OwnedFd,
    base: NonNull<u8>,
    page: usize,
    /// Bytes of records: a power of two.
    size: usize,
}

// SAFETY: the mapping belongs to this value alone and `read` takes it exclusively; no thread-local state is involved.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the event's ring of `size` bytes, which must be a power of two and at least a page.
    ///
    /// `EPERM`: `kernel.perf_event_mlock_kb` (per CPU) plus `RLIMIT_MEMLOCK` do not allow that much without `CAP_IPC_LOCK`.
    pub(super) fn map(fd: OwnedFd, size: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        if !size.is_power_of_two() || size < page {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: a new mapping at an address of the kernel's choice; nothing existing is replaced.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                page + size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { fd, base, page, size })
    }

    /// Hands each record that stands in the ring now to `sink` and frees its room.
    ///
    /// A length that no record can have means that the ring's contents cannot be followed any more: everything up to
    /// the head is then dropped and `false` returned.
    #[must_use]
    pub(super) fn read(&mut self, scratch: &mut Vec<u8>, mut sink: impl FnMut(&[u8])) -> bool {
        let head = self.word(DATA_HEAD).load(Ordering::Acquire);
        let mut tail = self.word(DATA_TAIL).load(Ordering::Relaxed);
        let mut sound = head.wrapping_sub(tail) <= self.size as u64;
        while sound && tail != head {
            let left = head.wrapping_sub(tail);
            let len = u64::from(self.record_len(tail));
            if len < HEADER || len > left || !len.is_multiple_of(8) {
                sound = false;
                break;
            }
            self.copy(tail, len as usize, scratch);
            sink(scratch);
            tail = tail.wrapping_add(len);
            self.word(DATA_TAIL).store(tail, Ordering::Release);
        }
        self.word(DATA_TAIL).store(head, Ordering::Release);
        sound
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: both offsets lie in the control page, which is mapped as long as `self`, and are multiples of 8 from
        // a page boundary; the kernel accesses these words atomically as well.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast()) }
    }

    /// `perf_event_header.size`: records are multiples of 8 bytes, so a header never wraps round.
    fn record_len(&self, at: u64) -> u16 {
        let offset = at as usize & (self.size - 1) & !7;
        let mut size = [0; 2];
        // SAFETY: `offset + 8` is within the `size` bytes behind the control page, so bytes 6 and 7 of the header are.
        unsafe {
            let header = self.base.as_ptr().add(self.page + offset);
            ptr::copy_nonoverlapping(header.add(6), size.as_mut_ptr(), size.len());
        }
        u16::from_ne_bytes(size)
    }

    /// Copies `len` bytes, at most the ring's size, from position `at` into `out`.
    fn copy(&self, at: u64, len: usize, out: &mut Vec<u8>) {
        let len = len.min(self.size);
        let offset = at as usize & (self.size - 1);
        let first = len.min(self.size - offset);
        out.clear();
        out.reserve(len);
        // SAFETY: `offset + first` and `len - first` are at most `size`, so both reads stay in the mapping; `out` has
        // room for `len` bytes and all of them are written; the kernel leaves bytes between tail and head alone.
        unsafe {
            let data = self.base.as_ptr().add(self.page);
            ptr::copy_nonoverlapping(data.add(offset), out.as_mut_ptr(), first);
            ptr::copy_nonoverlapping(data, out.as_mut_ptr().add(first), len - first);
            out.set_len(len);
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: `base` and the length are those of the mapping made in `map`, which nobody else refers to.
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.page + self.size);
        }
    }
}
