//! Three operations by io_uring (include/uapi/linux/io_uring.h), without a library.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

/// Words of `struct io_uring_params`: ten of its own, then ten of `sq_off` and ten of `cq_off`.
type Params = [u32; 30];
const SQ_ENTRIES: usize = 0;
const CQ_ENTRIES: usize = 1;
const SQ_TAIL: usize = 11;
const SQ_ARRAY: usize = 16;
const CQ_HEAD: usize = 20;
const CQ_CQES: usize = 25;

const IORING_OFF_SQES: i64 = 0x1000_0000;
const IORING_ENTER_GETEVENTS: u32 = 1;
const IORING_OP_OPENAT: u8 = 18;
const IORING_OP_CLOSE: u8 = 19;
const IORING_OP_WRITE: u8 = 23;

/// A queue of one entry.
pub(super) struct Uring {
    fd: OwnedFd,
    params: Params,
    rings: *mut libc::c_void,
    entries: *mut libc::c_void,
    done: u32,
}

/// The fields of `struct io_uring_sqe` that the three operations use.
#[derive(Default)]
struct Entry {
    opcode: u8,
    fd: RawFd,
    address: u64,
    len: u32,
    op_flags: u32,
}

impl Uring {
    pub(super) fn new() -> io::Result<Self> {
        let mut params: Params = [0; 30];
        // SAFETY: the kernel fills the 120 bytes of `params`.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that the kernel has just made for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
        let submissions = params[SQ_ARRAY] + params[SQ_ENTRIES] * 4;
        let completions = params[CQ_CQES] + params[CQ_ENTRIES] * 16;
        // Both rings are one mapping since 5.4 (IORING_FEAT_SINGLE_MMAP).
        let rings = share(&fd, submissions.max(completions) as usize, 0)?;
        let entries = share(&fd, 64, IORING_OFF_SQES)?;
        Ok(Self { fd, params, rings, entries, done: 0 })
    }

    /// Makes a file, open for writing.
    pub(super) fn create(&mut self, path: &std::ffi::CStr, mode: u32) -> io::Result<RawFd> {
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC;
        self.submit(&Entry {
            opcode: IORING_OP_OPENAT,
            fd: libc::AT_FDCWD,
            address: path.as_ptr() as u64,
            len: mode,
            op_flags: flags.cast_unsigned(),
        })
    }

    pub(super) fn write(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<i32> {
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.submit(&Entry {
            opcode: IORING_OP_WRITE,
            fd,
            address: bytes.as_ptr() as u64,
            len,
            ..Entry::default()
        })
    }

    pub(super) fn close(&mut self, fd: RawFd) -> io::Result<i32> {
        self.submit(&Entry { opcode: IORING_OP_CLOSE, fd, ..Entry::default() })
    }

    /// Submits one entry, waits for it and gives its result.
    fn submit(&mut self, entry: &Entry) -> io::Result<i32> {
        let Self { params, rings, entries, .. } = self;
        let word = |offset: u32| rings.wrapping_byte_add(offset as usize).cast::<u32>();
        // SAFETY: the offsets are those of struct io_uring_sqe and those that the kernel gave; all lie in the two
        // mappings. What the entry points to outlives this call, which waits for the entry's end.
        let result = unsafe {
            ptr::write_bytes(entries.cast::<u8>(), 0, 64);
            entries.cast::<u8>().write(entry.opcode);
            entries.byte_add(4).cast::<i32>().write(entry.fd);
            entries.byte_add(16).cast::<u64>().write(entry.address);
            entries.byte_add(24).cast::<u32>().write(entry.len);
            entries.byte_add(28).cast::<u32>().write(entry.op_flags);
            word(params[SQ_ARRAY]).write(0);
            AtomicU32::from_ptr(word(params[SQ_TAIL])).store(self.done + 1, Ordering::Release);
            let nobody = ptr::null::<libc::sigset_t>();
            let entered = libc::syscall(
                libc::SYS_io_uring_enter,
                self.fd.as_raw_fd(),
                1,
                1,
                IORING_ENTER_GETEVENTS,
                nobody,
                0,
            );
            if entered < 0 {
                return Err(io::Error::last_os_error());
            }
            let slot = self.done & (params[CQ_ENTRIES] - 1);
            let result = word(params[CQ_CQES] + slot * 16 + 8).cast::<i32>().read();
            self.done += 1;
            AtomicU32::from_ptr(word(params[CQ_HEAD])).store(self.done, Ordering::Release);
            result
        };
        if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
    }
}

/// Maps a part of the queue. It stays until the program ends.
fn share(fd: &OwnedFd, len: usize, offset: i64) -> io::Result<*mut libc::c_void> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd.as_raw_fd(), offset) };
    if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(base) }
}
