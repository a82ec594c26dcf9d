//! One openat by io_uring (include/uapi/linux/io_uring.h), without a library.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Words of `struct io_uring_params`: ten of its own, then ten of `sq_off` and ten of `cq_off`.
type Params = [u32; 30];
const SQ_ENTRIES: usize = 0;
const CQ_ENTRIES: usize = 1;
const SQ_TAIL: usize = 11;
const SQ_ARRAY: usize = 16;
const CQ_CQES: usize = 25;
const IORING_OFF_SQES: i64 = 0x1000_0000;
const IORING_OP_OPENAT: u8 = 18;
const IORING_ENTER_GETEVENTS: u32 = 1;

/// Creates the file, open for writing. The rings stay mapped until the test process ends.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let mut params: Params = [0; 30];
    // SAFETY: the kernel fills the 120 bytes of `params`.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
    if ring < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just made for us.
    let ring = unsafe { OwnedFd::from_raw_fd(ring as i32) };
    let both = (params[SQ_ARRAY] + params[SQ_ENTRIES] * 4).max(params[CQ_CQES] + params[CQ_ENTRIES] * 16);
    let rings = map(&ring, both as usize, 0)?;
    let entries = map(&ring, 64, IORING_OFF_SQES)?;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC;
    // SAFETY: the offsets are those of struct io_uring_sqe and those that the kernel gave; all lie in the two mappings,
    // and the path lives until the entry is done.
    unsafe {
        entries.cast::<u8>().write(IORING_OP_OPENAT);
        entries.add(4).cast::<i32>().write(libc::AT_FDCWD);
        entries.add(16).cast::<u64>().write(path.as_ptr() as u64);
        entries.add(24).cast::<u32>().write(0o700);
        entries.add(28).cast::<i32>().write(flags);
        rings.add(params[SQ_ARRAY] as usize).cast::<u32>().write(0);
        AtomicU32::from_ptr(rings.add(params[SQ_TAIL] as usize).cast()).store(1, Ordering::Release);
        let done = libc::syscall(
            libc::SYS_io_uring_enter,
            ring.as_raw_fd(),
            1,
            1,
            IORING_ENTER_GETEVENTS,
            ptr::null::<u8>(),
            0,
        );
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        let result = rings.add(params[CQ_CQES] as usize + 8).cast::<i32>().read();
        if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(File::from_raw_fd(result)) }
    }
}

fn map(ring: &OwnedFd, len: usize, offset: i64) -> io::Result<*mut libc::c_void> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let base = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            protection,
            libc::MAP_SHARED | libc::MAP_POPULATE,
            ring.as_raw_fd(),
            offset,
        )
    };
    if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(base) }
}
