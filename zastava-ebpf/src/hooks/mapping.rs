//! Executable mappings: `security_mmap_file`, and `security_file_mprotect` for those that become executable later.

use aya_ebpf::{
    helpers::generated::bpf_get_current_cgroup_id,
    macros::{fentry, kprobe},
    programs::{FEntryContext, ProbeContext},
};
use zastava_common::abi::{Lane, MappingBody, RecordKind, file_flag};

use super::done;
use crate::{
    kernel::{Fail, File, Seen, Task, Try, value},
    maps::{RECENT, Recent, SEEN, SeenKey, offset},
    record::{PathRecord, Ring, write_header},
    typed::{self, field},
};

const PROT_EXEC: u64 = 4;
/// `VM_EXEC` (include/linux/mm.h).
const VM_EXEC: u64 = 4;

/// match-proto: `int security_mmap_file(struct file *file, unsigned long prot, unsigned long flags)`
/// (security/security.c); the ELF loader's own mappings come by here too.
#[fentry(function = "security_mmap_file")]
pub fn mapping_fentry(ctx: FEntryContext) -> i32 {
    let (file, prot) = (ctx.arg(0), ctx.arg(1));
    if is_executable(file, prot) && !was_just_told(file) {
        done(try_mapping(File(file), prot, Lane::Mapping));
    }
    0
}

#[kprobe(function = "security_mmap_file")]
pub fn mapping_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(file), Some(prot)) = (ctx.arg(0), ctx.arg(1)) {
        if is_executable(file, prot) {
            done(try_mapping(File(file), prot, Lane::Mapping));
        }
    }
    0
}

#[inline(always)]
fn is_executable(file: u64, prot: u64) -> bool {
    prot & PROT_EXEC != 0 && file != 0
}

/// match-proto: `int security_file_mprotect(struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot)`
/// (security/security.c).
#[fentry(function = "security_file_mprotect")]
pub fn protect_fentry(ctx: FEntryContext) -> i32 {
    done(try_protect(ctx.arg(0), ctx.arg(2)));
    0
}

#[kprobe(function = "security_file_mprotect")]
pub fn protect_kprobe(ctx: ProbeContext) -> u32 {
    if let (Some(vma), Some(prot)) = (ctx.arg(0), ctx.arg(2)) {
        done(try_protect(vma, prot));
    }
    0
}

#[inline(always)]
fn try_protect(vma: u64, prot: u64) -> Try<()> {
    if prot & PROT_EXEC == 0 {
        return Ok(());
    }
    let file = value::<u64>(vma, offset!(vma_vm_file));
    if file == 0 || value::<u64>(vma, offset!(vma_vm_flags)) & VM_EXEC != 0 {
        return Ok(());
    }
    try_mapping(File(file), prot, Lane::Protect)
}

/// For a file whose type the verifier knows: whether its mapping was told, at the price of a few reads where this CPU
/// was asked a moment ago. Most mappings are of that kind.
#[inline(always)]
fn was_just_told(file: u64) -> bool {
    let inode = field(file, offset!(file_f_inode));
    let (ino, cgroup_id) = (field(inode, offset!(inode_i_ino)), cgroup_id());
    let Some(slot) = RECENT.get_ptr_mut(Recent::place(ino, cgroup_id)) else { return false };
    // SAFETY: the slot is this CPU's own, and no other run of this program interrupts this one.
    let slot = unsafe { &mut *slot };
    if slot.ino == ino && slot.cgroup_id == cgroup_id && typed::is_still(inode, slot) {
        return true;
    }
    let Some(file) = typed::version(inode) else { return false };
    let told = was_told(&SeenKey { cgroup_id, file, by_protect: 0 });
    if told {
        *slot = typed::recent(inode, ino, cgroup_id);
    }
    told
}

#[inline(always)]
fn try_mapping(file: File, prot: u64, lane: Lane) -> Try<()> {
    let by_protect = u32::from(lane as u8 == Lane::Protect as u8);
    let task = Task::current();
    let mm = task.mm();
    // The program itself is announced by its exec.
    if value::<u64>(mm, offset!(mm_exe_file)) == file.0 && by_protect == 0 {
        return Ok(());
    }
    let mut record = PathRecord::new::<MappingBody>(lane)?;
    let seen = Seen::real(record.view, file.inode()).ok_or(Fail::Inode)?;
    let key = SeenKey { cgroup_id: cgroup_id(), file: seen.version(), by_protect: u64::from(by_protect) };
    if was_told(&key) {
        return Ok(());
    }
    let _ = SEEN.insert(&key, &0, 0);

    let leader = task.group_leader().ok_or(Fail::Task)?;
    let path = file.path().ok_or(Fail::File)?;
    let mount = path.mount();
    let root = task.root();
    let head = record.header();
    write_header(head, RecordKind::Mapping, lane, leader.start_boottime());
    let body = record.body::<MappingBody>();
    // SAFETY: the record's own memory.
    unsafe {
        (*head).mnt_ns = task.mnt_ns();
        seen.identify(&raw mut (*body).file);
        if mount.is_internal() {
            (*body).file.flags |= file_flag::INTERNAL_MOUNT;
        }
        (*body).image = mm;
        (*body).prot = prot as u32;
        (*body).by_protect = by_protect;
        (*body).path = record.append_path(path, mount, root);
    }
    if !record.send(Ring::Files) {
        // To be told at the next mapping.
        let _ = SEEN.remove(&key);
    }
    Ok(())
}

#[inline(always)]
fn cgroup_id() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_cgroup_id() }
}

#[inline(always)]
fn was_told(key: &SeenKey) -> bool {
    SEEN.get_ptr(key).is_some()
}
