//! Files that become executable memory.

use std::{ffi::OsStr, fs::File, io};

use super::{Outcome, raw};

/// Maps a file as `dlopen` does.
pub(super) fn map(file: &OsStr) -> io::Result<Outcome> {
    raw::map_executable(&File::open(file)?)?;
    Ok(Outcome::Done)
}

/// Maps a file for reading, then makes the mapping executable.
pub(super) fn protect(file: &OsStr) -> io::Result<Outcome> {
    raw::map_then_protect(&File::open(file)?)?;
    Ok(Outcome::Done)
}
