//! Exec: `sched_process_exec`, and for scripts `security_bprm_check` before it.

use aya_ebpf::{
    helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid},
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use zastava_common::abi::{
    Ancestor, ExecBody, FileIdentity, Lane, MAX_ANCESTORS, MAX_ARGV, PathLens, RecordHeader, RecordKind,
    exec_flag, file_flag,
};

use super::done;
use crate::{
    kernel::{Fail, File, Path, Task, Try, pointer, read},
    maps::{SCRIPTS, offset},
    record::{ExecRecord, Ring, header},
};

/// match-proto: `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
/// (include/trace/events/sched.h); runs in the new program's context, only after success (fs/exec.c exec_binprm).
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec(ctx: RawTracePointContext) -> i32 {
    done(try_exec(Task(ctx.arg(0)), ctx.arg(2)));
    0
}

#[inline(always)]
fn try_exec(task: Task, bprm: u64) -> Try<()> {
    let leader = task.group_leader().ok_or(Fail::Task)?;
    let mut head = header(RecordKind::Exec, Lane::Exec, Some(leader));
    head.mnt_ns = task.mnt_ns().unwrap_or(0);

    let file = File(pointer(bprm, offset!(bprm_file)).ok_or(Fail::Bprm)?);
    let path = file.path().ok_or(Fail::File)?;
    let mut identity = file.inode().and_then(|inode| inode.identity()).ok_or(Fail::Inode)?;
    if path.is_internal() {
        identity.flags |= file_flag::INTERNAL_MOUNT;
    }

    let mut record = ExecRecord::new((size_of::<RecordHeader>() + size_of::<ExecBody>()) as u64)?;
    let (ancestors, ppid) = append_ancestors(&mut record, leader);
    let exe = record.append_path(path);
    let cwd = match task.fs().and_then(|fs| Path::at(fs, offset!(fs_pwd))) {
        Some(path) => record.append_path(path),
        None => PathLens { len: 0, components: 0, truncated: 1 },
    };
    let filename: u64 = pointer(bprm, offset!(bprm_filename)).unwrap_or(0);
    let filename_len = record.append_kernel_str(filename);
    let (argv_len, argv_total) = append_arguments(&mut record, task);

    let mut flags = 0;
    let mut script = NO_FILE;
    if pointer(bprm, offset!(bprm_interp)).is_some_and(|interp| interp != filename) {
        flags |= exec_flag::SCRIPT;
        let tid = u64::from(head.tid);
        // SAFETY: copied at once; the entry is this thread's own.
        if let Some(seen) = unsafe { SCRIPTS.get(&tid) } {
            script = *seen;
            flags |= exec_flag::SCRIPT_IDENTITY;
            let _ = SCRIPTS.remove(&tid);
        }
    }
    // SAFETY: a helper without arguments.
    let uid_gid = unsafe { bpf_get_current_uid_gid() };
    record.put(
        size_of::<RecordHeader>(),
        ExecBody {
            file: identity,
            script,
            image: task.mm().unwrap_or(0),
            exe,
            cwd,
            comm: task.comm().unwrap_or([0; 16]),
            uid: uid_gid as u32,
            gid: (uid_gid >> 32) as u32,
            ppid,
            flags,
            filename_len,
            argv_len,
            argc: read::<u32>(bprm, offset!(bprm_argc)).unwrap_or(0),
            argv_total,
            ancestors,
        },
    );
    record.send(Ring::Process, head);
    Ok(())
}

const NO_FILE: FileIdentity = FileIdentity {
    ino: 0,
    dev: 0,
    generation: 0,
    size: 0,
    mtime_ns: 0,
    ctime_ns: 0,
    fs_magic: 0,
    nlink: 0,
    mode: 0,
    flags: 0,
};

/// The processes above, up to init or [`MAX_ANCESTORS`]; returns their number and the parent's pid.
#[inline(always)]
fn append_ancestors(record: &mut ExecRecord, leader: Task) -> (u32, u32) {
    let mut child = leader;
    let mut count = 0;
    let mut ppid = 0;
    for _ in 0..MAX_ANCESTORS {
        let Some(parent) = child.real_parent().and_then(Task::group_leader) else { break };
        let Some(tgid) = parent.tgid() else { break };
        if tgid == 0 {
            break;
        }
        if count == 0 {
            ppid = tgid;
        }
        record.append(Ancestor {
            start_boot_ns: parent.start_boottime().unwrap_or(0),
            tgid,
            reserved: 0,
            comm: parent.comm().unwrap_or([0; 16]),
        });
        count += 1;
        child = parent;
    }
    (count, ppid)
}

/// The argument text as the new program sees it: bytes in the record and bytes there are.
#[inline(always)]
fn append_arguments(record: &mut ExecRecord, task: Task) -> (u16, u32) {
    let Some(mm) = task.mm() else { return (0, 0) };
    let (Some(start), Some(end)) = (pointer(mm, offset!(mm_arg_start)), pointer(mm, offset!(mm_arg_end)))
    else {
        return (0, 0);
    };
    let total = end.wrapping_sub(start);
    let count = if total > MAX_ARGV as u64 { MAX_ARGV as u64 } else { total };
    (record.append_user(start, count), total as u32)
}

/// match-proto: `int security_bprm_check(struct linux_binprm *bprm)` (security/security.c); called once per
/// interpreter level, first for the file that was executed.
#[fentry(function = "security_bprm_check")]
pub fn script_fentry(ctx: FEntryContext) -> i32 {
    done(try_script(ctx.arg(0)));
    0
}

#[kprobe(function = "security_bprm_check")]
pub fn script_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(bprm) = ctx.arg::<u64>(0) {
        done(try_script(bprm));
    }
    0
}

#[inline(always)]
fn try_script(bprm: u64) -> Try<()> {
    // The first level: the interpreter's name still is the file's.
    if read::<u16>(bprm, offset!(bprm_buf)) != Some(u16::from_ne_bytes(*b"#!"))
        || pointer(bprm, offset!(bprm_interp)) != pointer(bprm, offset!(bprm_filename))
    {
        return Ok(());
    }
    let file = File(pointer(bprm, offset!(bprm_file)).ok_or(Fail::Bprm)?);
    let identity = file.inode().and_then(|inode| inode.identity()).ok_or(Fail::Inode)?;
    // SAFETY: a helper without arguments.
    let tid = unsafe { bpf_get_current_pid_tgid() } & 0xffff_ffff;
    let _ = SCRIPTS.insert(&tid, &identity, 0);
    Ok(())
}
