//! The ways in which a file comes to be.

use std::{
    ffi::{CString, OsStr},
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    },
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, ResolveFlags};

use super::{Outcome, raw, uring::Uring};

/// Makes `to` with the bytes of `content`, executable.
pub(super) fn create(way: &str, content: &OsStr, to: &OsStr) -> io::Result<Outcome> {
    let content = fs::read(content)?;
    let to = Path::new(to);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = match way {
        "openat" => rustix::fs::openat(CWD, to, flags, Mode::RWXU)?,
        "openat2" => rustix::fs::openat2(CWD, to, flags, Mode::RWXU, ResolveFlags::empty())?,
        "creat" => raw::creat(to)?,
        "overwrite" => {
            rustix::fs::openat(CWD, to, OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?
        }
        "tmpfile" => return tmpfile(&content, to),
        "io_uring" => return io_uring(&content, to),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such way")),
    };
    File::from(file).write_all(&content)?;
    Ok(Outcome::Done)
}

/// Writes a file without a name, then gives it one.
fn tmpfile(content: &[u8], to: &Path) -> io::Result<Outcome> {
    let directory = to.parent().unwrap_or(Path::new("."));
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = match rustix::fs::open(directory, flags, Mode::RWXU) {
        Ok(file) => File::from(file),
        Err(errno @ rustix::io::Errno::OPNOTSUPP) => {
            return Ok(Outcome::Unable(format!("O_TMPFILE in {}: {errno}", directory.display())));
        }
        Err(errno) => return Err(errno.into()),
    };
    file.write_all(content)?;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, link, CWD, to, AtFlags::SYMLINK_FOLLOW)?;
    Ok(Outcome::Done)
}

/// Opens, writes and closes without a system call for any of them.
fn io_uring(content: &[u8], to: &Path) -> io::Result<Outcome> {
    let mut uring = match Uring::new() {
        Ok(uring) => uring,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            return Ok(Outcome::Unable(format!("io_uring_setup: {error}")));
        }
        Err(error) => return Err(error),
    };
    let to = CString::new(to.as_os_str().as_bytes())?;
    let file = uring.create(&to, 0o700)?;
    let written = uring.write(file, content)?;
    uring.close(file)?;
    if usize::try_from(written) == Ok(content.len()) {
        Ok(Outcome::Done)
    } else {
        Err(io::Error::from(io::ErrorKind::WriteZero))
    }
}

pub(super) fn make_executable(file: &OsStr) -> io::Result<Outcome> {
    fs::set_permissions(file, Permissions::from_mode(0o755))?;
    Ok(Outcome::Done)
}

/// Each of the two files gets the other's name.
pub(super) fn exchange(one: &OsStr, other: &OsStr) -> io::Result<Outcome> {
    match rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(Outcome::Done),
        Err(errno @ rustix::io::Errno::INVAL) => Ok(Outcome::Unable(format!("RENAME_EXCHANGE: {errno}"))),
        Err(errno) => Err(errno.into()),
    }
}
