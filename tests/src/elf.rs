//! Tiny programs made here, so that a test knows every byte of them and a machine needs nothing else to run them.
//!
//! One segment holds headers, build-id and code (x86-64). A program may name an interpreter, as dynamic ones do.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use sha2::{Digest as _, Sha256};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the programs that the tests make are x86-64 code");

/// What a program does once it runs.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    /// Ends with this code at once.
    Exit(u8),
    /// Reads one byte from its standard input, then ends with 0.
    Wait,
    /// Sends itself this signal.
    Die(u8),
    /// Sleeps until a signal ends it.
    Pause,
    /// Sleeps for so many milliseconds, then ends with this code.
    Sleep(u32, u8),
    /// Executes the file that its first argument names, with the arguments from there on.
    Execute,
}

/// Bytes of a build-id.
const BUILD_ID: usize = 20;
const PAGE: usize = 4096;
const EHDR: usize = 64;
const PHDR: usize = 56;

/// A program with a build-id of its own.
pub struct Program {
    pub bytes: Vec<u8>,
    /// Lower-case hex.
    pub build_id: String,
}

impl Program {
    /// The build-id follows from `name`.
    pub fn new(name: &str, deed: Deed) -> Self {
        Self::build(name, deed, ET_EXEC, None)
    }

    /// A program that the kernel starts by way of `interpreter`.
    pub fn dynamic(name: &str, deed: Deed, interpreter: &Path) -> Self {
        Self::build(name, deed, ET_EXEC, Some(interpreter))
    }

    /// Can be loaded anywhere: an interpreter or a library.
    pub fn shared(name: &str, deed: Deed) -> Self {
        Self::build(name, deed, ET_DYN, None)
    }

    fn build(name: &str, deed: Deed, kind: u16, interpreter: Option<&Path>) -> Self {
        let id = &Sha256::digest(name.as_bytes())[..BUILD_ID];
        let note = note(id);
        let code = code(deed);
        let interpreter = interpreter.map(|path| [path.as_os_str().as_bytes(), b"\0"].concat());
        let shared = kind == ET_DYN;
        let segments = 3 + usize::from(interpreter.is_some()) + usize::from(shared);

        let base = if kind == ET_EXEC { 0x40_0000 } else { 0 };
        let note_at = EHDR + PHDR * segments;
        let code_at = note_at + note.len();
        let interpreter_at = code_at + code.len();
        let dynamic_at = (interpreter_at + interpreter.as_ref().map_or(0, Vec::len)).next_multiple_of(8);
        let dynamic = if shared { dynamic(dynamic_at as u64) } else { Vec::new() };
        let len = dynamic_at + dynamic.len();
        // Up to 6.6 the kernel fills the last page of an interpreter with zeros, and gives up where it cannot be written.
        let len = if shared { len.next_multiple_of(PAGE) } else { len };

        let mut bytes = header(kind, base + code_at as u64, segments as u16);
        if let Some(interpreter) = &interpreter {
            segment(&mut bytes, PT_INTERP, 4, interpreter_at, base, interpreter.len());
        }
        segment(&mut bytes, PT_LOAD, 5, 0, base, len);
        segment(&mut bytes, PT_NOTE, 4, note_at, base, note.len());
        segment(&mut bytes, PT_GNU_STACK, 6, 0, 0, 0);
        if shared {
            segment(&mut bytes, PT_DYNAMIC, 4, dynamic_at, base, dynamic.len());
        }
        bytes.extend(note);
        bytes.extend(code);
        bytes.extend(interpreter.unwrap_or_default());
        bytes.resize(dynamic_at, 0);
        bytes.extend(dynamic);
        bytes.resize(len, 0);
        Self { bytes, build_id: hex(id) }
    }
}

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;
const PT_GNU_STACK: u32 = 0x6474_e551;
const NT_GNU_BUILD_ID: u32 = 3;

fn header(kind: u16, entry: u64, segments: u16) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(EM_X86_64.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(entry.to_le_bytes());
    bytes.extend((EHDR as u64).to_le_bytes());
    // No sections.
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    for half in [EHDR as u16, PHDR as u16, segments, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    bytes
}

fn segment(bytes: &mut Vec<u8>, kind: u32, flags: u32, offset: usize, base: u64, len: usize) {
    bytes.extend(kind.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    let address = base + offset as u64;
    let align = if kind == PT_LOAD { 0x1000 } else { 4 };
    for word in [offset as u64, address, address, len as u64, len as u64, align] {
        bytes.extend(word.to_le_bytes());
    }
}

fn note(id: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [4, id.len() as u32, NT_GNU_BUILD_ID] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(b"GNU\0");
    bytes.extend(id);
    bytes
}

/// What the dynamic loader must find: tables of names and symbols, which are empty here.
fn dynamic(at: u64) -> Vec<u8> {
    const DT_STRTAB: u64 = 5;
    const DT_SYMTAB: u64 = 6;
    // The last entry is DT_NULL, and its zeros are the tables.
    let zeros = at + 32;
    [DT_STRTAB, zeros, DT_SYMTAB, zeros, 0, 0, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect()
}

fn code(deed: Deed) -> Vec<u8> {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    // mov edi, code; mov eax, exit_group; syscall
    let exit = |code: u8| [&[0xbf, code, 0, 0, 0, 0xb8, 231, 0, 0, 0], &SYSCALL[..]].concat();
    match deed {
        Deed::Exit(code) => exit(code),
        // xor eax, eax (read); xor edi, edi; lea rsi, [rsp - 8]; mov edx, 1; syscall
        Deed::Wait => {
            let read: [u8; 14] = [0x31, 0xc0, 0x31, 0xff, 0x48, 0x8d, 0x74, 0x24, 0xf8, 0xba, 1, 0, 0, 0];
            [&read, &SYSCALL[..], &exit(0)].concat()
        }
        // mov eax, pause; syscall; jmp to the beginning
        Deed::Pause => [&[0xb8, 34, 0, 0, 0], &SYSCALL[..], &[0xeb, 0xf7]].concat(),
        // mov rax, nanoseconds; push rax; mov rax, seconds; push rax; mov rdi, rsp; xor esi, esi; mov eax, nanosleep;
        // syscall
        Deed::Sleep(milliseconds, code) => {
            let push = |word: u64| [&[0x48, 0xb8], &word.to_le_bytes()[..], &[0x50]].concat();
            let [seconds, rest] = [milliseconds / 1000, milliseconds % 1000].map(u64::from);
            let sleep = [0x48, 0x89, 0xe7, 0x31, 0xf6, 0xb8, 35, 0, 0, 0];
            [push(rest * 1_000_000), push(seconds), sleep.to_vec(), SYSCALL.to_vec(), exit(code)].concat()
        }
        // mov rdi, [rsp + 16]; lea rsi, [rsp + 16]; xor edx, edx; mov eax, execve; syscall
        Deed::Execute => {
            let execve: [u8; 17] =
                [0x48, 0x8b, 0x7c, 0x24, 16, 0x48, 0x8d, 0x74, 0x24, 16, 0x31, 0xd2, 0xb8, 59, 0, 0, 0];
            [&execve, &SYSCALL[..], &exit(1)].concat()
        }
        // mov eax, getpid; syscall; mov edi, eax; mov esi, signal; mov eax, kill; syscall
        Deed::Die(signal) => {
            let getpid = [0xb8, 39, 0, 0, 0];
            let kill = [0x89, 0xc7, 0xbe, signal, 0, 0, 0, 0xb8, 62, 0, 0, 0];
            [&getpid, &SYSCALL[..], &kill, &SYSCALL, &exit(1)].concat()
        }
    }
}

/// `NT_GNU_BUILD_ID` of a 64-bit little-endian file, lower-case hex.
pub fn build_id(bytes: &[u8]) -> Option<String> {
    let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?)));
    let (first, size, count) = (word(32)?, half(54)?, half(56)?);
    let segments = (0..count).filter_map(|number| bytes.get(first + number * size..));
    let mut notes =
        segments.filter(|segment| segment.starts_with(&PT_NOTE.to_le_bytes())).filter_map(|segment| {
            let at = |from: usize| Some(u64::from_le_bytes(*segment.get(from..)?.first_chunk()?) as usize);
            bytes.get(at(8)?..at(8)?.checked_add(at(32)?)?)
        });
    notes.find_map(build_id_note)
}

/// The id among a segment's notes.
fn build_id_note(mut notes: &[u8]) -> Option<String> {
    loop {
        let word = |at: usize| Some(u32::from_le_bytes(*notes.get(at..)?.first_chunk()?));
        let (name, len, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let at = 12 + name.next_multiple_of(4);
        let body = notes.get(at..at + len)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..16) == Some(b"GNU\0") {
            return Some(hex(body));
        }
        notes = notes.get(at + len.next_multiple_of(4)..)?;
    }
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::PermissionsExt as _, process::ExitStatusExt as _},
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use super::*;

    fn write(path: &Path, program: &Program) {
        fs::write(path, &program.bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_programs_have_the_build_ids_that_they_say() {
        for program in [Program::new("one", Deed::Pause), Program::shared("other", Deed::Pause)] {
            assert_eq!(build_id(&program.bytes), Some(program.build_id));
        }
        assert_eq!(build_id(b"#!/bin/sh"), None);
    }

    #[test]
    fn the_programs_do_what_they_say() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        write(&at("seven"), &Program::new("seven", Deed::Exit(7)));
        assert_eq!(Command::new(at("seven")).status().unwrap().code(), Some(7));
        write(&at("die"), &Program::new("die", Deed::Die(15)));
        assert_eq!(Command::new(at("die")).status().unwrap().signal(), Some(15));
        write(&at("wait"), &Program::new("wait", Deed::Wait));
        let mut waits = Command::new(at("wait")).stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(waits.try_wait().unwrap(), None);
        drop(waits.stdin.take());
        assert!(waits.wait().unwrap().success());
        write(&at("sleep"), &Program::new("sleep", Deed::Sleep(50, 9)));
        let begun = Instant::now();
        assert_eq!(Command::new(at("sleep")).status().unwrap().code(), Some(9));
        assert!(begun.elapsed() >= Duration::from_millis(50));
        write(&at("pause"), &Program::new("pause", Deed::Pause));
        let mut pauses = Command::new(at("pause")).spawn().unwrap();
        pauses.kill().unwrap();
        assert_eq!(pauses.wait().unwrap().signal(), Some(9));
        write(&at("execute"), &Program::new("execute", Deed::Execute));
        assert_eq!(Command::new(at("execute")).arg(at("seven")).status().unwrap().code(), Some(7));
        // The interpreter runs in its stead.
        write(&at("ld"), &Program::shared("ld", Deed::Exit(3)));
        write(&at("dynamic"), &Program::dynamic("dynamic", Deed::Exit(7), &at("ld")));
        assert_eq!(Command::new(at("dynamic")).status().unwrap().code(), Some(3));
    }

    #[test]
    fn every_name_gives_a_build_id_of_its_own() {
        let [one, two] = ["one", "two"].map(|name| Program::new(name, Deed::Exit(0)));
        assert_ne!(one.build_id, two.build_id);
        assert_eq!(one.build_id.len(), 40);
    }
}
