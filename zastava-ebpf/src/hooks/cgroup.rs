//! Cgroups come and go: the container's name is known before its first exec.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use zastava_common::abi::{CgroupBody, Lane, RecordKind};

use super::done;
use crate::{
    kernel::{Fail, Task, Try, pointer, read},
    maps::offset,
    record::{PathRecord, Ring, write_header},
};

/// match-proto: `TP_PROTO(struct cgroup *cgrp, const char *path)` (include/trace/events/cgroup.h)
#[raw_tracepoint(tracepoint = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: RawTracePointContext) -> i32 {
    done(try_cgroup(RecordKind::CgroupMkdir, Lane::CgroupMkdir, ctx.arg(0), ctx.arg(1)));
    0
}

/// match-proto: as [`cgroup_mkdir`].
#[raw_tracepoint(tracepoint = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: RawTracePointContext) -> i32 {
    done(try_cgroup(RecordKind::CgroupRmdir, Lane::CgroupRmdir, ctx.arg(0), ctx.arg(1)));
    0
}

#[inline(always)]
fn try_cgroup(kind: RecordKind, lane: Lane, cgroup: u64, path: u64) -> Try<()> {
    let leader = Task::current().group_leader().ok_or(Fail::Task)?;
    let kn = pointer(cgroup, offset!(cgroup_kn)).ok_or(Fail::Cgroup)?;
    let root = pointer(cgroup, offset!(cgroup_root)).ok_or(Fail::Cgroup)?;
    let cgroup_id = read(kn, offset!(kernfs_node_id)).ok_or(Fail::Cgroup)?;
    let hierarchy = read(root, offset!(cgroup_root_hierarchy_id)).ok_or(Fail::Cgroup)?;
    let mut record = PathRecord::new::<CgroupBody>(lane)?;
    write_header(record.header(), kind, lane, leader.start_boottime());
    let body = record.body::<CgroupBody>();
    // SAFETY: the record's own memory.
    unsafe {
        (*body).cgroup_id = cgroup_id;
        (*body).hierarchy = hierarchy;
        (*body).path_len = u32::from(record.append_kernel_str(path));
    }
    record.send(Ring::Process);
    Ok(())
}
