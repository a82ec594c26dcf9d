//! Records and map values shared with the kernel programs.
//!
//! A record is a [`RecordHeader`], the fixed part of its kind, and a variable tail. Integers are native-endian
//! (both sides run on one machine); no type has implicit padding, which `zerocopy`'s derives prove at compile
//! time. Paths travel as *components, leaf first*, each followed by a NUL, because that is the order in which a
//! walk from a dentry to its root meets them; user space turns them round.

mod file;
mod header;
mod layout;
mod loss;
mod process;

pub use file::{CgroupBody, FileBody, FileIdentity, FileOp, ListenBody, MappingBody, PathLens, file_flag};
pub use header::{Lane, RecordHeader, RecordKind, Tier};
pub use layout::{ABSENT, Field, INODE_BLOCK, Layout, Settings};
pub use loss::{LossKey, LossValue};
pub use process::{Ancestor, ExecBody, ExitBody, exec_flag};

/// Longest path that a record carries, in bytes, without the final NUL (`PATH_MAX`, include/uapi/linux/limits.h).
pub const MAX_PATH: usize = 4096;
/// Most components of a path that a record carries.
pub const MAX_COMPONENTS: usize = 256;
/// Most argument bytes that an exec record carries; the rest is cut and the original length is kept.
pub const MAX_ARGV: usize = 4096;
/// Most ancestors that an exec record carries.
pub const MAX_ANCESTORS: usize = 8;
/// `TASK_COMM_LEN` (include/linux/sched.h).
pub const COMM_LEN: usize = 16;
