//! Renames that do not come to an end.

use std::{
    ffi::OsStr,
    fs, io,
    sync::{Arc, Barrier},
    thread,
};

use super::{Outcome, storm::number};

/// Stacks are not used.
const STACK: usize = 16 << 10;

/// `count` threads try to rename `from` over the directory `over`, which fails, and stay. Then `from` is renamed to `to`;
/// when the threads are gone, back and once more to `to`.
pub(super) fn unfinished(from: &OsStr, over: &OsStr, to: &OsStr, count: &str) -> io::Result<Outcome> {
    let count = number(count)?;
    let all = Arc::new(Barrier::new(count as usize + 1));
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let (all, from, over) = (Arc::clone(&all), from.to_owned(), over.to_owned());
            thread::Builder::new().stack_size(STACK).spawn(move || {
                let failed = fs::rename(from, over).is_err();
                // All have tried; what is kept of them has been kept.
                all.wait();
                all.wait();
                failed
            })
        })
        .collect::<io::Result<_>>()?;
    all.wait();
    fs::rename(from, to)?;
    all.wait();
    let all_failed = threads.into_iter().all(|thread| thread.join().is_ok_and(|failed| failed));
    if !all_failed {
        return Err(io::Error::other("a file took the place of a directory"));
    }
    fs::rename(to, from)?;
    fs::rename(from, to)?;
    Ok(Outcome::Done)
}
