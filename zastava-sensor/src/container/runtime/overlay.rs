//! A root directory from the mount that makes it.

use std::{
    borrow::Cow,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::text::text;
use crate::{
    container::description::{MAX_LAYERS, Rootfs},
    process::proc::{ProcRoot, mountinfo},
};

/// The host's init: its mounts are the host's.
const INIT: u32 = 1;

/// From a mount's type, source and options. What is no overlay has its one directory as the upper one: there are no
/// layers to tell apart.
pub(super) fn rootfs<'a>(
    kind: &[u8],
    source: &[u8],
    options: impl IntoIterator<Item = &'a [u8]>,
) -> Option<Rootfs> {
    if kind != b"overlay" {
        let source = text(source).ok().filter(|source| source.starts_with('/'))?;
        return Some(Rootfs { upper: Some(source.into()), ..Rootfs::default() });
    }
    let mut rootfs = Rootfs::default();
    for option in options {
        // An option of all lower directories may be long; each of them is bounded.
        let Ok(option) = str::from_utf8(option) else { continue };
        match option.split_once('=') {
            Some(("lowerdir", paths)) => rootfs.lower = lower(paths),
            Some(("upperdir", path)) => rootfs.upper = directory(path),
            Some(("workdir", path)) => rootfs.work = directory(path),
            _ => {}
        }
    }
    Some(rootfs)
}

/// Between colons, the uppermost first; a colon of a path has a backslash before it (ovl_split_lowerdirs in
/// fs/overlayfs/params.c).
pub(super) fn lower(paths: &str) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    let mut path = String::new();
    let mut escaped = false;
    for character in paths.chars().chain([':']) {
        match character {
            '\\' if !escaped => escaped = true,
            ':' if !escaped => {
                directories.extend(directory(&path));
                path.clear();
                if directories.len() >= MAX_LAYERS {
                    break;
                }
            }
            other => {
                path.push(other);
                escaped = false;
            }
        }
    }
    directories
}

/// What the host has mounted there as an overlay. Relative lower directories (containers/storage shortens them) are left
/// out: they are relative to a directory that the kernel does not tell.
pub(super) fn mounted_at(procfs: &ProcRoot, path: &Path) -> Option<Rootfs> {
    let bytes = procfs.read(INIT, "mountinfo", mountinfo::LIMIT).ok()?;
    let path = path.as_os_str().as_bytes();
    let line = overlays(&bytes).find(|line| *mountinfo::unescape(line.point) == *path)?;
    let options: Vec<Cow<'_, [u8]>> = options(&line).collect();
    let mut rootfs = rootfs(b"overlay", b"overlay", options.iter().map(|option| &**option))?;
    rootfs.lower.retain(|path| path.is_absolute());
    Some(rootfs)
}

/// Where the host has the overlay with this upper directory mounted.
pub(super) fn mount_point(procfs: &ProcRoot, upper: &Path) -> Option<PathBuf> {
    let bytes = procfs.read(INIT, "mountinfo", mountinfo::LIMIT).ok()?;
    let option = [b"upperdir=", upper.as_os_str().as_bytes()].concat();
    let line = overlays(&bytes).find(|line| options(line).any(|own| *own == *option))?;
    Some(PathBuf::from(OsStr::from_bytes(&mountinfo::unescape(line.point))))
}

fn overlays(mountinfo: &[u8]) -> impl Iterator<Item = mountinfo::Line<'_>> {
    mountinfo::mounts(mountinfo).filter(|line| line.fs_type == b"overlay")
}

fn options<'a>(line: &mountinfo::Line<'a>) -> impl Iterator<Item = Cow<'a, [u8]>> {
    line.super_options.split(|byte| *byte == b',').map(mountinfo::unescape)
}

fn directory(path: &str) -> Option<PathBuf> {
    let path = text(path.as_bytes()).ok()?;
    (!path.is_empty()).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_told_with_its_directories() {
        let options: [&[u8]; 4] =
            [b"index=off", b"workdir=/s/3/work", b"upperdir=/s/3/fs", b"lowerdir=/s/2/fs:/s/1/fs"];
        let rootfs = rootfs(b"overlay", b"overlay", options).unwrap();
        assert_eq!(rootfs.lower, [Path::new("/s/2/fs"), Path::new("/s/1/fs")]);
        assert_eq!(rootfs.upper.as_deref(), Some(Path::new("/s/3/fs")));
        assert_eq!(rootfs.work.as_deref(), Some(Path::new("/s/3/work")));
    }

    #[test]
    fn a_copy_is_its_own_upper_directory() {
        let options: [&[u8]; 2] = [b"rbind", b"rw"];
        let rootfs = rootfs(b"bind", b"/s/native/7", options).unwrap();
        assert_eq!(rootfs.upper.as_deref(), Some(Path::new("/s/native/7")));
        assert!(rootfs.lower.is_empty());
    }

    #[test]
    fn colons_in_paths_are_no_separators_and_layers_are_bounded() {
        assert_eq!(lower("/a\\:b:/c\\\\d"), [Path::new("/a:b"), Path::new("/c\\d")]);
        assert_eq!(lower(&"/x:".repeat(MAX_LAYERS + 9)).len(), MAX_LAYERS);
        assert!(lower("").is_empty());
    }

    #[test]
    fn a_mounted_overlay_is_found_by_its_place_and_by_its_upper_directory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("1")).unwrap();
        let mountinfo = "30 1 0:30 / / rw - ext4 /dev/vda rw\n\
            31 30 0:31 / /run/a\\040b/rootfs rw,relatime shared:5 - overlay overlay rw,lowerdir=l/AB:/s/1,upperdir=/s/3/fs,workdir=/s/3/work\n";
        std::fs::write(root.path().join("1/mountinfo"), mountinfo).unwrap();
        let procfs = ProcRoot::new(root.path());
        let place = mount_point(&procfs, Path::new("/s/3/fs")).unwrap();
        assert_eq!(place, Path::new("/run/a b/rootfs"));
        let rootfs = mounted_at(&procfs, &place).unwrap();
        assert_eq!(rootfs.lower, [Path::new("/s/1")]);
        assert_eq!(rootfs.work.as_deref(), Some(Path::new("/s/3/work")));
        assert_eq!(mount_point(&procfs, Path::new("/s/4/fs")), None);
    }
}
