//! Is the first process of a container: it runs others, stays for a while, and ends as it is told.

use std::{
    ffi::{OsStr, OsString},
    hint::black_box,
    io,
    process::{Command, exit},
    thread,
    time::Duration,
};

use super::{Outcome, exec::expect_success, storm::number};

/// Runs each of `children` to its end, then lives for so many milliseconds, then ends with `code`.
pub(crate) fn live(milliseconds: &str, code: &str, children: &[OsString]) -> io::Result<Outcome> {
    let (milliseconds, code) = (number(milliseconds)?, number(code)?);
    for child in children {
        Command::new(child).status()?;
    }
    thread::sleep(Duration::from_millis(milliseconds.into()));
    exit(code.cast_signed())
}

/// Executes `program` again and again, with so many milliseconds between.
pub(crate) fn every(milliseconds: &str, program: &OsStr) -> io::Result<Outcome> {
    let pause = Duration::from_millis(number(milliseconds)?.into());
    loop {
        expect_success(Command::new(program).status()?)?;
        thread::sleep(pause);
    }
}

/// Takes memory until there is no more.
pub(crate) fn fill() -> io::Result<Outcome> {
    const STEP: usize = 1 << 20;
    let mut taken = Vec::new();
    loop {
        // Written, for what is only reserved costs nothing.
        taken.push(black_box(vec![1_u8; STEP]));
    }
}
