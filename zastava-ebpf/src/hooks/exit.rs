//! Exit of a process: `sched_process_exit` of its last thread.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use zastava_common::abi::{ExitBody, Lane, RecordHeader, RecordKind};

use crate::{
    kept,
    maps::offset,
    record::{Ring, send, write_header},
    typed::{self, field},
};

/// match-proto: `TP_PROTO(struct task_struct *p, ...)` (include/trace/events/sched.h); called in the exiting
/// thread's context, after `signal->live` was decremented (kernel/exit.c do_exit).
#[btf_tracepoint(function = "sched_process_exit")]
pub fn exit(ctx: BtfTracePointContext) -> i32 {
    try_exit(ctx.arg(0));
    0
}

#[repr(C)]
struct ExitRecord {
    header: RecordHeader,
    body: ExitBody,
}

#[inline(always)]
fn try_exit(task: u64) {
    kept::forget(kept::thread());
    let signal = field(task, offset!(task_signal));
    if field::<i32>(signal, offset!(signal_live)) != 0 {
        return;
    }
    let leader: u64 = field(task, offset!(task_group_leader));
    let mut record = core::mem::MaybeUninit::<ExitRecord>::uninit();
    let to = record.as_mut_ptr();
    // SAFETY: every field is written before the record is read.
    unsafe {
        let start = field(leader, offset!(task_start_boottime));
        write_header(&raw mut (*to).header, RecordKind::Exit, Lane::Exit, start);
        (*to).header.len = size_of::<ExitRecord>() as u32;
        // The leader's code is the process's (kernel/exit.c wait_task_zombie).
        (*to).body.status = field(leader, offset!(task_exit_code));
        (*to).body.ppid = field(field(leader, offset!(task_real_parent)), offset!(task_tgid));
        (&raw mut (*to).body.comm).cast::<[u64; 2]>().write(typed::comm(task));
        send(Ring::Process, &(*to).header, size_of::<ExitRecord>() as u64);
    }
}
