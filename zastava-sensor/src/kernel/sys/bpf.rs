//! The part of `bpf(2)` that aya does not show.

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// `BPF_OBJ_GET_INFO_BY_FD` (include/uapi/linux/bpf.h).
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// Where `recursion_misses` stands in `struct bpf_prog_info`, in bytes; since 5.12.
const RECURSION_MISSES: usize = 208;
const INFO_LEN: usize = 232;

#[repr(C)]
struct InfoAttr {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// How often the kernel skipped a program because it was already running on that CPU: records that were never made.
/// `None` where the kernel does not count.
pub fn recursion_misses(program: BorrowedFd<'_>) -> Option<u64> {
    let mut info = [0u64; INFO_LEN / 8];
    let mut attr = InfoAttr {
        fd: u32::try_from(program.as_raw_fd()).ok()?,
        info_len: INFO_LEN as u32,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: `attr` is the part of `union bpf_attr` that this command reads; the kernel writes at most `info_len`
    // bytes at `info`, which lives until the call returns.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw mut attr, size_of::<InfoAttr>()) };
    (result == 0 && attr.info_len as usize >= RECURSION_MISSES + 8).then(|| info[RECURSION_MISSES / 8])
}
