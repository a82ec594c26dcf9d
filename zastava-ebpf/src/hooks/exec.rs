//! Exec: `sched_process_exec`, and for scripts `security_bprm_check` before it.

use aya_ebpf::{
    macros::{fentry, kprobe, raw_tracepoint},
    programs::{FEntryContext, ProbeContext, RawTracePointContext},
};
use zastava_common::abi::{
    Ancestor, ExecBody, FileIdentity, Lane, MAX_ANCESTORS, MAX_ARGV, RecordKind, exec_flag, file_flag,
};

use super::done;
use crate::{
    kept::{self, Of},
    kernel::{Block, Fail, File, Own, Seen, Task, Try, pointer, value},
    maps::{Kept, offset},
    record::{ExecRecord, PathRecord, Ring, write_header},
};

/// match-proto: `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
/// (include/trace/events/sched.h); runs in the new program's context, only after success (fs/exec.c exec_binprm).
/// `old_pid` is the thread's id before it took its leader's.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec(ctx: RawTracePointContext) -> i32 {
    done(try_exec(Task(ctx.arg(0)), ctx.arg(1), ctx.arg(2)));
    0
}

#[inline(always)]
fn try_exec(task: Task, old_tid: u32, bprm: u64) -> Try<()> {
    let mut record = ExecRecord::new::<ExecBody>()?;
    let head = record.header();
    let body = record.body::<ExecBody>();

    // SAFETY: scratch memory.
    let block = unsafe { &raw mut (*record.view).bprm };
    let bprm_at = |field: u32| field.wrapping_sub(offset!(bprm_file));
    if !Block::read(block, bprm, offset!(bprm_file)) {
        return Err(Fail::Bprm);
    }
    let file = File(Block::get(block, 0));
    let filename: u64 = Block::get(block, bprm_at(offset!(bprm_filename)));
    let interp: u64 = Block::get(block, bprm_at(offset!(bprm_interp)));
    let argc: u32 = Block::get(block, bprm_at(offset!(bprm_argc)));
    let path = file.path().ok_or(Fail::File)?;
    let seen = Seen::real(record.view, file.inode()).ok_or(Fail::Inode)?;
    // Nothing fails from here on: the number that the header takes is sent or entered as a loss. Whichever thread
    // called exec leads its process now (fs/exec.c de_thread).
    write_header(head, RecordKind::Exec, Lane::Exec, task);
    let mount = path.mount();
    let mm = task.mm();
    let own = Own::of(record.view, task);
    let [root, pwd] = own.root_and_pwd();
    // SAFETY: the record's own memory; each place is written once.
    unsafe {
        (*head).mnt_ns = own.mnt_ns();
        seen.identify(&raw mut (*body).file);
        if mount.is_internal() {
            (*body).file.flags |= file_flag::INTERNAL_MOUNT;
        }
        (*body).image = mm;
        (*body).comm = own.comm();
        let [uid, gid] = own.user_and_group();
        (*body).uid = uid;
        (*body).gid = gid;
        (*body).argc = argc;
        (*body).flags = 0;
        if interp != filename {
            (*body).flags = exec_flag::SCRIPT;
            if let Some(Kept { script, .. }) = kept::take(u64::from(old_tid), Of::Script, |_| true) {
                (*body).script = script;
                (*body).flags |= exec_flag::SCRIPT_IDENTITY;
            }
        } else if old_tid != (*head).tid {
            // Nobody has this number any more: the thread took its leader's.
            kept::forget(u64::from(old_tid));
        }
        // The tail, in the order that ExecBody names.
        let (ancestors, ppid) = append_ancestors(&mut record, task);
        (*body).ancestors = ancestors;
        (*body).ppid = ppid;
        (*body).exe = record.append_path(path, mount, root);
        (*body).cwd = record.append_path(pwd, pwd.mount(), root);
        (*body).filename_len = record.append_kernel_str(filename);
        let (argv_len, argv_total) = append_arguments(&mut record, mm);
        (*body).argv_len = argv_len;
        (*body).argv_total = argv_total;
    }
    record.send(Ring::Process);
    Ok(())
}

/// Above it is the idle task alone, which is no process.
const INIT: u32 = 1;

/// The processes above, up to init or [`MAX_ANCESTORS`]; returns their number and the parent's pid.
#[inline(always)]
fn append_ancestors(record: &mut ExecRecord, leader: Task) -> (u32, u32) {
    let mut above: u64 = value(leader.0, offset!(task_real_parent));
    let mut count = 0;
    let mut ppid = 0;
    for _ in 0..MAX_ANCESTORS {
        // Of the thread that forked; pid, parent and leader are those of its process.
        // SAFETY: scratch memory.
        let block = unsafe { &raw mut (*record.view).kin };
        Block::read(block, above, offset!(task_tgid));
        let kin_at = |field: u32| field.wrapping_sub(offset!(task_tgid));
        let tgid: u32 = Block::get(block, 0);
        if tgid == 0 {
            break;
        }
        if count == 0 {
            ppid = tgid;
        }
        let parent = Task(Block::get(block, kin_at(offset!(task_group_leader))));
        above = Block::get(block, kin_at(offset!(task_real_parent)));
        record.append(Ancestor {
            start_boot_ns: parent.start_boottime(),
            tgid,
            reserved: 0,
            comm: value(parent.0, offset!(task_comm)),
        });
        count += 1;
        if tgid == INIT {
            break;
        }
    }
    (count, ppid)
}

/// The argument text as the new program sees it: bytes in the record and bytes there are.
#[inline(always)]
fn append_arguments(record: &mut ExecRecord, mm: u64) -> (u16, u32) {
    // Side by side (`Layout::fits`).
    let [start, end] = value::<[u64; 2]>(mm, offset!(mm_arg_start));
    let total = end.wrapping_sub(start);
    let count = if total > MAX_ARGV as u64 { MAX_ARGV as u64 } else { total };
    (record.append_user(start, count), total as u32)
}

/// `e_machine` of this kernel's own programs (include/uapi/linux/elf-em.h).
#[cfg(bpf_target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(bpf_target_arch = "aarch64")]
const MACHINE: u16 = 183;

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
    let [identification, _, rest] = value::<[u64; 3]>(bprm, offset!(bprm_buf));
    let machine = (rest >> 16) as u16;
    if identification as u32 == u32::from_le_bytes(*b"\x7fELF") && machine == MACHINE {
        return Ok(());
    }
    // The first level: the interpreter's name still is the file's.
    if value::<u64>(bprm, offset!(bprm_interp)) != value::<u64>(bprm, offset!(bprm_filename)) {
        return Ok(());
    }
    if identification as u16 != u16::from_le_bytes(*b"#!") {
        // It may have an interpreter too (binfmt_misc), but is not the script that this thread could not execute before.
        kept::forget(kept::thread());
        return Ok(());
    }
    let file = File(pointer(bprm, offset!(bprm_file)).ok_or(Fail::Bprm)?);
    let record = PathRecord::new::<()>(Lane::Script)?;
    let mut identity = core::mem::MaybeUninit::<FileIdentity>::uninit();
    Seen::real(record.view, file.inode()).ok_or(Fail::Inode)?.identify(identity.as_mut_ptr());
    // SAFETY: written whole.
    kept::script(unsafe { identity.assume_init() });
    Ok(())
}
