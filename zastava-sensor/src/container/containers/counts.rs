//! What the stage has done.

use super::super::reason;

/// Sums, and what is kept now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Observations that waited, in all.
    pub held: u64,
    /// Of these, let go: with names, ...
    pub described: u64,
    /// ... because the time was over, ...
    pub out_of_time: u64,
    /// ... because nobody will describe the container, ...
    pub undescribed: u64,
    /// ... because the sensor ended.
    pub at_end: u64,
    /// Times that a container's observations found no room, and how many it had waiting then.
    pub refused: u64,
    pub refused_waiting: u64,
    /// Waiting now.
    pub waiting: usize,
    pub waiting_bytes: usize,
    /// Containers in mind.
    pub entries: usize,
    /// Gone ones forgotten before their time, and others, for want of room.
    pub tombstones_cut: u64,
    pub evicted: u64,
    /// Observations without a container, by reason, in the order of [`reason::ALL`].
    pub unknown: [u64; reason::ALL.len()],
}

impl Counts {
    pub(super) fn without_container(&mut self, reason: &'static str) {
        if let Some(place) = reason::ALL.iter().position(|known| *known == reason) {
            self.unknown[place] += 1;
        }
    }

    pub(super) fn gave_up(&mut self, reason: &'static str, count: u64) {
        *match reason {
            reason::NOT_IN_TIME => &mut self.out_of_time,
            reason::NO_ROOM => &mut self.refused_waiting,
            _ => &mut self.undescribed,
        } += count;
    }
}
