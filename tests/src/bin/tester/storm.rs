//! Many short-lived programs at once.

use std::{ffi::OsStr, io, process::Command};

use super::{Outcome, exec::expect_success};

/// Executes `program` `count` times, `parents` at a time, and prints how often it did: the sum that must be accounted
/// for.
pub(super) fn storm(program: &OsStr, count: &str, parents: &str) -> io::Result<Outcome> {
    let (count, parents) = (number(count)?, number(parents)?);
    let me = std::env::current_exe()?;
    let children: Vec<_> = (0..parents)
        .map(|index| {
            // The first ones take the rest.
            let share = count / parents + u32::from(index < count % parents);
            Command::new(&me).arg("parent").arg(program).arg(share.to_string()).spawn()
        })
        .collect::<io::Result<_>>()?;
    for mut child in children {
        expect_success(child.wait()?)?;
    }
    println!("{count}");
    Ok(Outcome::Done)
}

/// Executes `program` `count` times, one after the other.
pub(super) fn parent(program: &OsStr, count: &str) -> io::Result<Outcome> {
    for _ in 0..number(count)? {
        expect_success(Command::new(program).status()?)?;
    }
    Ok(Outcome::Done)
}

pub(super) fn number(text: &str) -> io::Result<u32> {
    text.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("{text}: {error}")))
}
