//! File handles: a file's number within its file system, which outlives its names.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::OFlags;

use super::stat::TMPFS;

/// `MAX_HANDLE_SZ` (include/linux/exportfs.h).
const MOST: usize = 128;

/// `struct file_handle` with room for the longest.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Handle {
    len: u32,
    kind: i32,
    bytes: [u8; MOST],
}

impl Handle {
    /// `None`: longer than any handle is.
    pub fn new(kind: i32, bytes: &[u8]) -> Option<Self> {
        let mut handle = Self { len: u32::try_from(bytes.len()).ok()?, kind, bytes: [0; MOST] };
        handle.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(handle)
    }

    /// The handle of an open file; an `O_PATH` descriptor will do. `EOPNOTSUPP`: its file system has none.
    pub fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let mut handle = Self { len: MOST as u32, kind: 0, bytes: [0; MOST] };
        let mut mount_id: libc::c_int = 0;
        // SAFETY: the path is a NUL-terminated literal; `handle` has room for the `len` bytes that it says, and both
        // it and `mount_id` outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                file.as_raw_fd(),
                c"".as_ptr(),
                &raw mut handle,
                &raw mut mount_id,
                libc::AT_EMPTY_PATH,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(handle) }
    }

    /// Opens the file by its handle; `mount` is any open file of its file system (not an `O_PATH` one).
    ///
    /// `ESTALE`: the file is gone. Needs `CAP_DAC_READ_SEARCH`.
    pub fn open(&self, mount: BorrowedFd<'_>, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        // SAFETY: the kernel reads `len` bytes behind the header, which `bytes` has, and the handle outlives the call.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                mount.as_raw_fd(),
                std::ptr::from_ref(self),
                flags.bits().cast_signed(),
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given this descriptor to us (descriptors fit an int) and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
    }

    /// The inode's generation as it stands in the handle, where the layout is known.
    ///
    /// tmpfs puts it first (`shmem_encode_fh`, mm/shmem.c), ext2 to ext4 and most others behind a 32-bit inode number
    /// (`FILEID_INO32_GEN`), xfs behind a 64-bit one (`FILEID_INO64_GEN` 0x81), btrfs behind two 64-bit object ids
    /// (`FILEID_BTRFS_WITHOUT_PARENT` 0x4d, `FILEID_BTRFS_WITH_PARENT` 0x4e).
    pub fn generation(&self, fs_magic: u32) -> Option<u32> {
        const INO32_GEN: i32 = 1;
        const INO32_GEN_PARENT: i32 = 2;
        let at = match self.kind {
            INO32_GEN if fs_magic == TMPFS => 0,
            INO32_GEN | INO32_GEN_PARENT => 4,
            0x81 | 0x82 => 8,
            0x4d..=0x4f => 16,
            _ => return None,
        };
        let bytes = self.bytes.get(..self.len as usize)?.get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }
}
