//! Files that become executable memory.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io, thread,
    time::Instant,
};

use super::{Outcome, raw, storm};

/// Maps files as `dlopen` does.
pub(super) fn map(files: &[OsString]) -> io::Result<Outcome> {
    for file in files {
        raw::map_executable(&File::open(file)?)?;
    }
    Ok(Outcome::Done)
}

/// Maps every file of a directory as `dlopen` does, and stays.
pub(super) fn all(directory: &OsStr) -> io::Result<Outcome> {
    for entry in fs::read_dir(directory)? {
        raw::map_executable(&File::open(entry?.path())?)?;
    }
    loop {
        thread::park();
    }
}

/// Maps a file for reading, then makes the mapping executable.
pub(super) fn protect(file: &OsStr) -> io::Result<Outcome> {
    raw::map_then_protect(&File::open(file)?)?;
    Ok(Outcome::Done)
}

/// Maps a file executable and unmaps it, again and again, and prints how many nanoseconds that took.
pub(super) fn again(file: &OsStr, count: &str) -> io::Result<Outcome> {
    let file = File::open(file)?;
    let count = storm::number(count)?;
    let begun = Instant::now();
    for _ in 0..count {
        raw::map_and_unmap(&file)?;
    }
    println!("{}", begun.elapsed().as_nanos());
    Ok(Outcome::Done)
}
