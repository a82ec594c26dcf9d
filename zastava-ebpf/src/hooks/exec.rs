//! Exec: `sched_process_exec`, and for scripts `security_bprm_check` before it.

use aya_ebpf::{
    macros::{btf_tracepoint, fentry, kprobe},
    programs::{BtfTracePointContext, FEntryContext, ProbeContext},
};
use zastava_common::abi::{
    Ancestor, ExecBody, FileIdentity, Lane, MAX_ANCESTORS, MAX_ARGV, RecordHeader, RecordKind, exec_flag,
    file_flag,
};

use super::done;
use crate::{
    kept::{self, Of},
    kernel::{Fail, File, Seen, Try, pointer, value},
    maps::{Kept, offset},
    record::{ExecRecord, PathRecord, Ring, write_header},
    typed::{self, field},
};

/// match-proto: `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
/// (include/trace/events/sched.h); runs in the new program's context, only after success (fs/exec.c exec_binprm).
/// `old_pid` is the thread's id before it took its leader's.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn exec(ctx: BtfTracePointContext) -> i32 {
    done(try_exec(ctx.arg(0), ctx.arg(1), ctx.arg(2)));
    0
}

#[inline(always)]
fn try_exec(task: u64, old_tid: u32, bprm: u64) -> Try<()> {
    let mut record = ExecRecord::new::<ExecBody>()?;
    let head = record.header();
    let body = record.body::<ExecBody>();

    let file: u64 = field(bprm, offset!(bprm_file));
    let [filename, interp]: [u64; 2] =
        [field(bprm, offset!(bprm_filename)), field(bprm, offset!(bprm_interp))];
    // SAFETY: the record's own memory.
    let identity = unsafe { &raw mut (*body).file };
    typed::identify(field(file, offset!(file_f_inode)), record.view, identity).ok_or(Fail::Inode)?;
    // Nothing fails from here on: the number that the header takes is sent or entered as a loss. Whichever thread
    // called exec leads its process now (fs/exec.c de_thread).
    write_header(head, RecordKind::Exec, Lane::Exec, field(task, offset!(task_start_boottime)));
    let path = typed::path(file, offset!(file_f_path));
    let mount = typed::mount(path.vfsmount);
    let mm: u64 = field(task, offset!(task_mm));
    let fs: u64 = field(task, offset!(task_fs));
    let [root, pwd] = [typed::path(fs, offset!(fs_root)), typed::path(fs, offset!(fs_pwd))];
    let cred: u64 = field(task, offset!(task_cred));
    // SAFETY: the record's own memory; each place is written once.
    unsafe {
        (*head).mnt_ns = typed::mnt_ns(task);
        if mount.is_internal() {
            (*body).file.flags |= file_flag::INTERNAL_MOUNT;
        }
        (*body).image = mm;
        (&raw mut (*body).comm).cast::<[u64; 2]>().write(typed::comm(task));
        (*body).uid = field(cred, offset!(cred_euid));
        (*body).gid = field(cred, offset!(cred_egid));
        (*body).argc = field(bprm, offset!(bprm_argc));
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
        (*body).cwd = record.append_path(pwd, typed::mount(pwd.vfsmount), root);
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
fn append_ancestors(record: &mut ExecRecord, task: u64) -> (u32, u32) {
    // The thread that forked; pid, parent and leader are those of its process.
    let mut above: u64 = field(task, offset!(task_real_parent));
    let mut count = 0;
    let mut ppid = 0;
    for _ in 0..MAX_ANCESTORS {
        let tgid: u32 = field(above, offset!(task_tgid));
        if tgid == 0 {
            break;
        }
        if count == 0 {
            ppid = tgid;
        }
        let leader: u64 = field(above, offset!(task_group_leader));
        record.append(AncestorWords {
            start_boot_ns: field(leader, offset!(task_start_boottime)),
            tgid: u64::from(tgid),
            comm: typed::comm(leader),
        });
        count += 1;
        if tgid == INIT {
            break;
        }
        above = field(above, offset!(task_real_parent));
    }
    (count, ppid)
}

/// An [`Ancestor`] in words: bytes would be copied one by one.
#[repr(C)]
#[derive(Clone, Copy)]
struct AncestorWords {
    start_boot_ns: u64,
    tgid: u64,
    comm: [u64; 2],
}

const _: () = assert!(size_of::<AncestorWords>() == size_of::<Ancestor>());
const _: () = assert!((size_of::<RecordHeader>() + size_of::<ExecBody>()).is_multiple_of(8));

/// The argument text as the new program sees it: bytes in the record and bytes there are.
#[inline(always)]
fn append_arguments(record: &mut ExecRecord, mm: u64) -> (u16, u32) {
    let [start, end]: [u64; 2] = [field(mm, offset!(mm_arg_start)), field(mm, offset!(mm_arg_end))];
    let total = end.wrapping_sub(start);
    let count = if total > MAX_ARGV as u64 { MAX_ARGV as u64 } else { total };
    (record.append_user(start, count), total as u32)
}

/// `e_machine` of this kernel's own programs (include/uapi/linux/elf-em.h).
#[cfg(not(bpf_target_arch = "aarch64"))]
const MACHINE: u16 = 62;
#[cfg(bpf_target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// match-proto: `int security_bprm_check(struct linux_binprm *bprm)` (security/security.c); called once per
/// interpreter level, first for the file that was executed.
#[fentry(function = "security_bprm_check")]
pub fn script_fentry(ctx: FEntryContext) -> i32 {
    let bprm = ctx.arg(0);
    let buf = offset!(bprm_buf);
    done(try_script(bprm, [field(bprm, buf), field(bprm, buf + 16)]));
    0
}

#[kprobe(function = "security_bprm_check")]
pub fn script_kprobe(ctx: ProbeContext) -> u32 {
    if let Some(bprm) = ctx.arg::<u64>(0) {
        let [identification, _, rest] = value::<[u64; 3]>(bprm, offset!(bprm_buf));
        done(try_script(bprm, [identification, rest]));
    }
    0
}

/// The two words are the file's first and third.
#[inline(always)]
fn try_script(bprm: u64, [identification, rest]: [u64; 2]) -> Try<()> {
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
