//! A program of an overlay's lower layer, and the same after it was copied up.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::UnshareFlags,
};

use super::{Outcome, exec::expect_success, raw};

/// `directory` holds `lower/program`, `lower/other` and the empty `upper`, `work` and `merged`: executes
/// `merged/program`, copies `merged/other` up by a chmod and executes it.
pub(super) fn overlay(directory: &OsStr) -> io::Result<Outcome> {
    let directory = Path::new(directory);
    raw::unshare(UnshareFlags::NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let at = |name: &str| directory.join(name);
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        at("lower").display(),
        at("upper").display(),
        at("work").display()
    );
    let options = std::ffi::CString::new(options)?;
    match mount("overlay", at("merged"), "overlay", MountFlags::empty(), options.as_c_str()) {
        Ok(()) => {}
        Err(errno @ rustix::io::Errno::NODEV) => {
            return Ok(Outcome::Unable(format!("mount overlay: {errno}")));
        }
        Err(errno) => return Err(errno.into()),
    }
    expect_success(Command::new(at("merged/program")).status()?)?;
    fs::set_permissions(at("merged/other"), Permissions::from_mode(0o711))?;
    expect_success(Command::new(at("merged/other")).status()?)
}
