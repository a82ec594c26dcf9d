//! Exit of a process: `sched_process_exit` of its last thread.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use zastava_common::abi::{ExitBody, Lane, RecordHeader, RecordKind};

use super::done;
use crate::{
    kernel::{Fail, Task, Try, pointer, read},
    maps::offset,
    record::{Ring, header, send},
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
    let signal = pointer(task.0, offset!(task_signal)).ok_or(Fail::Task)?;
    if read::<i32>(signal, offset!(signal_live)).ok_or(Fail::Task)? != 0 {
        return Ok(());
    }
    let leader = task.group_leader().ok_or(Fail::Task)?;
    let mut record = ExitRecord {
        header: header(RecordKind::Exit, Lane::Exit, Some(leader)),
        body: ExitBody {
            // The leader's code is the process's (kernel/exit.c wait_task_zombie).
            status: read(leader.0, offset!(task_exit_code)).unwrap_or(0),
            ppid: leader.real_parent().and_then(Task::tgid).unwrap_or(0),
            comm: task.comm().unwrap_or([0; 16]),
        },
    };
    record.header.len = size_of::<ExitRecord>() as u32;
    send(Ring::Process, &record.header, (&raw const record).cast(), size_of::<ExitRecord>() as u64);
    Ok(())
}
