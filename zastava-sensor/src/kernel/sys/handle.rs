//! File handles: a file's number within its file system, which outlives its names.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::OFlags;
use zastava_common::abi::FileIdentity;

use super::stat::{BTRFS, OVERLAYFS, TMPFS, XFS};

/// `MAX_HANDLE_SZ` (include/linux/exportfs.h).
const MOST: usize = 128;

/// `FILEID_INO32_GEN`; tmpfs has a layout of its own under this number.
const INO32_GEN: i32 = 1;
const INO32_GEN_PARENT: i32 = 2;
/// `FILEID_INO64_GEN` and the same with a parent: xfs.
const INO64_GEN: i32 = 0x81;
const INO64_GEN_PARENT: i32 = 0x82;
/// `FILEID_BTRFS_WITHOUT_PARENT`; 0x4e and 0x4f have a parent behind.
const BTRFS_INODE: i32 = 0x4d;
const BTRFS_PARENT_ROOT: i32 = 0x4f;

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

    /// Makes the handle of an inode that was reported by its numbers; `mount` is an open file of its file system.
    /// `None`: the layout is not known, or the number does not fit it.
    ///
    /// Where the file system reads its handles in another way, the file opened is another one, or none: compare.
    pub fn of_inode(file: &FileIdentity, mount: BorrowedFd<'_>) -> Option<Self> {
        let generation = file.generation.to_ne_bytes();
        match file.fs_magic {
            OVERLAYFS => None,
            // `shmem_fh_to_dentry`: the number's low half, then its high half.
            TMPFS => {
                let (low, high) = (file.ino as u32, (file.ino >> 32) as u32);
                Self::new(INO32_GEN, &[generation, low.to_ne_bytes(), high.to_ne_bytes()].concat())
            }
            XFS => Self::new(INO64_GEN, &[&file.ino.to_ne_bytes()[..], &generation].concat()),
            // The subvolume stands behind the inode's number; the mount's own is the best guess.
            BTRFS => {
                let mount = Self::of(mount).ok()?;
                let subvolume = mount.bytes().get(8..16)?;
                Self::new(BTRFS_INODE, &[&file.ino.to_ne_bytes()[..], subvolume, &generation].concat())
            }
            _ => {
                let ino = u32::try_from(file.ino).ok()?;
                Self::new(INO32_GEN, &[ino.to_ne_bytes(), generation].concat())
            }
        }
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
    /// (`FILEID_INO32_GEN`), xfs behind a 64-bit one, btrfs behind two 64-bit object ids.
    pub fn generation(&self, fs_magic: u32) -> Option<u32> {
        let at = match self.kind {
            INO32_GEN if fs_magic == TMPFS => 0,
            INO32_GEN | INO32_GEN_PARENT => 4,
            INO64_GEN | INO64_GEN_PARENT => 8,
            BTRFS_INODE..=BTRFS_PARENT_ROOT => 16,
            _ => return None,
        };
        let bytes = self.bytes().get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len as usize).unwrap_or_default()
    }
}
