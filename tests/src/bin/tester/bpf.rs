//! `bpf(2)`, as far as the tester needs it: programs of a few instructions, held by descriptors alone.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    ptr,
};

/// A program to load (include/uapi/linux/bpf.h).
pub(super) struct Program<'a> {
    /// `BPF_PROG_TYPE_*`.
    pub(super) kind: u32,
    pub(super) name: [u8; 16],
    pub(super) instructions: &'a [u64],
    /// `BPF_TRACE_*`, and the BTF id of the function; 0 where the kind has none.
    pub(super) attach: (u32, u32),
}

pub(super) const RAW_TRACEPOINT: u32 = 17;
pub(super) const TRACING: u32 = 26;
pub(super) const FENTRY: u32 = 24;

/// One instruction, as the kernel reads it.
pub(super) const fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    code as u64
        | (to as u64) << 8
        | (from as u64) << 12
        | (offset.cast_unsigned() as u64) << 16
        | (value.cast_unsigned() as u64) << 32
}

/// The id of the next kernel program after `id` (`BPF_PROG_GET_NEXT_ID`); `None`: that was the last.
pub(super) fn next_program(id: u32) -> io::Result<Option<u32>> {
    const BPF_PROG_GET_NEXT_ID: libc::c_int = 11;
    // start_id, next_id, open_flags.
    let mut attributes = [id, 0, 0];
    // SAFETY: the kernel reads and writes the 12 bytes of `attributes`.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_GET_NEXT_ID, attributes.as_mut_ptr(), 12) };
    if result == 0 {
        return Ok(Some(attributes[1]));
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENOENT) { Ok(None) } else { Err(error) }
}

pub(super) fn load(program: &Program<'_>) -> io::Result<OwnedFd> {
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
    let Program { kind, name, instructions, attach: (attach_type, function) } = *program;
    let attributes = Load {
        program_type: kind,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level_and_size: [0; 2],
        log: 0,
        kernel_version: 0,
        flags: 0,
        name,
        interface: 0,
        expected_attach_type: attach_type,
        func_and_line_info: [0; 9],
        attach_btf_id: function,
        attach_to: 0,
    };
    bpf(BPF_PROG_LOAD, &attributes)
}

/// A ring buffer of so many bytes, a power of two.
pub(super) fn ring(bytes: u32) -> io::Result<OwnedFd> {
    const BPF_MAP_CREATE: libc::c_int = 0;
    const BPF_MAP_TYPE_RINGBUF: u32 = 27;
    // Type, size of key and of value, entries, flags.
    bpf(BPF_MAP_CREATE, &[BPF_MAP_TYPE_RINGBUF, 0, 0, bytes, 0])
}

/// Attaches a program until the result is closed: to the raw tracepoint of that name, or, without one, to the function
/// that it was loaded for.
pub(super) fn attach(program: &OwnedFd, tracepoint: Option<&CStr>) -> io::Result<OwnedFd> {
    const BPF_RAW_TRACEPOINT_OPEN: libc::c_int = 17;
    let name = tracepoint.map_or(0, |name| name.as_ptr() as u64);
    let attributes: [u64; 2] = [name, program.as_raw_fd().cast_unsigned().into()];
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
