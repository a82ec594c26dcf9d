//! Building a record in this CPU's scratch memory and sending it off, or entering its loss in the ledger.

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP},
    helpers::generated::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_boot_ns,
        bpf_probe_read_kernel_str, bpf_probe_read_user,
    },
    maps::RingBuf,
};
use zastava_common::abi::{Lane, LossKey, LossValue, MAX_PATH, PathLens, RecordHeader, RecordKind};

use crate::{
    kernel::{Fail, Mount, Path, Try, View},
    maps::{EXEC_SCRATCH, FILES_RING, LOSS, PATH_SCRATCH, PROCESS_RING, PathScratch, SEQUENCE, setting},
    walk::Walk,
};

/// Which ring a record goes to.
#[derive(Clone, Copy)]
pub enum Ring {
    Process,
    Files,
}

/// Writes a header; the process began at `start_boot_ns`. Takes the sequence number: from here on the record arrives or
/// is a loss.
#[inline(always)]
pub fn write_header(to: *mut RecordHeader, kind: RecordKind, lane: Lane, start_boot_ns: u64) {
    let seq = match SEQUENCE.get_ptr_mut(lane as u32) {
        // SAFETY: this CPU's own slot, and no other program uses this lane.
        Some(slot) => unsafe {
            *slot += 1;
            *slot
        },
        None => 0,
    };
    // SAFETY: callers pass a place in scratch memory or on their stack; the helpers take no arguments.
    unsafe {
        let pid_tgid = bpf_get_current_pid_tgid();
        (*to).len = 0;
        (*to).kind = kind as u8;
        (*to).tier = setting!(tier) as u8;
        (*to).lane = lane as u8;
        (*to).reserved = 0;
        (*to).cpu = bpf_get_smp_processor_id();
        (*to).mnt_ns = 0;
        (*to).seq = seq;
        (*to).boot_ns = bpf_ktime_get_boot_ns();
        (*to).tgid = (pid_tgid >> 32) as u32;
        (*to).tid = pid_tgid as u32;
        (*to).start_boot_ns = start_boot_ns;
        (*to).cgroup_id = bpf_get_current_cgroup_id();
    }
}

/// Sends the `len` bytes of a record that begins with `header`; `false`: lost, and entered in the ledger.
#[inline(always)]
pub fn send(ring: Ring, header: &RecordHeader, len: u64) -> bool {
    let (map, watermark): (&RingBuf, u32) = match ring {
        Ring::Process => (&PROCESS_RING, setting!(process_watermark)),
        Ring::Files => (&FILES_RING, setting!(files_watermark)),
    };
    let waiting = map.query(u64::from(BPF_RB_AVAIL_DATA));
    // Flags 0: the kernel wakes the reader for the first record after it caught up, and for no other.
    let flags = if waiting >= u64::from(watermark) { u64::from(BPF_RB_FORCE_WAKEUP) } else { 0 };
    // SAFETY: callers pass initialised scratch memory of at least `len` bytes.
    let bytes =
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(header).cast::<u8>(), len as usize) };
    let sent = map.output::<[u8]>(bytes, flags).is_ok();
    if !sent {
        lost(header.cgroup_id, u32::from(header.kind), header.boot_ns);
    }
    sent
}

/// Enters a record that could not be sent, or not be made, in the ledger.
#[inline(never)]
pub fn lost(cgroup_id: u64, kind: u32, now: u64) {
    let key = LossKey { cgroup_id, kind, reserved: 0 };
    if add_loss(&key, now) {
        return;
    }
    let first = LossValue { count: 0, first_ns: now, last_ns: now };
    // Another CPU may have been faster, or the ledger is full: both show at the second look.
    let _ = LOSS.insert(&key, &first, u64::from(BPF_NOEXIST));
    if !add_loss(&key, now) {
        add_loss(&LossKey { cgroup_id: 0, kind, reserved: 0 }, now);
    }
}

/// Adds one atomically (`BPF_XADD`, in every kernel; `core` has no atomic add for this target).
///
/// # Safety
/// `counter` points into a live map value.
#[inline(always)]
pub unsafe fn increment(counter: *mut u64) {
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) 1u64, options(nostack));
    }
}

#[inline(always)]
fn add_loss(key: &LossKey, now: u64) -> bool {
    let Some(value) = LOSS.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: a live map value; the count is shared by all CPUs, the time is last-writer-wins.
    unsafe {
        increment(&raw mut (*value).count);
        if (*value).first_ns == 0 {
            (*value).first_ns = now;
        }
        (*value).last_ns = now;
    }
    true
}

/// A record under construction.
///
/// `CAP` is the furthest that [`Self::len`] goes; the memory behind `base` is at least a page longer, so that a
/// piece of up to a page can always be put at `len` and the verifier needs no other proof.
pub struct Record<const CAP: u64> {
    /// Room to look at the record's file in.
    pub view: *mut View,
    base: *mut u8,
    len: u64,
    /// Whose scratch memory it is.
    lane: Lane,
}

/// How far the records in [`EXEC_SCRATCH`] and in [`PATH_SCRATCH`] go.
pub const EXEC_CAP: u64 = (28 << 10) - 4096;
pub const PATH_CAP: u64 = 8448 - 4096;

pub type ExecRecord = Record<EXEC_CAP>;
pub type PathRecord = Record<PATH_CAP>;

/// This CPU's scratch memory of a lane from [`Lane::Mapping`] on.
#[inline(always)]
pub fn path_scratch(lane: u32) -> Option<*mut PathScratch> {
    PATH_SCRATCH.get_ptr_mut(lane.wrapping_sub(Lane::Mapping as u32))
}

impl ExecRecord {
    #[inline(always)]
    pub fn new<Body>() -> Try<Self> {
        let fixed = (size_of::<RecordHeader>() + size_of::<Body>()) as u64;
        let scratch = EXEC_SCRATCH.get_ptr_mut(0).ok_or(Fail::Scratch)?;
        // SAFETY: fields of a live map value.
        unsafe {
            Ok(Self {
                view: &raw mut (*scratch).view,
                base: (&raw mut (*scratch).bytes).cast(),
                len: fixed,
                lane: Lane::Exec,
            })
        }
    }
}

impl PathRecord {
    #[inline(always)]
    pub fn new<Body>(lane: Lane) -> Try<Self> {
        let fixed = (size_of::<RecordHeader>() + size_of::<Body>()) as u64;
        let scratch = path_scratch(lane as u32).ok_or(Fail::Scratch)?;
        // SAFETY: fields of a live map value.
        unsafe {
            Ok(Self {
                view: &raw mut (*scratch).view,
                base: (&raw mut (*scratch).bytes).cast(),
                len: fixed,
                lane,
            })
        }
    }
}

/// Where byte `len` of the record at `base` stands; with `len` past `CAP`, `base` itself.
///
/// In assembly so that check and addition stay side by side: verifiers before 5.13 forget the bounds of a number that
/// the compiler puts on the stack in between.
#[inline(always)]
pub fn at<const CAP: u64>(base: *mut u8, len: u64) -> *mut u8 {
    let mut to = base;
    // SAFETY: no memory is touched; the result stays inside the object that `base` points to.
    unsafe {
        core::arch::asm!(
            "if {len} <= {cap} goto +1",
            "{len} = 0",
            "{to} += {len}",
            len = inout(reg) len => _,
            to = inout(reg) to,
            cap = const CAP,
            options(nomem, nostack)
        );
    }
    to
}

/// `value`, at most `MAX`; see [`at`].
#[inline(always)]
pub fn at_most<const MAX: u64>(value: u64) -> u64 {
    let mut bounded = value;
    // SAFETY: registers only.
    unsafe {
        core::arch::asm!(
            "if {0} <= {max} goto +1",
            "{0} = {max}",
            inout(reg) bounded,
            max = const MAX,
            options(nomem, nostack)
        );
    }
    bounded
}

impl<const CAP: u64> Record<CAP> {
    /// The record's beginning.
    #[inline(always)]
    pub fn header(&self) -> *mut RecordHeader {
        self.base.cast()
    }

    /// The fixed part of its kind, in place. Only [`Self::new`]'s caller knows its type.
    #[inline(always)]
    pub fn body<T>(&self) -> *mut T {
        // SAFETY: inside the scratch memory, 8-byte aligned as the header's length is a multiple of 8.
        unsafe { self.base.add(size_of::<RecordHeader>()).cast() }
    }

    /// Sends what was built; `false`: lost, and entered in the ledger.
    #[inline(always)]
    pub fn send(self, ring: Ring) -> bool {
        let len = at_most::<CAP>(self.len);
        // SAFETY: the header was written before.
        unsafe {
            (*self.header()).len = len as u32;
            send(ring, &*self.header(), len)
        }
    }

    /// Adds words to a tail that has nothing else yet.
    #[inline(always)]
    pub fn append<T: Copy>(&mut self, value: T) {
        let len = self.len;
        if len <= CAP {
            // SAFETY: inside the scratch memory by the check, and aligned: all fixed parts are whole words.
            unsafe { at::<CAP>(self.base, len).cast::<T>().write(value) };
            self.len = len + size_of::<T>() as u64;
        }
    }

    /// Adds a NUL-terminated kernel string of at most [`MAX_PATH`]; returns its length without the NUL.
    #[inline(always)]
    pub fn append_kernel_str(&mut self, from: u64) -> u16 {
        let len = self.len;
        if len > CAP {
            return 0;
        }
        // SAFETY: at most a page behind `len`, inside the scratch memory.
        let copied = unsafe {
            bpf_probe_read_kernel_str(at::<CAP>(self.base, len).cast(), MAX_PATH as u32, from as *const _)
        };
        if copied <= 1 || copied > MAX_PATH as i64 {
            return 0;
        }
        // The NUL is overwritten by what comes next.
        self.len = len + copied as u64 - 1;
        (copied - 1) as u16
    }

    /// Adds `count` bytes of the current process's memory; returns how many there are now.
    #[inline(always)]
    pub fn append_user(&mut self, from: u64, count: u64) -> u16 {
        let len = self.len;
        if len > CAP || count > MAX_PATH as u64 {
            return 0;
        }
        // SAFETY: at most a page behind `len`, inside the scratch memory.
        let error = unsafe {
            bpf_probe_read_user(
                at::<CAP>(self.base, len).cast(),
                at_most::<{ MAX_PATH as u64 }>(count) as u32,
                from as *const _,
            )
        };
        if error != 0 {
            return 0;
        }
        self.len = len + count;
        count as u16
    }

    /// Adds the components of `path`, which is in `mount`, up to `root`; leaf first.
    #[inline(always)]
    pub fn append_path(&mut self, path: Path, mount: Mount, root: Path) -> PathLens {
        // SAFETY: the walk stands before the record in the same map value.
        let walk = unsafe { self.base.sub(size_of::<Walk>()).cast::<Walk>() };
        let (len, lens) = Walk::new(path, mount, root, self.len).run(walk, self.lane);
        self.len = len;
        lens
    }
}
