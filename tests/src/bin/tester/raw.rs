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
    mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect, munmap},
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

/// Makes the file's first page executable memory for a moment.
pub(super) fn map_and_unmap(file: &File) -> io::Result<()> {
    const PAGE: usize = 4096;
    let protection = ProtFlags::READ | ProtFlags::EXEC;
    // SAFETY: a new mapping at an address of the kernel's choice, which nobody points into.
    let address = unsafe { mmap(ptr::null_mut(), PAGE, protection, MapFlags::PRIVATE, file.as_fd(), 0) }?;
    // SAFETY: the mapping that was just made.
    Ok(unsafe { munmap(address, PAGE) }?)
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
