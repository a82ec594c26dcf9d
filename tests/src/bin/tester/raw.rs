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

/// Loads the program `return 0` for the entry of the kernel function with that BTF id.
pub(super) fn load_empty_fentry(function: u32) -> io::Result<OwnedFd> {
    /// The fields of `union bpf_attr` for `BPF_PROG_LOAD`, up to the last one set here.
    #[repr(C)]
    struct Load {
        program_type: u32,
        instruction_count: u32,
        instructions: u64,
        license: u64,
        log_level_and_size: [u32; 2],
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        expected_attach_type: u32,
        func_and_line_info: [u32; 9],
        attach_btf_id: u32,
        attach_to: u32,
    }
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_TYPE_TRACING: u32 = 26;
    const BPF_TRACE_FENTRY: u32 = 24;
    // r0 = 0; exit.
    let instructions: [u64; 2] = [0xb7, 0x95];
    let attributes = Load {
        program_type: BPF_PROG_TYPE_TRACING,
        instruction_count: 2,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level_and_size: [0; 2],
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"empty\0\0\0\0\0\0\0\0\0\0\0",
        interface: 0,
        expected_attach_type: BPF_TRACE_FENTRY,
        func_and_line_info: [0; 9],
        attach_btf_id: function,
        attach_to: 0,
    };
    bpf(BPF_PROG_LOAD, &attributes)
}

/// Attaches a program to the function that it was loaded for, until the result is closed.
pub(super) fn attach_fentry(program: &OwnedFd) -> io::Result<OwnedFd> {
    const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;
    // No name: the function stands in the program.
    let attributes: [u64; 2] = [0, program.as_raw_fd().cast_unsigned().into()];
    bpf(BPF_RAW_TRACEPOINT_OPEN, &attributes)
}

/// A command of `bpf(2)` that makes a descriptor.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the attributes and what they point to, which outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), size_of::<T>()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that the kernel has just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
