//! One line for each thing tried, and the sums.

use std::fmt;

use anyhow::Result;
use zastava_common::abi::Tier;

use crate::stage::Stop;

/// How often what.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl Sums {
    /// Prints how one thing went, and counts it.
    pub fn tell(&mut self, tier: Tier, name: &str, outcome: Result<(), Stop>) {
        self.tell_in(tier.name(), name, outcome);
    }

    /// The same for what does not belong to a tier.
    pub fn tell_in(&mut self, place: &str, name: &str, outcome: Result<(), Stop>) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok      {place:<10}  {name}");
            }
            Err(Stop::Unable(reason)) => {
                self.skipped += 1;
                println!("skip    {place:<10}  {name}: {reason}");
            }
            Err(Stop::Failed(error)) => {
                self.failed += 1;
                println!("FAILED  {place:<10}  {name}: {error:#}");
            }
        }
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}
