//! What a sensor must stand: each trial starts sensors of its own.

mod refusal;
mod restart;
mod rewritten;
mod storm;
mod twice;
mod unfinished;

use std::path::Path;

use zastava_common::abi::Tier;

use crate::stage::Stop;

/// One thing that happens to a sensor.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub name: &'static str,
    /// In a directory of its own, which is not there yet.
    pub run: fn(Tier, &Path) -> Result<(), Stop>,
}

const fn trial(name: &'static str, run: fn(Tier, &Path) -> Result<(), Stop>) -> Trial {
    Trial { name, run }
}

pub const ALL: &[Trial] = &[
    trial("storm of 5000 execs", storm::storm),
    trial("storm with rings far too small", storm::small_rings),
    trial("more unfinished renames than can be kept", unfinished::renames),
    trial("a library written anew in place is told again", rewritten::library),
    trial("restart after SIGKILL leaves nothing attached", restart::killed),
    trial("two sensors see the same", twice::side_by_side),
    trial("a second sensor on the same socket is refused", twice::same_socket),
    trial("a corrupt configuration is refused", refusal::configuration),
    trial("no capabilities is a refusal and no loop", refusal::capabilities),
    trial("what a tier cannot see is said by doctor", refusal::blind_spots),
];
