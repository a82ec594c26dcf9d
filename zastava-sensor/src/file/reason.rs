//! Why a file has no digest or no build-id.

/// The first bytes are not those of an ELF file.
pub const NOT_ELF: &str = "not ELF";
/// An ELF file without `NT_GNU_BUILD_ID`.
pub const NO_BUILD_ID: &str = "no build-id";
/// It begins like an ELF file, and its header cannot be read or is none.
pub const MALFORMED_ELF: &str = "malformed ELF";
/// The bytes that may be hashed in a second are used up.
pub const OVER_BUDGET: &str = "over hash budget";
/// The bytes that may be hashed for one container are used up.
pub const OVER_CONTAINER_BUDGET: &str = "over the container's hash budget";
/// Longer than files are hashed.
pub const TOO_LARGE: &str = "file too large";
/// Size or times changed while the bytes were read.
pub const CHANGED_WHILE_READ: &str = "changed while read";
/// The inode is found, but not as it was when the kernel reported it.
pub const CHANGED: &str = "changed since the event";
/// At the path stands another file than the kernel reported.
pub const REPLACED: &str = "another file at the path";
/// The build-id that the kernel read from the mapping is not that of the file found.
pub const OTHER_BUILD_ID: &str = "kernel saw another build-id";
/// No way leads to the file any more.
pub const FILE_GONE: &str = "file gone";
/// The process is gone, and without it nothing says which file it was.
pub const PROCESS_GONE: &str = "process gone before its file was read";
/// The path's beginning is missing.
pub const PATH_TRUNCATED: &str = "path truncated";
/// The kernel gave no absolute path.
pub const NO_PATH: &str = "no absolute path";
/// The path leads through a symbolic link that was not there when the kernel reported it.
pub const SYMLINK: &str = "symbolic link in the path";
/// A directory, device, FIFO or socket.
pub const NOT_REGULAR: &str = "not a regular file";
/// Written, but neither ELF nor a script nor executable: not read beyond its head, and no event.
pub const NOT_A_PROGRAM: &str = "not a program";
/// A file system of user space or of a network: reading from it can hang.
pub const MAY_BLOCK: &str = "file system that may not answer";
/// The path is not in the kernel's cache, and a walk could hang in a file system that may not answer.
pub const WALK_MAY_BLOCK: &str = "path through a file system that may not answer";
/// Too many mount tables had to be read in too short a time.
pub const LOOKUPS_EXHAUSTED: &str = "mount look-ups over their rate";
/// The sensor lacks a capability.
pub const NO_ACCESS: &str = "permission denied";
/// The kernel answered with an error that has no reason of its own here.
pub const READ_FAILED: &str = "read error";

/// All of them, for counters.
pub const ALL: [&str; 22] = [
    NOT_ELF,
    NO_BUILD_ID,
    MALFORMED_ELF,
    OVER_BUDGET,
    OVER_CONTAINER_BUDGET,
    TOO_LARGE,
    CHANGED_WHILE_READ,
    CHANGED,
    REPLACED,
    OTHER_BUILD_ID,
    FILE_GONE,
    PROCESS_GONE,
    PATH_TRUNCATED,
    NO_PATH,
    SYMLINK,
    NOT_REGULAR,
    NOT_A_PROGRAM,
    MAY_BLOCK,
    WALK_MAY_BLOCK,
    LOOKUPS_EXHAUSTED,
    NO_ACCESS,
    READ_FAILED,
];
