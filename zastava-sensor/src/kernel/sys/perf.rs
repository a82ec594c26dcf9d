//! `perf_event_open(2)` for software dummy events: they count nothing and carry the side-band records.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use zerocopy::{Immutable, IntoBytes};

/// `struct perf_event_attr` up to `PERF_ATTR_SIZE_VER5` (include/uapi/linux/perf_event.h), known since Linux 4.1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, Immutable, IntoBytes)]
pub struct Attr {
    pub kind: u32,
    pub size: u32,
    pub config: u64,
    pub sample_period: u64,
    pub sample_type: u64,
    pub read_format: u64,
    /// See [`flag`].
    pub flags: u64,
    pub wakeup_watermark: u32,
    pub bp_type: u32,
    pub config1: u64,
    pub config2: u64,
    pub branch_sample_type: u64,
    pub sample_regs_user: u64,
    pub sample_stack_user: u32,
    pub clockid: i32,
    pub sample_regs_intr: u64,
    pub aux_watermark: u32,
    pub sample_max_stack: u16,
    pub reserved: u16,
}

/// Bits of [`Attr::flags`]: the bit field of `struct perf_event_attr`, on little-endian machines.
pub mod flag {
    pub const MMAP: u64 = 1 << 8;
    pub const COMM: u64 = 1 << 9;
    pub const TASK: u64 = 1 << 13;
    pub const WATERMARK: u64 = 1 << 14;
    pub const SAMPLE_ID_ALL: u64 = 1 << 18;
    pub const MMAP2: u64 = 1 << 23;
    pub const COMM_EXEC: u64 = 1 << 24;
    pub const USE_CLOCKID: u64 = 1 << 25;
    /// Since 5.12.
    pub const BUILD_ID: u64 = 1 << 34;
}

#[cfg(target_endian = "big")]
compile_error!("the bits of perf_event_attr stand in the other order on big-endian machines");

const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_DUMMY: u64 = 9;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;
const PERF_EVENT_IOC_SET_OUTPUT: libc::c_ulong = 0x2405;

/// `_IOR('$', 7, __u64 *)`.
const PERF_EVENT_IOC_ID: libc::c_ulong = 0x8008_2407;

/// `PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID | PERF_SAMPLE_CPU`: what stands at the end of each record.
const SAMPLE_TYPE: u64 = 1 << 1 | 1 << 2 | 1 << 6 | 1 << 7;

/// Since 6.0: reading the event tells how many of its records found no room.
const PERF_FORMAT_LOST: u64 = 1 << 4;

impl Attr {
    /// A dummy event with the records that `flags` name, on `CLOCK_BOOTTIME`, waking its reader at `watermark` bytes.
    pub fn dummy(flags: u64, watermark: u32) -> Self {
        Self {
            kind: PERF_TYPE_SOFTWARE,
            size: size_of::<Self>() as u32,
            config: PERF_COUNT_SW_DUMMY,
            sample_type: SAMPLE_TYPE,
            flags: flags | flag::WATERMARK | flag::SAMPLE_ID_ALL | flag::USE_CLOCKID,
            wakeup_watermark: watermark,
            clockid: libc::CLOCK_BOOTTIME,
            ..Self::default()
        }
    }

    /// The same event, which can be asked for its losses ([`lost`]).
    #[must_use]
    pub fn telling_losses(self) -> Self {
        Self { read_format: PERF_FORMAT_LOST, ..self }
    }
}

/// Opens the event for every process on one CPU. `ENODEV`: the CPU is off line.
pub fn open_on_cpu(attr: &Attr, cpu: u32) -> io::Result<OwnedFd> {
    // SAFETY: `attr` outlives the call and its `size` field is the size of the struct; the other arguments are plain numbers.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(attr),
            -1 as libc::pid_t,
            cpu.cast_signed(),
            -1 as libc::c_int,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to us (descriptors fit an int) and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Lets `event` write into the ring of `target`, which must be of the same CPU and clock.
pub fn share_ring(event: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open for the length of the borrow; the argument is a descriptor, no pointer.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_OUTPUT, target.as_raw_fd()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The number that the event's records carry.
pub fn event_id(event: BorrowedFd<'_>) -> io::Result<u64> {
    let mut id = 0_u64;
    // SAFETY: the kernel writes the eight bytes of `id`, which outlives the call.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_ID, std::ptr::from_mut(&mut id)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(id) }
}

/// Records of the event that found no room since it was opened; it must have been opened as one that tells.
pub fn lost(event: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    // Its value, which a dummy event does not have, and the losses.
    let mut answer = [0_u8; 16];
    let read = rustix::io::read(event, &mut answer)?;
    match answer.last_chunk() {
        Some(lost) if read == answer.len() => Ok(u64::from_ne_bytes(*lost)),
        _ => Err(rustix::io::Errno::IO),
    }
}
