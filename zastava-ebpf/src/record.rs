//! Building a record in this CPU's scratch memory and sending it off, or entering its loss in the ledger.

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP},
    helpers::generated::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_smp_processor_id, bpf_ktime_get_boot_ns,
        bpf_probe_read_kernel, bpf_probe_read_kernel_str, bpf_probe_read_user,
    },
    maps::RingBuf,
};
use zastava_common::abi::{
    Lane, LossKey, LossValue, MAX_COMPONENTS, MAX_PATH, PathLens, RecordHeader, RecordKind,
};

use crate::{
    kernel::{Fail, Mount, Path, Task, Try, View, value},
    maps::{EXEC_SCRATCH, FILES_RING, LOSS, PATH_SCRATCH, PROCESS_RING, SEQUENCE, offset, setting},
};

/// Most mount points that a path crosses on its way to the root.
const MAX_MOUNTS: usize = 32;
/// Longest name of a directory entry (`NAME_MAX`, include/uapi/linux/limits.h).
const NAME_MAX: u64 = 255;

/// Which ring a record goes to.
#[derive(Clone, Copy)]
pub enum Ring {
    Process,
    Files,
}

/// Writes a header. Takes the sequence number: from here on the record arrives or is a loss.
#[inline(always)]
pub fn write_header(to: *mut RecordHeader, kind: RecordKind, lane: Lane, leader: Task) {
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
        (*to).start_boot_ns = leader.start_boottime();
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
        lost(header);
    }
    sent
}

/// Enters a record that could not be sent in the ledger.
#[inline(never)]
fn lost(header: &RecordHeader) {
    let key = LossKey { cgroup_id: header.cgroup_id, kind: u32::from(header.kind), reserved: 0 };
    if add_loss(&key, header.boot_ns) {
        return;
    }
    let first = LossValue { count: 0, first_ns: header.boot_ns, last_ns: header.boot_ns };
    // Another CPU may have been faster, or the ledger is full: both show at the second look.
    let _ = LOSS.insert(&key, &first, u64::from(BPF_NOEXIST));
    if !add_loss(&key, header.boot_ns) {
        add_loss(&LossKey { cgroup_id: 0, kind: u32::from(header.kind), reserved: 0 }, header.boot_ns);
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
}

/// For [`EXEC_SCRATCH`].
pub type ExecRecord = Record<{ (28 << 10) - 4096 }>;
/// For [`PATH_SCRATCH`].
pub type PathRecord = Record<{ 8448 - 4096 }>;

impl ExecRecord {
    #[inline(always)]
    pub fn new<Body>() -> Try<Self> {
        let fixed = (size_of::<RecordHeader>() + size_of::<Body>()) as u64;
        let scratch = EXEC_SCRATCH.get_ptr_mut(0).ok_or(Fail::Scratch)?;
        // SAFETY: fields of a live map value.
        unsafe {
            Ok(Self { view: &raw mut (*scratch).view, base: (&raw mut (*scratch).bytes).cast(), len: fixed })
        }
    }
}

impl PathRecord {
    #[inline(always)]
    pub fn new<Body>(lane: Lane) -> Try<Self> {
        let fixed = (size_of::<RecordHeader>() + size_of::<Body>()) as u64;
        let scratch = PATH_SCRATCH.get_ptr_mut(lane as u32 - Lane::Mapping as u32).ok_or(Fail::Scratch)?;
        // SAFETY: fields of a live map value.
        unsafe {
            Ok(Self { view: &raw mut (*scratch).view, base: (&raw mut (*scratch).bytes).cast(), len: fixed })
        }
    }
}

/// Where byte `len` of the record at `base` stands; with `len` past `CAP`, `base` itself.
///
/// In assembly so that check and addition stay side by side: verifiers before 5.13 forget the bounds of a number that
/// the compiler puts on the stack in between.
#[inline(always)]
fn at<const CAP: u64>(base: *mut u8, len: u64) -> *mut u8 {
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
fn at_most<const MAX: u64>(value: u64) -> u64 {
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

    /// Adds a plain value to the tail.
    #[inline(always)]
    pub fn append<T: Copy>(&mut self, value: T) {
        let len = self.len;
        if len <= CAP {
            // SAFETY: inside the scratch memory by the check; the tail keeps no alignment.
            unsafe { at::<CAP>(self.base, len).cast::<T>().write_unaligned(value) };
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
        let start = self.len;
        let walk = Walk {
            dentry: path.dentry,
            vfsmount: path.vfsmount,
            mnt_root: mount.root,
            root_dentry: root.dentry,
            root_vfsmount: root.vfsmount,
            start,
            len: start,
            components: 0,
            complete: 0,
            failed: 0,
            reserved: 0,
        };
        // SAFETY: the walk stands before the record in the same map value.
        let at = unsafe { self.base.sub(size_of::<Walk>()).cast::<Walk>() };
        // SAFETY: as above.
        unsafe { at.write_volatile(walk) };
        steps::<CAP>(at);
        // SAFETY: as above.
        let Walk { len, components, complete, failed, .. } = unsafe { at.read_volatile() };
        self.len = len;
        PathLens {
            len: (len - start) as u16,
            components: components as u16,
            truncated: u32::from((complete == 0) | (failed != 0)),
        }
    }
}

/// A path's walk. It lives in map memory, not in registers, so that the verifier finds the same state at each
/// turn of the loop and does not follow every branch of every turn.
#[repr(C)]
pub struct Walk {
    dentry: u64,
    vfsmount: u64,
    mnt_root: u64,
    root_dentry: u64,
    root_vfsmount: u64,
    start: u64,
    len: u64,
    components: u32,
    complete: u32,
    /// Not 0: a name could not be read.
    failed: u32,
    reserved: u32,
}

/// A field of the walk, through memory.
macro_rules! get {
    ($walk:ident.$field:ident) => {
        // SAFETY: `step`'s caller passes a live walk.
        unsafe { (&raw const (*$walk).$field).read_volatile() }
    };
}
macro_rules! set {
    ($walk:ident.$field:ident = $value:expr) => {{
        let value = $value;
        // SAFETY: as for `get!`.
        unsafe { (&raw mut (*$walk).$field).write_volatile(value) }
    }};
}

/// Most turns of a walk.
const MAX_STEPS: u32 = (MAX_COMPONENTS + MAX_MOUNTS) as u32;

/// Walks to the end. `bpf_loop` (5.17) lets the verifier look at one turn instead of all of them.
#[cfg(feature = "bpf-loop")]
#[inline(always)]
fn steps<const CAP: u64>(walk: *mut Walk) {
    unsafe extern "C" fn turn<const CAP: u64>(_index: u32, walk: *mut *mut Walk) -> i64 {
        // SAFETY: `steps` passes the address of its pointer.
        i64::from(step::<CAP>(unsafe { *walk }))
    }
    let mut context = walk;
    // SAFETY: the callback has the form that bpf_loop calls (include/uapi/linux/bpf.h).
    unsafe {
        aya_ebpf::helpers::generated::bpf_loop(
            MAX_STEPS,
            turn::<CAP> as *mut core::ffi::c_void,
            (&raw mut context).cast(),
            0,
        );
    }
}

/// Walks to the end.
#[cfg(not(feature = "bpf-loop"))]
#[inline(always)]
fn steps<const CAP: u64>(walk: *mut Walk) {
    for _ in 0..MAX_STEPS {
        if step::<CAP>(walk) != 0 {
            break;
        }
    }
}

/// One component or mount point further up; not 0 at the end.
///
/// Few branches, for the verifier follows each of them at each turn: what cannot be read is zero (the helper clears
/// its destination), and a dentry of zero ends the walk at the next turn.
#[inline(never)]
fn step<const CAP: u64>(walk: *mut Walk) -> u32 {
    let dentry = get!(walk.dentry);
    let vfsmount = get!(walk.vfsmount);
    let mnt_root = get!(walk.mnt_root);
    // d_parent, d_name.hash_len, d_name.name: side by side (`Layout::fits`).
    let [parent, hash_len, from] = value::<[u64; 3]>(dentry, offset!(dentry_d_parent));
    if parent == 0 {
        return 1;
    }
    // One branch for both.
    if (dentry ^ get!(walk.root_dentry)) | (vfsmount ^ get!(walk.root_vfsmount)) == 0 {
        set!(walk.complete = 1);
        return 1;
    }
    // A memfd stands in no directory: it is its own parent, and has a name all the same.
    let alone = (dentry == parent) & (dentry != mnt_root) & (get!(walk.components) == 0);
    if (dentry == mnt_root || dentry == parent) && !alone {
        // container_of(vfsmount, struct mount, mnt) (fs/mount.h)
        let mount = vfsmount.wrapping_sub(u64::from(offset!(mount_mnt)));
        let above = value::<u64>(mount, offset!(mount_mnt_parent));
        if (above == mount) || (dentry != mnt_root) {
            // The root of all mounts, or of a file system that is not mounted (memfd, unlinked).
            set!(walk.complete = 1);
            return 1;
        }
        let vfsmount = above.wrapping_add(u64::from(offset!(mount_mnt)));
        set!(walk.dentry = value(mount, offset!(mount_mnt_mountpoint)));
        set!(walk.vfsmount = vfsmount);
        set!(walk.mnt_root = value(vfsmount, offset!(vfsmount_mnt_root)));
        return 0;
    }
    let name_len = (hash_len >> 32) & NAME_MAX;
    let components = get!(walk.components);
    let len = get!(walk.len);
    if len > CAP {
        return 1;
    }
    if (components >= MAX_COMPONENTS as u32) | (len - get!(walk.start) + name_len > MAX_PATH as u64) {
        return 1;
    }
    // SAFETY: the record begins behind the walk; at most 256 bytes behind `len` are inside its memory.
    let failed = unsafe {
        let to = at::<CAP>(walk.add(1).cast(), len);
        let failed = bpf_probe_read_kernel(to.cast(), at_most::<NAME_MAX>(name_len) as u32, from as *const _);
        *at::<NAME_MAX>(to, name_len) = 0;
        failed
    };
    set!(walk.failed = get!(walk.failed) | failed as u32);
    set!(walk.len = len + name_len + 1);
    set!(walk.components = components + 1);
    set!(walk.dentry = parent);
    0
}
