//! Files that may become executable: closed after writing, renamed or linked into place, chmod.
//!
//! Closing is the moment when a new file's content is final and when it can first be executed (`ETXTBSY` before),
//! however it was opened or written: one hook sees open, openat2, creat, `O_TMPFILE` and io_uring alike.

use aya_ebpf::{
    helpers::generated::bpf_get_current_pid_tgid,
    macros::{fentry, fexit, kprobe, kretprobe},
    programs::{FEntryContext, FExitContext, ProbeContext, RetProbeContext},
};
use zastava_common::abi::{FileBody, FileOp, Lane, RecordKind};

use super::done;
use crate::{
    kept::{self, Of},
    kernel::{Fail, File, Path, Seen, Task, Try, inode_of},
    maps::{Kept, offset, setting},
    record::{PathRecord, Ring, write_header},
    typed::field,
};

/// `FMODE_WRITE`, `FMODE_CREATED` (include/linux/fs.h).
const FMODE_WRITE: u32 = 0x2;
const FMODE_CREATED: u32 = 0x10_0000;
/// `__O_TMPFILE` (include/uapi/asm-generic/fcntl.h).
const O_TMPFILE: u32 = 0o20_000_000;
/// File systems whose regular files are the kernel's own words (include/uapi/linux/magic.h): proc, sysfs, cgroup,
/// cgroup2, tracefs, debugfs, securityfs.
const NOT_FILES: [u32; 7] =
    [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x7472_6163, 0x6462_6720, 0x7363_6673];

/// match-proto: `void locks_remove_file(struct file *filp)` (fs/locks.c): `__fput` calls it once per open file, with
/// the file whole.
#[fentry(function = "locks_remove_file")]
pub fn close_fentry(ctx: FEntryContext) -> i32 {
    let file = ctx.arg(0);
    done(try_close(File(file), field(file, offset!(file_f_mode))));
    0
}

#[kprobe(function = "locks_remove_file")]
pub fn close_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(file) = ctx.arg(0).map(File) {
        done(try_close(file, file.mode()));
    }
    0
}

#[inline(always)]
fn try_close(file: File, mode: u32) -> Try<()> {
    // An O_TMPFILE has no name of its own: its link is the event.
    if mode & FMODE_WRITE == 0 || file.flags() & O_TMPFILE != 0 {
        return Ok(());
    }
    let path = file.path().ok_or(Fail::File)?;
    let op = if mode & FMODE_CREATED == 0 { FileOp::Write } else { FileOp::Create };
    report(Lane::Close, op, file.inode(), path)
}

/// match-proto: `int security_path_rename(const struct path *old_dir, struct dentry *old_dentry, const struct path
/// *new_dir, struct dentry *new_dentry, unsigned int flags)` (security/security.c).
#[fentry(function = "security_path_rename")]
pub fn rename_begin_fentry(ctx: FEntryContext) -> i32 {
    begin(ctx.arg(1), ctx.arg(2));
    0
}

#[kprobe(function = "security_path_rename")]
pub fn rename_begin_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(dentry), Some(dir)) = (ctx.arg(1), ctx.arg(2)) {
        begin(dentry, dir);
    }
    0
}

/// match-proto: `void d_move(struct dentry *dentry, struct dentry *target)` (fs/dcache.c): the rename has succeeded.
#[fentry(function = "d_move")]
pub fn rename_fentry(ctx: FEntryContext) -> i32 {
    done(try_rename(ctx.arg(0), ctx.arg(1)));
    0
}

#[kprobe(function = "d_move")]
pub fn rename_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(dentry), Some(target)) = (ctx.arg(0), ctx.arg(1)) {
        done(try_rename(dentry, target));
    }
    0
}

#[inline(always)]
fn try_rename(dentry: u64, target: u64) -> Try<()> {
    let Some(Path { vfsmount, .. }) = finish(dentry) else { return Ok(()) };
    // Before the move the target has the new name, the dentry the inode.
    report(Lane::Rename, FileOp::Rename, inode_of(dentry), Path { vfsmount, dentry: target })
}

/// match-proto: `void d_exchange(struct dentry *dentry1, struct dentry *dentry2)` (fs/dcache.c): `RENAME_EXCHANGE` has
/// succeeded.
#[fentry(function = "d_exchange")]
pub fn exchange_fentry(ctx: FEntryContext) -> i32 {
    exchange(ctx.arg(0), ctx.arg(1));
    0
}

#[kprobe(function = "d_exchange")]
pub fn exchange_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(dentry), Some(target)) = (ctx.arg(0), ctx.arg(1)) {
        exchange(dentry, target);
    }
    0
}

/// Two renames.
#[inline(always)]
fn exchange(dentry: u64, target: u64) {
    let Some(Path { vfsmount, .. }) = finish(dentry) else { return };
    for (from, to) in [(dentry, target), (target, dentry)] {
        done(report(Lane::Exchange, FileOp::Rename, inode_of(from), Path { vfsmount, dentry: to }));
    }
}

/// match-proto: `int security_path_link(struct dentry *old_dentry, const struct path *new_dir, struct dentry
/// *new_dentry)` (security/security.c).
#[fentry(function = "security_path_link")]
pub fn link_begin_fentry(ctx: FEntryContext) -> i32 {
    begin(ctx.arg(2), ctx.arg(1));
    0
}

#[kprobe(function = "security_path_link")]
pub fn link_begin_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(dentry), Some(dir)) = (ctx.arg(2), ctx.arg(1)) {
        begin(dentry, dir);
    }
    0
}

/// match-proto: `void d_instantiate(struct dentry *entry, struct inode *inode)` (fs/dcache.c): the link exists.
#[fentry(function = "d_instantiate")]
pub fn link_fentry(ctx: FEntryContext) -> i32 {
    done(try_link(ctx.arg(0), ctx.arg(1), Lane::Link));
    0
}

#[kprobe(function = "d_instantiate")]
pub fn link_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(dentry), Some(inode)) = (ctx.arg(0), ctx.arg(1)) {
        done(try_link(dentry, inode, Lane::Link));
    }
    0
}

/// match-proto: `void d_make_persistent(struct dentry *dentry, struct inode *inode)` (fs/dcache.c), since about 7.0: the
/// same for tmpfs and others whose tree is in memory alone.
#[fentry(function = "d_make_persistent")]
pub fn persist_fentry(ctx: FEntryContext) -> i32 {
    done(try_link(ctx.arg(0), ctx.arg(1), Lane::Persist));
    0
}

#[kprobe(function = "d_make_persistent")]
pub fn persist_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(dentry), Some(inode)) = (ctx.arg(0), ctx.arg(1)) {
        done(try_link(dentry, inode, Lane::Persist));
    }
    0
}

#[inline(always)]
fn try_link(dentry: u64, inode: u64, lane: Lane) -> Try<()> {
    if inode == 0 {
        return Ok(());
    }
    let Some(path) = finish(dentry) else { return Ok(()) };
    report(lane, FileOp::Link, inode, path)
}

/// match-proto: `int chmod_common(const struct path *path, umode_t mode)` (fs/open.c).
#[fexit(function = "chmod_common")]
pub fn chmod_fexit(ctx: FExitContext) -> i32 {
    if ctx.arg::<i32>(2) == 0
        && let Some(path) = Path::at(ctx.arg(0), 0)
    {
        done(try_chmod(path));
    }
    0
}

#[kprobe(function = "chmod_common")]
pub fn chmod_begin_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(path) = ctx.arg::<u64>(0).and_then(|path| Path::at(path, 0)) {
        kept::operation(Of::Chmod, path);
    }
    0
}

#[kretprobe(function = "chmod_common")]
pub fn chmod_kretprobe(ctx: RetProbeContext) -> u32 {
    if let Some(Kept { vfsmount, dentry, .. }) = kept::take(kept::thread(), Of::Chmod, |_| true)
        && ctx.ret::<i32>() == 0
    {
        done(try_chmod(Path { vfsmount, dentry }));
    }
    0
}

#[inline(always)]
fn try_chmod(path: Path) -> Try<()> {
    report(Lane::Chmod, FileOp::Chmod, inode_of(path.dentry), path)
}

/// A rename or link begins in `dir`.
#[inline(always)]
fn begin(dentry: u64, dir: u64) {
    if let Some(Path { vfsmount, .. }) = Path::at(dir, 0) {
        kept::operation(Of::Name, Path { vfsmount, dentry });
    }
}

/// The path of this thread's rename or link, if that is about `dentry`.
#[inline(always)]
fn finish(dentry: u64) -> Option<Path> {
    let Kept { vfsmount, .. } = kept::take(kept::thread(), Of::Name, |kept| kept.dentry == dentry)?;
    Some(Path { vfsmount, dentry })
}

#[inline(always)]
fn report(lane: Lane, op: FileOp, inode: u64, path: Path) -> Try<()> {
    let mount = path.mount();
    if tgid() == setting!(own_tgid) || mount.is_internal() || path.is_private() {
        return Ok(());
    }
    let mut record = PathRecord::new::<FileBody>(lane)?;
    let seen = Seen::real(record.view, inode).ok_or(Fail::Inode)?;
    let chmod_takes_away = matches!(op, FileOp::Chmod) && seen.mode() & 0o111 == 0;
    if !seen.is_regular() || NOT_FILES.contains(&seen.magic()) || chmod_takes_away {
        return Ok(());
    }
    let task = Task::current();
    let leader = task.group_leader().ok_or(Fail::Task)?;
    let root = task.root();
    let head = record.header();
    write_header(head, RecordKind::File, lane, leader.start_boottime());
    let body = record.body::<FileBody>();
    // SAFETY: the record's own memory.
    unsafe {
        (*head).mnt_ns = task.mnt_ns();
        seen.identify(&raw mut (*body).file);
        (*body).op = op as u32;
        (*body).reserved = 0;
        (*body).path = record.append_path(path, mount, root);
    }
    record.send(Ring::Files);
    Ok(())
}

#[inline(always)]
fn tgid() -> u32 {
    // SAFETY: a helper without arguments.
    unsafe { (bpf_get_current_pid_tgid() >> 32) as u32 }
}
