//! The least that a kernel program can do, as the measure of those that do something: nothing at all, or one record
//! of 40 bytes for each exec.

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read as _, Write as _},
    os::fd::AsRawFd as _,
};

use super::{
    Outcome,
    bpf::{self, Program, instruction},
};

/// What one look at the kernel's types may cost; vmlinux has about 6 MB of them.
const MOST: u64 = 64 << 20;

/// `BTF_KIND_FUNC` (include/uapi/linux/btf.h).
const FUNC: u32 = 12;

/// `r0 = 0; exit`.
const END: [u64; 2] = [instruction(0xb7, 0, 0, 0, 0), instruction(0x95, 0, 0, 0, 0)];

/// Attaches an empty fentry program to a function of the kernel until the standard input ends.
pub(super) fn empty(function: &OsStr) -> io::Result<Outcome> {
    let mut btf = Vec::new();
    fs::File::open("/sys/kernel/btf/vmlinux")?.take(MOST).read_to_end(&mut btf)?;
    let id = function_id(&btf, function.as_encoded_bytes())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the kernel has no such function"))?;
    let program = Program {
        kind: bpf::TRACING,
        name: *b"empty\0\0\0\0\0\0\0\0\0\0\0",
        instructions: &END,
        attach: (bpf::FENTRY, id),
    };
    let program = match bpf::load(&program) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Outcome::Unable(format!("fentry: {error}")));
        }
        program => program?,
    };
    let _attached = bpf::attach(&program, None)?;
    until_the_end()
}

/// Submits a record for each exec until the standard input ends. Nobody reads them: the ring has room for about 20,000.
pub(super) fn submit() -> io::Result<Outcome> {
    const ROOM: u32 = 1 << 20;
    let ring = bpf::ring(ROOM)?;
    let zero = |offset| instruction(0x7b, 10, 1, offset, 0);
    let record = [
        // r1 = 0; 40 bytes of it on the stack.
        instruction(0xb7, 1, 0, 0, 0),
        zero(-40),
        zero(-32),
        zero(-24),
        zero(-16),
        zero(-8),
        // bpf_ringbuf_output(r1 = ring, r2 = stack, r3 = 40, r4 = BPF_RB_NO_WAKEUP)
        instruction(0x18, 1, 1, 0, ring.as_raw_fd()),
        0,
        instruction(0xbf, 2, 10, 0, 0),
        instruction(0x07, 2, 0, 0, -40),
        instruction(0xb7, 3, 0, 0, 40),
        instruction(0xb7, 4, 0, 0, 1),
        instruction(0x85, 0, 0, 0, 130),
    ];
    let instructions = [&record[..], &END].concat();
    let program = Program {
        kind: bpf::RAW_TRACEPOINT,
        name: *b"submit\0\0\0\0\0\0\0\0\0\0",
        instructions: &instructions,
        attach: (0, 0),
    };
    let program = bpf::load(&program)?;
    let _attached = bpf::attach(&program, Some(c"sched_process_exec"))?;
    until_the_end()
}

fn until_the_end() -> io::Result<Outcome> {
    println!("attached");
    io::stdout().flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(Outcome::Done)
}

/// The id of the function of that name. Types are numbered in their order, from 1
/// (Documentation/bpf/btf.rst, section 2).
fn function_id(btf: &[u8], name: &[u8]) -> Option<u32> {
    let header = u32_at(btf, 4)? as usize;
    let section = |at: usize| {
        let begin = header.checked_add(u32_at(btf, at)? as usize)?;
        btf.get(begin..begin.checked_add(u32_at(btf, at + 4)? as usize)?)
    };
    let (types, strings) = (section(8)?, section(16)?);
    let (mut at, mut id) = (0, 1);
    loop {
        let (name_at, info) = (u32_at(types, at)? as usize, u32_at(types, at + 4)?);
        let kind = info >> 24 & 0x1f;
        if kind == FUNC
            && strings.get(name_at..)?.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"\0"))
        {
            return Some(id);
        }
        at += 12 + tail(kind, (info & 0xffff) as usize)?;
        id += 1;
    }
}

/// Bytes behind a type's first twelve.
fn tail(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // Integers, variables and declaration tags.
        1 | 14 | 17 => 4,
        // Arrays; structures, unions, sections and 64-bit enumerations.
        3 => 12,
        4 | 5 | 15 | 19 => 12 * count,
        // Enumerations and prototypes.
        6 | 13 => 8 * count,
        // Pointers, forward declarations, names, qualifiers, functions, floats and type tags.
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::function_id;

    /// A kernel's types in small: a pointer, an integer and a function.
    fn types() -> Vec<u8> {
        let types = [[0, 2 << 24, 0].as_slice(), &[0, 1 << 24, 4, 32], &[1, 12 << 24, 2]].concat();
        let strings = b"\0security_mmap_file\0";
        let header =
            [0x0001_eb9f, 24, 0, 4 * types.len() as u32, 4 * types.len() as u32, strings.len() as u32];
        let words = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes());
        words.chain(strings.iter().copied()).collect()
    }

    #[test]
    fn a_function_is_found_by_its_whole_name() {
        assert_eq!(function_id(&types(), b"security_mmap_file"), Some(3));
        assert_eq!(function_id(&types(), b"security_mmap"), None);
    }

    #[test]
    fn types_that_end_early_are_no_function() {
        let types = types();
        for len in 0..types.len() {
            assert_eq!(function_id(&types[..len], b"security_mmap_file"), None);
        }
    }
}
