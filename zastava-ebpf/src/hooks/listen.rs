//! A TCP socket begins to listen: `inet_sock_set_state`. One tracepoint that fires on changes of state only, in
//! every tier, also for io_uring.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use zastava_common::abi::{ABSENT, Lane, ListenBody, RecordHeader, RecordKind};

use super::done;
use crate::{
    kernel::{Fail, Task, Try, read},
    maps::offset,
    record::{Ring, header, send},
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
    let mut address = [0; 16];
    if family == AF_INET6 && offset!(sock_v6_rcv_saddr) != ABSENT {
        address = read(sock, offset!(sock_v6_rcv_saddr)).ok_or(Fail::Sock)?;
    } else {
        let v4: [u8; 4] = read(sock, offset!(sock_rcv_saddr)).ok_or(Fail::Sock)?;
        address[..4].copy_from_slice(&v4);
    }
    let mut record = ListenRecord {
        header: header(RecordKind::Listen, Lane::Listen, Some(leader)),
        body: ListenBody {
            address,
            port: read(sock, offset!(sock_num)).ok_or(Fail::Sock)?,
            family,
            protocol: u32::from(read::<u16>(sock, offset!(sock_protocol)).ok_or(Fail::Sock)?),
        },
    };
    record.header.mnt_ns = task.mnt_ns().unwrap_or(0);
    record.header.len = size_of::<ListenRecord>() as u32;
    send(Ring::Process, &record.header, (&raw const record).cast(), size_of::<ListenRecord>() as u64);
    Ok(())
}
