use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{COMM_LEN, FileIdentity, PathLens};

/// Fixed part of a [`super::RecordKind::Exec`].
///
/// The tail, in this order: `ancestors` times [`Ancestor`], the executable's path, the working directory, the
/// file name as given to `execve` (of a script: the script), the argument bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
pub struct ExecBody {
    /// The program that runs: of a script, its interpreter.
    pub file: FileIdentity,
    /// The script, with [`exec_flag::SCRIPT_IDENTITY`]; else zeros.
    pub script: FileIdentity,
    /// Names the program image (its `mm_struct`): mappings made while it was loaded carry the same number.
    pub image: u64,
    pub exe: PathLens,
    pub cwd: PathLens,
    pub comm: [u8; COMM_LEN],
    /// Effective user and group in the initial user namespace.
    pub uid: u32,
    pub gid: u32,
    pub ppid: u32,
    /// See [`exec_flag`].
    pub flags: u32,
    /// Bytes of the file name as given to `execve`, in the tail, without NUL.
    pub filename_len: u16,
    /// Bytes of argument text in the tail; each argument ends with a NUL.
    pub argv_len: u16,
    pub argc: u32,
    /// Bytes of argument text that the process has.
    pub argv_total: u32,
    /// Ancestors in the tail, the parent first.
    pub ancestors: u32,
}

/// Bits of [`ExecBody::flags`].
pub mod exec_flag {
    /// `linux_binprm` names an interpreter other than the file executed: a `#!` script or a binfmt_misc match.
    pub const SCRIPT: u32 = 1;
    /// [`super::ExecBody::script`] holds the script's identity.
    pub const SCRIPT_IDENTITY: u32 = 1 << 1;
    /// The process was already running when the sensor looked for it (start-up enumeration).
    pub const EXISTING: u32 = 1 << 2;
}

/// A process above the one that called exec.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
pub struct Ancestor {
    pub start_boot_ns: u64,
    pub tgid: u32,
    pub reserved: u32,
    pub comm: [u8; COMM_LEN],
}

/// Fixed part of a [`super::RecordKind::Exit`]: the last thread of a process is gone; no tail.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
pub struct ExitBody {
    /// As `wait(2)` gives it: signal in bits 0-6, core dump in bit 7, exit code in bits 8-15.
    pub status: u32,
    pub ppid: u32,
    pub comm: [u8; COMM_LEN],
}
