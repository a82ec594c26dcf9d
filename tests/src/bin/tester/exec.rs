//! Programs that are hard to find again.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, ExitStatus},
};

use rustix::{
    fs::MemfdFlags,
    process::{chdir, chroot},
};

use super::{Outcome, raw};

/// Executes a copy that stands in memory alone.
pub(super) fn memfd(name: &str, program: &OsStr) -> io::Result<Outcome> {
    let memory = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?;
    io::copy(&mut fs::File::open(program)?, &mut fs::File::from(memory.try_clone()?))?;
    Err(raw::exec_open_file(&memory, program))
}

/// Executes a file that has no name any more.
pub(super) fn unlinked(program: &OsStr) -> io::Result<Outcome> {
    let file = fs::File::open(program)?;
    fs::remove_file(program)?;
    Err(raw::exec_open_file(&file.into(), program))
}

/// Executes a program that has no name any more by the time it has ended.
pub(super) fn gone(program: &OsStr) -> io::Result<Outcome> {
    // `spawn` returns when the program runs.
    let mut child = Command::new(program).spawn()?;
    fs::remove_file(program)?;
    expect_success(child.wait()?)
}

/// Executes it from a thread that is not the process's first; that thread becomes the process.
pub(super) fn threaded(program: &OsStr) -> io::Result<Outcome> {
    use std::os::unix::process::CommandExt as _;
    let program = program.to_owned();
    let thread = std::thread::spawn(move || Command::new(program).exec());
    Err(thread.join().unwrap_or_else(|_| io::Error::other("the thread ended by itself")))
}

/// In `root` as root directory: executes `/a/<name>`, then puts a link to the directory `decoy` outside of the root
/// in the place of `/a`.
pub(super) fn swap(root: &OsStr, name: &OsStr, decoy: &OsStr) -> io::Result<Outcome> {
    chroot(root)?;
    chdir("/")?;
    // To its end: a parent goes on before the kernel has told of the exec.
    let status = Command::new(Path::new("/a").join(name)).status()?;
    fs::rename("/a", "/b")?;
    let decoy = decoy.to_string_lossy();
    symlink(Path::new("/../../../../../../../..").join(decoy.trim_start_matches('/')), "/a")?;
    expect_success(status)
}

pub(super) fn expect_success(status: ExitStatus) -> io::Result<Outcome> {
    if status.success() { Ok(Outcome::Done) } else { Err(io::Error::other(status.to_string())) }
}
