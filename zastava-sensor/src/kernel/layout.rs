//! Fills [`Layout`] from the kernel's type information.

use std::{path::Path, sync::Arc};

use zastava_common::abi::{ABSENT, Layout};
use zerocopy::IntoBytes as _;

use super::btf::{Btf, BtfError};

#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error(transparent)]
    Btf(#[from] BtfError),
    #[error(
        "this kernel's type information lacks {0}, which the kernel programs need; please report it with `uname -a`"
    )]
    Missing(&'static str),
    #[error(
        "{0} of this kernel has another order than the kernel programs expect; please report it with `uname -a`"
    )]
    Order(&'static str),
}

/// The running kernel's types.
pub fn types(sys: &Path) -> Result<Arc<Btf>, LayoutError> {
    Ok(Arc::new(Btf::vmlinux(sys)?))
}

/// Looks every field up; overlayfs may be a module with type information of its own.
pub fn resolve(types: &Arc<Btf>, sys: &Path) -> Result<Layout, LayoutError> {
    let overlay = Btf::module(sys, "overlay", Arc::clone(types)).ok();
    resolve_in(types, overlay.as_ref())
}

fn resolve_in(vmlinux: &Btf, overlay: Option<&Btf>) -> Result<Layout, LayoutError> {
    let mut layout = Layout::UNKNOWN;
    // One u32 per row, in the order of the rows.
    let slots = layout.as_mut_bytes().chunks_exact_mut(size_of::<u32>());
    for (field, slot) in Layout::FIELDS.iter().zip(slots) {
        let overlay = overlay.filter(|_| field.name.starts_with("ovl_"));
        let found = field
            .paths
            .iter()
            .find_map(|path| vmlinux.offset_of(path).or_else(|| overlay.and_then(|btf| btf.offset_of(path))));
        if found.is_none() && field.required {
            return Err(LayoutError::Missing(field.paths[0]));
        }
        slot.copy_from_slice(&found.unwrap_or(ABSENT).to_ne_bytes());
    }
    if layout.ovl_inode_vfs_inode == ABSENT {
        guess_overlay(vmlinux, &mut layout);
    }
    layout.fits().map_err(LayoutError::Order)?;
    Ok(layout)
}

/// Modules have type information since 5.11 alone. From 4.19 to 5.18 the last fields of a `struct ovl_inode` but a mutex
/// were `struct inode vfs_inode; struct dentry *__upperdentry; struct inode *lower` (fs/overlayfs/ovl_entry.h).
fn guess_overlay(vmlinux: &Btf, layout: &mut Layout) {
    // Mounts with ids of their own came with 5.12: the kernel is older.
    let old =
        ["vfsmount.mnt_userns", "vfsmount.mnt_idmap"].iter().all(|path| vmlinux.offset_of(path).is_none());
    if let Some(inode) = vmlinux.size_of("inode").filter(|_| old) {
        // Counted from `vfs_inode`, which is all that is ever at hand.
        layout.ovl_inode_vfs_inode = 0;
        layout.ovl_inode_upperdentry = inode;
        layout.ovl_inode_lower = inode + 8;
    }
}

/// Names of the fields that this kernel does not show, for `doctor`.
pub fn absent(layout: &Layout) -> Vec<&'static str> {
    let offsets = layout.as_bytes().chunks_exact(size_of::<u32>());
    Layout::FIELDS
        .iter()
        .zip(offsets)
        .filter(|(_, bytes)| *bytes == ABSENT.to_ne_bytes())
        .map(|(field, _)| field.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_shows_every_required_field_where_a_c_compiler_would_put_it() {
        let sys = Path::new("/sys");
        let layout = resolve(&types(sys).unwrap(), sys).unwrap();
        // `struct path { struct vfsmount *mnt; struct dentry *dentry; }` (include/linux/path.h), stable for decades.
        assert_eq!((layout.path_mnt, layout.path_dentry), (0, 8));
        assert_eq!(layout.vfsmount_mnt_root, 0);
        assert_eq!(layout.qstr_len, 4);
        assert_eq!(layout.qstr_name, 8);
        assert_eq!(layout.sock_family, 16);
    }

    #[test]
    fn fields_outside_of_what_is_copied_or_not_aligned_are_refused() {
        let sys = Path::new("/sys");
        let layout = resolve(&types(sys).unwrap(), sys).unwrap();
        assert_eq!(layout.fits(), Ok(()));
        for wrong in [
            Layout { inode_i_size: layout.inode_i_size + 4, ..layout },
            Layout { inode_i_generation: layout.inode_i_generation + 2, ..layout },
            Layout { inode_ctime_sec: 1 << 10, ..layout },
        ] {
            assert_eq!(wrong.fits(), Err("struct inode"));
        }
    }

    #[test]
    fn a_kernel_without_a_required_struct_is_refused_by_name() {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24u32, 0, 0, 0, 1] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.push(0);
        let empty = Btf::parse(bytes, None).unwrap();
        let error = resolve_in(&empty, None).unwrap_err();
        assert!(matches!(error, LayoutError::Missing("task_struct.tgid")));
    }
}
