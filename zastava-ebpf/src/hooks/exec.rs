//! Exec: `sched_process_exec`, and for scripts `security_bprm_check` before it.

use aya_ebpf::{
    helpers::generated::{bpf_get_current_pid_tgid, bpf_get_current_uid_gid},
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use zastava_common::abi::{
    Ancestor, ExecBody, FileIdentity, Lane, MAX_ANCESTORS, MAX_ARGV, PathLens, RecordKind, exec_flag,
    file_flag,
};

use super::done;
use crate::{
    kernel::{Fail, File, Path, Task, Try, pointer, read, value},
    maps::{SCRIPTS, offset},
    record::{ExecRecord, Ring, write_header},
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
    let mut record = ExecRecord::new::<ExecBody>()?;
    let head = record.header();
    write_header(head, RecordKind::Exec, Lane::Exec, leader);
    let body = record.body::<ExecBody>();

    let file = File(pointer(bprm, offset!(bprm_file)).ok_or(Fail::Bprm)?);
    let path = file.path().ok_or(Fail::File)?;
    let filename = value::<u64>(bprm, offset!(bprm_filename));
    let interp = value::<u64>(bprm, offset!(bprm_interp));
    // SAFETY: the record's own memory; each place is written once.
    unsafe {
        (*head).mnt_ns = task.mnt_ns();
        file.inode().and_then(|inode| inode.identify(&raw mut (*body).file)).ok_or(Fail::Inode)?;
        if path.is_internal() {
            (*body).file.flags |= file_flag::INTERNAL_MOUNT;
        }
        (*body).image = value(task.0, offset!(task_mm));
        (*body).comm = value(task.0, offset!(task_comm));
        let uid_gid = bpf_get_current_uid_gid();
        (*body).uid = uid_gid as u32;
        (*body).gid = (uid_gid >> 32) as u32;
        (*body).argc = value(bprm, offset!(bprm_argc));
        (*body).flags = 0;
        if interp != filename {
            (*body).flags = exec_flag::SCRIPT;
            let tid = u64::from((*head).tid);
            if let Some(seen) = SCRIPTS.get(&tid) {
                (*body).script = *seen;
                (*body).flags |= exec_flag::SCRIPT_IDENTITY;
                let _ = SCRIPTS.remove(&tid);
            }
        }
        // The tail, in the order that ExecBody names.
        let (ancestors, ppid) = append_ancestors(&mut record, leader);
        (*body).ancestors = ancestors;
        (*body).ppid = ppid;
        (*body).exe = record.append_path(path);
        (*body).cwd = match task.fs().and_then(|fs| Path::at(fs, offset!(fs_pwd))) {
            Some(path) => record.append_path(path),
            None => PathLens { len: 0, components: 0, truncated: 1 },
        };
        (*body).filename_len = record.append_kernel_str(filename);
        let (argv_len, argv_total) = append_arguments(&mut record, task);
        (*body).argv_len = argv_len;
        (*body).argv_total = argv_total;
    }
    record.send(Ring::Process);
    Ok(())
}

/// The processes above, up to init or [`MAX_ANCESTORS`]; returns their number and the parent's pid.
#[inline(always)]
fn append_ancestors(record: &mut ExecRecord, leader: Task) -> (u32, u32) {
    let mut child = leader;
    let mut count = 0;
    let mut ppid = 0;
    for _ in 0..MAX_ANCESTORS {
        let parent = Task(value(value(child.0, offset!(task_real_parent)), offset!(task_group_leader)));
        let tgid = value::<u32>(parent.0, offset!(task_tgid));
        if tgid == 0 {
            break;
        }
        if count == 0 {
            ppid = tgid;
        }
        record.append(Ancestor {
            start_boot_ns: value(parent.0, offset!(task_start_boottime)),
            tgid,
            reserved: 0,
            comm: value(parent.0, offset!(task_comm)),
        });
        count += 1;
        child = parent;
    }
    (count, ppid)
}

/// The argument text as the new program sees it: bytes in the record and bytes there are.
#[inline(always)]
fn append_arguments(record: &mut ExecRecord, task: Task) -> (u16, u32) {
    let mm = value::<u64>(task.0, offset!(task_mm));
    let start = value::<u64>(mm, offset!(mm_arg_start));
    let end = value::<u64>(mm, offset!(mm_arg_end));
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
    let mut identity = core::mem::MaybeUninit::<FileIdentity>::uninit();
    file.inode().and_then(|inode| inode.identify(identity.as_mut_ptr())).ok_or(Fail::Inode)?;
    // SAFETY: a helper without arguments; the identity was written whole.
    unsafe {
        let tid = bpf_get_current_pid_tgid() & 0xffff_ffff;
        let _ = SCRIPTS.insert(&tid, identity.assume_init_ref(), 0);
    }
    Ok(())
}
