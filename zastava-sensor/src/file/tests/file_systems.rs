//! Handles, devices and generations of the file systems that containers stand on; as root.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use zastava_common::abi::file_flag;

use crate::kernel::sys::stat::{BTRFS, TMPFS, kernel_dev};
use crate::process::proc::mountinfo;

use super::*;

/// A file system that is there for one test.
struct Mounted {
    directory: TempDir,
}

impl Mounted {
    /// `None` where the machine has no such file system or no tool to make it; says so.
    fn new(kind: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let point = directory.path().join("mnt");
        std::fs::create_dir(&point).unwrap();
        if kind == "tmpfs" {
            return mount(&["-t", "tmpfs", "tmpfs", point.to_str().unwrap()]).then_some(Self { directory });
        }
        File::create(&image).unwrap().set_len(400 << 20).unwrap();
        let made = Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image).output();
        match made {
            Ok(output) if output.status.success() => {}
            other => {
                println!("skipped: mkfs.{kind}: {other:?}");
                return None;
            }
        }
        let mounted = mount(&["-t", kind, "-o", "loop", image.to_str().unwrap(), point.to_str().unwrap()]);
        mounted.then_some(Self { directory })
    }

    fn point(&self) -> PathBuf {
        self.directory.path().join("mnt")
    }

    /// The device as the mount table has it.
    fn dev(&self) -> u32 {
        let table = std::fs::read("/proc/self/mountinfo").unwrap();
        let point = self.point();
        let line = mountinfo::mounts(&table).find(|line| line.point == point.as_os_str().as_bytes()).unwrap();
        kernel_dev(line.major, line.minor)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.point()).status();
    }
}

fn mount(arguments: &[&str]) -> bool {
    let output = Command::new("mount").args(arguments).output().unwrap();
    if !output.status.success() {
        println!("skipped: mount {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    output.status.success()
}

/// Opens by the inode alone: no process, and a path that leads nowhere.
fn by_handle(file: &FileIdentity) -> Artifact {
    let path = kernel_path(Path::new("/nonexistent"));
    let asked = FileRequest { identity: Some(file), process_gone: true, ..request(&path) };
    Bench::new(Limits::default()).stage.identify(&asked)
}

#[test]
fn ext4_xfs_and_btrfs_open_an_inode_by_its_numbers() {
    for kind in ["ext4", "xfs", "btrfs"] {
        let Some(mounted) = Mounted::new(kind) else { continue };
        let path = mounted.point().join("a");
        let mut file = write(&path, b"content");
        if kind == "btrfs" {
            assert_eq!(file.fs_magic, BTRFS);
            assert_ne!(file.dev, mounted.dev(), "statx gives the subvolume's");
        }
        file.dev = mounted.dev();
        assert_ne!(file.generation, 0, "{kind}");
        assert_digest(&by_handle(&file), b"content", Strength::Inode);

        let other = FileIdentity { generation: file.generation.wrapping_add(1), ..file };
        assert!(by_handle(&other).sha256.value().is_none(), "{kind}");
        let answer = Bench::new(Limits::default()).created(&other, &path);
        assert_refused(&answer, reason::REPLACED);
    }
}

#[test]
fn a_file_in_another_subvolume_is_found_by_its_path() {
    let Some(mounted) = Mounted::new("btrfs") else { return };
    let subvolume = mounted.point().join("sub");
    let made = Command::new("btrfs").args(["-q", "subvolume", "create"]).arg(&subvolume).status().unwrap();
    assert!(made.success());
    let path = subvolume.join("a");
    let file = FileIdentity { dev: mounted.dev(), ..write(&path, b"content") };
    assert!(by_handle(&file).sha256.value().is_none());
    assert_digest(&Bench::new(Limits::default()).created(&file, &path), b"content", Strength::PathChecked);
}

#[test]
fn tmpfs_opens_by_its_numbers_only_what_was_given_a_handle_before() {
    let Some(mounted) = Mounted::new("tmpfs") else { return };
    let path = mounted.point().join("a");
    std::fs::write(&path, b"content").unwrap();
    let fd = OwnedFd::from(File::open(&path).unwrap());
    let unhashed = FileIdentity { fs_magic: TMPFS, ..Sight::of(&fd).unwrap().file };
    settle(&unhashed);
    assert!(by_handle(&unhashed).sha256.value().is_none());
    assert_digest(
        &Bench::new(Limits::default()).created(&unhashed, &path),
        b"content",
        Strength::PathChecked,
    );
    assert_digest(&by_handle(&identity(&path)), b"content", Strength::Inode);
}

#[test]
fn the_real_file_below_an_overlay_is_opened() {
    let Some(below) = Mounted::new("ext4") else { return };
    let at = |name: &str| below.point().join(name);
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    let lower = write(&at("lower/a"), b"from the image");
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        at("lower").display(),
        at("upper").display(),
        at("work").display()
    );
    if !mount(&["-t", "overlay", "overlay", "-o", &options, at("merged").to_str().unwrap()]) {
        return;
    }
    std::fs::write(at("merged/b"), b"written").unwrap();
    let upper = identity(&at("upper/b"));
    settle(&upper);
    for (file, flags, path, content) in [
        (lower, file_flag::OVERLAY, "merged/a", &b"from the image"[..]),
        (upper, file_flag::OVERLAY | file_flag::OVERLAY_UPPER, "merged/b", b"written"),
    ] {
        let file = FileIdentity { flags, ..file };
        assert_digest(&by_handle(&file), content, Strength::Inode);
        // A device that no mount has: the handle cannot be opened, the path through the overlay can.
        let hidden = FileIdentity { dev: kernel_dev(4000, 1), ..file };
        let answer = Bench::new(Limits::default()).created(&hidden, &at(path));
        assert_digest(&answer, content, Strength::PathChecked);
        let another = FileIdentity { mtime_ns: file.mtime_ns + 1, ..hidden };
        assert_refused(&Bench::new(Limits::default()).created(&another, &at(path)), reason::CHANGED);
    }
    let _ = Command::new("umount").arg("-l").arg(at("merged")).status();
}
