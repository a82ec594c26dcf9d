//! Event ids: UUIDv7, ascending, without a system call each.
//!
//! RFC 9562 section 6.2, method 2: the 74 bits behind the time begin each millisecond at a random number with its
//! first bit clear and grow by random steps, so ids are in order within a run and do not meet those of other sensors.

use uuid::Uuid;

/// Bits behind time, version and variant.
const TAIL: u32 = 74;
/// The times that 48 bits hold.
const MAX_MS: u64 = (1 << 48) - 1;

#[derive(Debug, thiserror::Error)]
#[error("cannot read random numbers for event ids: {0}")]
pub struct EventIdError(#[from] getrandom::Error);

/// Makes the ids of one sensor's events; every source has its own random seed.
#[derive(Debug)]
pub struct EventIdSource {
    random: Xoroshiro,
    ms: u64,
    tail: u128,
}

impl EventIdSource {
    /// Asks the kernel for random numbers, once.
    pub fn new() -> Result<Self, EventIdError> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed)?;
        Ok(Self::from_seed(u128::from_ne_bytes(seed)))
    }

    fn from_seed(seed: u128) -> Self {
        Self { random: Xoroshiro::new(seed), ms: 0, tail: 0 }
    }

    /// The next id, for something that happened at `unix_ms` (milliseconds since 1970). An earlier time than
    /// before does not step back: ids ascend.
    pub fn next_id(&mut self, unix_ms: u64) -> Uuid {
        let unix_ms = unix_ms.min(MAX_MS);
        if unix_ms > self.ms {
            self.begin(unix_ms);
        } else {
            self.tail += u128::from(self.random.next() >> 32) + 1;
            if self.tail >> TAIL != 0 {
                self.begin(self.ms + 1);
            }
        }
        let a = self.tail >> 62;
        let b = self.tail & ((1 << 62) - 1);
        Uuid::from_u128((u128::from(self.ms & MAX_MS) << 80) | (7 << 76) | (a << 64) | (2 << 62) | b)
    }

    fn begin(&mut self, ms: u64) {
        self.ms = ms;
        let random = (u128::from(self.random.next()) << 64) | u128::from(self.random.next());
        self.tail = random >> (128 - TAIL + 1);
    }
}

/// xoroshiro128++ 1.0 (Blackman and Vigna): ids need to differ, not to be secret.
#[derive(Debug)]
struct Xoroshiro([u64; 2]);

impl Xoroshiro {
    fn new(seed: u128) -> Self {
        // All zeros would stay so.
        let seed = seed.max(1);
        Self([seed as u64, (seed >> 64) as u64])
    }

    fn next(&mut self) -> u64 {
        let [a, mut b] = self.0;
        let result = a.wrapping_add(b).rotate_left(17).wrapping_add(a);
        b ^= a;
        self.0 = [a.rotate_left(49) ^ b ^ (b << 21), b.rotate_left(28)];
        result
    }
}

#[cfg(test)]
mod tests {
    use uuid::Variant;

    use super::*;

    /// 2022-02-22 19:22:22 UTC, as in RFC 9562 appendix A.6.
    const MS: u64 = 0x017F_22E2_79B0;

    #[test]
    fn an_id_is_a_uuid_of_version_7_with_its_time_in_front() {
        let id = EventIdSource::new().unwrap().next_id(MS);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), Variant::RFC4122);
        assert_eq!(id.as_u128() >> 80, u128::from(MS));
    }

    #[test]
    fn ids_of_one_millisecond_and_of_a_clock_that_steps_back_ascend() {
        let mut ids = EventIdSource::from_seed(1);
        let times = [MS, MS, MS - 5, MS + 1, MS, 0, u64::MAX, u64::MAX, 3];
        let made: Vec<_> = times.iter().cycle().take(100_000).map(|ms| ids.next_id(*ms)).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_millisecond_with_all_its_ids_used_borrows_from_the_next() {
        let mut ids = EventIdSource::from_seed(1);
        let before = ids.next_id(MS);
        ids.tail = (1 << TAIL) - 1;
        let after = ids.next_id(MS);
        assert!(before < after);
        assert_eq!(after.as_u128() >> 80, u128::from(MS + 1));
        assert_eq!(after.get_version_num(), 7);
    }

    #[test]
    fn two_sensors_make_different_ids_at_the_same_time() {
        let (mut a, mut b) = (EventIdSource::new().unwrap(), EventIdSource::new().unwrap());
        assert_ne!(a.next_id(MS), b.next_id(MS));
    }
}
