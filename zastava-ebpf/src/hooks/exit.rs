//! Exit of a process: `sched_process_exit` of its last thread.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use zastava_common::abi::{ExitBody, Lane, RecordHeader, RecordKind};

use super::done;
use crate::{
    kept,
    kernel::{Fail, Task, Try, pointer, read, value},
    maps::offset,
    record::{Ring, send, write_header},
};

/// match-proto: `TP_PROTO(struct task_struct *p, ...)` (include/trace/events/sched.h); called in the exiting
/// thread's context, after `signal->live` was decremented (kernel/exit.c do_exit).
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn exit(ctx: RawTracePointContext) -> i32 {
    done(try_exit(Task(ctx.arg(0))));
    0
}

#[repr(C)]
struct ExitRecord {
    header: RecordHeader,
    body: ExitBody,
}

#[inline(always)]
fn try_exit(task: Task) -> Try<()> {
    kept::forget(kept::thread());
    let signal = pointer(task.0, offset!(task_signal)).ok_or(Fail::Task)?;
    if read::<i32>(signal, offset!(signal_live)).ok_or(Fail::Task)? != 0 {
        return Ok(());
    }
    let leader = task.group_leader().ok_or(Fail::Task)?;
    let mut record = core::mem::MaybeUninit::<ExitRecord>::uninit();
    let to = record.as_mut_ptr();
    // SAFETY: every field is written before the record is read.
    unsafe {
        write_header(&raw mut (*to).header, RecordKind::Exit, Lane::Exit, leader);
        (*to).header.len = size_of::<ExitRecord>() as u32;
        // The leader's code is the process's (kernel/exit.c wait_task_zombie).
        (*to).body.status = value(leader.0, offset!(task_exit_code));
        (*to).body.ppid = value(value(leader.0, offset!(task_real_parent)), offset!(task_tgid));
        (*to).body.comm = value(task.0, offset!(task_comm));
        send(Ring::Process, &(*to).header, size_of::<ExitRecord>() as u64);
    }
    Ok(())
}
