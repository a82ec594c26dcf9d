//! The few calls that no safe library offers.

use std::{
    ffi::{CString, OsStr},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    ptr,
};

use rustix::{
    mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect},
    thread::{UnshareFlags, unshare_unsafe},
};

/// Executes an open file with one argument; returns only when that fails.
pub(super) fn exec_open_file(file: &OwnedFd, argument: &OsStr) -> io::Error {
    let argument = match CString::new(argument.as_bytes()) {
        Ok(argument) => argument,
        Err(error) => return error.into(),
    };
    let arguments = [argument.as_ptr(), ptr::null()];
    let environment = [ptr::null()];
    // SAFETY: both lists end with a null pointer and outlive the call.
    unsafe { libc::fexecve(file.as_raw_fd(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// `creat(2)` itself.
pub(super) fn creat(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a string that ends with NUL and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_creat, path.as_ptr(), 0o700) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

pub(super) fn map_executable(file: &File) -> io::Result<()> {
    map(file, ProtFlags::READ | ProtFlags::EXEC).map(drop)
}

pub(super) fn map_then_protect(file: &File) -> io::Result<()> {
    let (address, len) = map(file, ProtFlags::READ)?;
    // SAFETY: the mapping that was just made; nobody points into it.
    Ok(unsafe { mprotect(address, len, MprotectFlags::READ | MprotectFlags::EXEC) }?)
}

/// Maps a whole file. It stays until the program ends.
fn map(file: &File, protection: ProtFlags) -> io::Result<(*mut libc::c_void, usize)> {
    let len = file.metadata()?.len() as usize;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let address = unsafe { mmap(ptr::null_mut(), len, protection, MapFlags::PRIVATE, file.as_fd(), 0) }?;
    Ok((address, len))
}

pub(super) fn unshare(what: UnshareFlags) -> io::Result<()> {
    // SAFETY: file descriptors stay shared.
    Ok(unsafe { unshare_unsafe(what - UnshareFlags::FILES) }?)
}

/// The id of the next kernel program after `id` (`BPF_PROG_GET_NEXT_ID`); `None`: that was the last.
pub(super) fn next_program(id: u32) -> io::Result<Option<u32>> {
    const BPF_PROG_GET_NEXT_ID: libc::c_int = 11;
    // start_id, next_id, open_flags (include/uapi/linux/bpf.h).
    let mut attributes = [id, 0, 0];
    // SAFETY: the kernel reads and writes the 12 bytes of `attributes`.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_GET_NEXT_ID, attributes.as_mut_ptr(), 12) };
    if result == 0 {
        return Ok(Some(attributes[1]));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENOENT) { Ok(None) } else { Err(error) }
}
