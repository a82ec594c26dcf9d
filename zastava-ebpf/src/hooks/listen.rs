//! A TCP socket begins to listen: `inet_sock_set_state`. One tracepoint that fires on changes of state only, in
//! every tier, also for io_uring.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use zastava_common::abi::{ABSENT, Lane, ListenBody, RecordHeader, RecordKind};

use super::done;
use crate::{
    kernel::{Fail, Task, Try, read, value},
    maps::offset,
    record::{Ring, send, write_header},
};

/// `TCP_LISTEN` (include/net/tcp_states.h).
const TCP_LISTEN: i32 = 10;
const AF_INET6: u16 = 10;

/// match-proto: `TP_PROTO(const struct sock *sk, const int oldstate, const int newstate)`
/// (include/trace/events/sock.h).
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn listen(ctx: RawTracePointContext) -> i32 {
    if ctx.arg::<i32>(2) == TCP_LISTEN {
        done(try_listen(ctx.arg(0)));
    }
    0
}

#[repr(C)]
struct ListenRecord {
    header: RecordHeader,
    body: ListenBody,
}

#[inline(always)]
fn try_listen(sock: u64) -> Try<()> {
    let task = Task::current();
    let leader = task.group_leader().ok_or(Fail::Task)?;
    let family = read::<u16>(sock, offset!(sock_family)).ok_or(Fail::Sock)?;
    let mut record = core::mem::MaybeUninit::<ListenRecord>::uninit();
    let to = record.as_mut_ptr();
    // SAFETY: every field is written before the record is read.
    unsafe {
        write_header(&raw mut (*to).header, RecordKind::Listen, Lane::Listen, leader.start_boottime());
        (*to).header.mnt_ns = task.mnt_ns();
        (*to).header.len = size_of::<ListenRecord>() as u32;
        (*to).body.address = [0; 16];
        if family == AF_INET6 && offset!(sock_v6_rcv_saddr) != ABSENT {
            (*to).body.address = value(sock, offset!(sock_v6_rcv_saddr));
        } else {
            (&raw mut (*to).body.address).cast::<[u8; 4]>().write(value(sock, offset!(sock_rcv_saddr)));
        }
        (*to).body.port = value(sock, offset!(sock_num));
        (*to).body.family = family;
        (*to).body.protocol = u32::from(value::<u16>(sock, offset!(sock_protocol)));
        send(Ring::Process, &(*to).header, size_of::<ListenRecord>() as u64);
    }
    Ok(())
}
