//! What a thread keeps from one hook to the next ([`KEPT`]).

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns,
};
use zastava_common::abi::{FileIdentity, RecordKind, Tier};

use crate::{
    kernel::Path,
    maps::{KEPT, Kept, REFUSED, setting},
    record::lost,
};

/// What a row is about.
#[derive(Clone, Copy)]
pub enum Of {
    /// A rename or a link.
    Name = 1,
    Chmod = 2,
    /// A script on its way to exec.
    Script = 3,
}

/// Keeps the path of an operation until its success is known. Without room for it, it counts as a lost record: it may
/// succeed.
#[inline(always)]
pub fn operation(of: Of, Path { vfsmount, dentry }: Path) {
    if !keep(&Kept { of: of as u64, dentry, vfsmount, script: FileIdentity::NONE }) {
        // SAFETY: helpers without arguments.
        unsafe { lost(bpf_get_current_cgroup_id(), RecordKind::File as u32, bpf_ktime_get_boot_ns()) };
    }
}

/// Keeps which script this thread is about to execute.
#[inline(always)]
pub fn script(script: FileIdentity) {
    keep(&Kept { of: Of::Script as u64, dentry: 0, vfsmount: 0, script });
}

/// Takes out what `thread` kept of `of`, if it `is_meant`.
#[inline(always)]
pub fn take(thread: u64, of: Of, is_meant: impl FnOnce(&Kept) -> bool) -> Option<Kept> {
    // SAFETY: copied at once; the row is that thread's own.
    let kept = *unsafe { KEPT.get(&thread) }?;
    if kept.of != of as u64 || !is_meant(&kept) {
        return None;
    }
    let _ = KEPT.remove(&thread);
    Some(kept)
}

/// Takes out whatever `thread` kept.
#[inline(always)]
pub fn forget(thread: u64) {
    // The other tiers keep nothing. Most threads do not either, and a look-up costs less than a removal.
    if setting!(tier) >= Tier::Kprobe as u32 && KEPT.get_ptr(&thread).is_some() {
        let _ = KEPT.remove(&thread);
    }
}

/// This thread's id in the initial namespace.
#[inline(always)]
pub fn thread() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_pid_tgid() & 0xffff_ffff }
}

#[inline(always)]
fn keep(kept: &Kept) -> bool {
    let has_room = KEPT.insert(&thread(), kept, 0).is_ok();
    if !has_room && let Some(refused) = REFUSED.get_ptr_mut(0) {
        // SAFETY: the slot is this CPU's own.
        unsafe { *refused += 1 };
    }
    has_room
}
