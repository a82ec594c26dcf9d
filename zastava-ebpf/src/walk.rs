//! A path's walk: from a dentry up to the root, component by component.
//!
//! The turns of a walk are *global* functions: the verifier looks at such a function once and by itself, with any
//! argument, and a call costs it one instruction. Written into each hook, a walk of 288 turns would be read turn by
//! turn, with each branch of each turn, for each path of each program. A global function takes numbers alone (pointers
//! since 5.12), so it finds its walk by the lane.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use zastava_common::abi::{Lane, MAX_COMPONENTS, MAX_PATH, PathLens};

use crate::{
    kernel::{Mount, Path, value},
    maps::{EXEC_SCRATCH, offset},
    record::{EXEC_CAP, PATH_CAP, at, at_most, path_scratch},
};

/// Most mount points that a path crosses on its way to the root.
const MAX_MOUNTS: usize = 32;
/// Longest name of a directory entry (`NAME_MAX`, include/uapi/linux/limits.h).
const NAME_MAX: u64 = 255;
/// Turns in one call: most paths need no second one.
const TURNS: usize = 16;

/// Where a walk is. It lives in map memory, not in registers, so that the verifier finds the same state after each
/// branch of a turn and does not follow them apart.
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

impl Walk {
    /// From `path`, which is in `mount`, to `root`; the components go to byte `start` of the record and on.
    #[inline(always)]
    pub fn new(path: Path, mount: Mount, root: Path, start: u64) -> Self {
        Self {
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
        }
    }

    /// Walks to the end, in the scratch memory of `lane`, whose walk stands at `place`; where the record ends now.
    #[inline(always)]
    pub fn run(self, place: *mut Self, lane: Lane) -> (u64, PathLens) {
        let start = self.start;
        // SAFETY: callers pass a place in scratch memory.
        unsafe { place.write_volatile(self) };
        for _ in 0..(MAX_COMPONENTS + MAX_MOUNTS) / TURNS {
            let ended = match lane {
                Lane::Exec => walk_exec(),
                lane => walk_path(lane as u32),
            };
            if ended != 0 {
                break;
            }
        }
        // SAFETY: as above.
        let Self { len, components, complete, failed, .. } = unsafe { place.read_volatile() };
        let lens = PathLens {
            len: (len - start) as u16,
            components: components as u16,
            truncated: u32::from((complete == 0) | (failed != 0)),
        };
        (len, lens)
    }
}

/// Some turns of the walk of [`Lane::Exec`]; not 0 at its end.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_exec() -> u32 {
    match EXEC_SCRATCH.get_ptr_mut(0) {
        // SAFETY: a field of a live map value.
        Some(scratch) => turns::<EXEC_CAP>(unsafe { &raw mut (*scratch).walk }),
        None => 1,
    }
}

/// Some turns of the walk of another lane; not 0 at its end.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_path(lane: u32) -> u32 {
    match path_scratch(lane) {
        // SAFETY: a field of a live map value.
        Some(scratch) => turns::<PATH_CAP>(unsafe { &raw mut (*scratch).walk }),
        None => 1,
    }
}

#[inline(always)]
fn turns<const CAP: u64>(walk: *mut Walk) -> u32 {
    for _ in 0..TURNS {
        if turn::<CAP>(walk) {
            return 1;
        }
    }
    0
}

/// A field of the walk, through memory.
macro_rules! get {
    ($walk:ident.$field:ident) => {
        // SAFETY: `turn`'s caller passes a live walk.
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

/// One component or mount point further up; `true` at the end.
///
/// What cannot be read is zero (the helper clears its destination), and a dentry of zero ends the walk at the next turn.
#[inline(always)]
fn turn<const CAP: u64>(walk: *mut Walk) -> bool {
    let dentry = get!(walk.dentry);
    let vfsmount = get!(walk.vfsmount);
    let mnt_root = get!(walk.mnt_root);
    // d_parent, d_name.hash_len, d_name.name: side by side (`Layout::fits`).
    let [parent, hash_len, from] = value::<[u64; 3]>(dentry, offset!(dentry_d_parent));
    if parent == 0 {
        return true;
    }
    // One branch for both.
    if (dentry ^ get!(walk.root_dentry)) | (vfsmount ^ get!(walk.root_vfsmount)) == 0 {
        set!(walk.complete = 1);
        return true;
    }
    // A memfd stands in no directory: it is its own parent, and has a name all the same.
    let alone = (dentry == parent) & (dentry != mnt_root) & (get!(walk.components) == 0);
    if (dentry == mnt_root || dentry == parent) && !alone {
        // container_of(vfsmount, struct mount, mnt) (fs/mount.h)
        let mount = vfsmount.wrapping_sub(u64::from(offset!(mount_mnt)));
        // mnt_parent, mnt_mountpoint: side by side (`Layout::fits`).
        let [above, mountpoint] = value::<[u64; 2]>(mount, offset!(mount_mnt_parent));
        if (above == mount) || (dentry != mnt_root) {
            // The root of all mounts, or of a file system that is not mounted (memfd, unlinked).
            set!(walk.complete = 1);
            return true;
        }
        let vfsmount = above.wrapping_add(u64::from(offset!(mount_mnt)));
        set!(walk.dentry = mountpoint);
        set!(walk.vfsmount = vfsmount);
        set!(walk.mnt_root = value(vfsmount, offset!(vfsmount_mnt_root)));
        return false;
    }
    let name_len = (hash_len >> 32) & NAME_MAX;
    let components = get!(walk.components);
    let len = get!(walk.len);
    if len > CAP {
        return true;
    }
    if (components >= MAX_COMPONENTS as u32) | (len - get!(walk.start) + name_len > MAX_PATH as u64) {
        return true;
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
    false
}
