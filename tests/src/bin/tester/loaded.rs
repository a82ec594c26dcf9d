//! What is loaded in the kernel.

use std::io;

use super::{Outcome, bpf};

/// Prints the ids of all kernel programs.
pub(super) fn programs() -> io::Result<Outcome> {
    let mut id = 0;
    while let Some(next) = bpf::next_program(id)? {
        println!("{next}");
        id = next;
    }
    Ok(Outcome::Done)
}
