//! How many bytes may be hashed.

use hashlink::LruCache;

use super::reason;

/// What the file stage may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Files that are remembered.
    pub cache_entries: usize,
    /// Bytes hashed in a second, over the long run.
    pub hash_bytes_per_second: u64,
    /// Bytes of the longest file that is hashed.
    pub max_hash_file_bytes: u64,
    /// Bytes read for one container in its life; what others have read before costs it nothing.
    pub max_hash_bytes_per_container: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_entries: 16_384,
            hash_bytes_per_second: 256 << 20,
            max_hash_file_bytes: 1 << 30,
            max_hash_bytes_per_container: 64_000_000,
        }
    }
}

const SECOND_NS: u64 = 1_000_000_000;
/// Containers whose bytes are counted; of more, the one that hashed longest ago starts anew.
const CONTAINERS: usize = 8192;

/// A bucket of one second's bytes. The last file may take more than is left, and the bucket is then in debt: so a
/// file longer than a second's share can be hashed at all, and the rate holds over time.
#[derive(Debug)]
pub(super) struct Budget {
    per_second: i64,
    left: i64,
    filled_ns: u64,
    per_container: u64,
    /// What each has used.
    containers: LruCache<String, u64>,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        let per_second = i64::try_from(limits.hash_bytes_per_second).unwrap_or(i64::MAX);
        Self {
            per_second,
            left: per_second,
            filled_ns: 0,
            per_container: limits.max_hash_bytes_per_container,
            containers: LruCache::new(CONTAINERS),
        }
    }

    /// Takes the bytes of a file, or says why it must not be read. `now_ns` never goes back.
    pub(super) fn take(
        &mut self,
        bytes: u64,
        container: Option<&str>,
        now_ns: u64,
    ) -> Result<(), &'static str> {
        if !self.has_some(now_ns) {
            return Err(reason::OVER_BUDGET);
        }
        if let Some(container) = container {
            let used = self.containers.get(container).copied().unwrap_or(0).saturating_add(bytes);
            if used > self.per_container {
                return Err(reason::OVER_CONTAINER_BUDGET);
            }
            self.containers.insert(container.to_owned(), used);
        }
        self.left = self.left.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Whether a host's file would be read.
    pub(super) fn has_some(&mut self, now_ns: u64) -> bool {
        self.fill(now_ns);
        self.left > 0
    }

    fn fill(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.filled_ns);
        let gained = u128::from(passed) * u128::from(self.per_second.unsigned_abs()) / u128::from(SECOND_NS);
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(gained).min(self.per_second);
        // A step too short for a whole byte stays uncounted until it is long enough.
        if gained > 0 {
            self.filled_ns = now_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(per_second: u64, per_container: u64) -> Budget {
        Budget::new(&Limits {
            hash_bytes_per_second: per_second,
            max_hash_bytes_per_container: per_container,
            ..Limits::default()
        })
    }

    #[test]
    fn a_long_file_leaves_a_debt_that_time_pays() {
        let mut budget = budget(100, 0);
        assert_eq!(budget.take(250, None, SECOND_NS), Ok(()));
        assert!(!budget.has_some(2 * SECOND_NS));
        assert_eq!(budget.take(1, None, 2 * SECOND_NS), Err(reason::OVER_BUDGET));
        assert!(budget.has_some(3 * SECOND_NS));
        assert_eq!(budget.take(1, None, 3 * SECOND_NS), Ok(()));
    }

    #[test]
    fn rest_saves_up_one_second_and_no_more() {
        let mut budget = budget(100, 0);
        assert_eq!(budget.take(100, None, 1000 * SECOND_NS), Ok(()));
        assert_eq!(budget.take(1, None, 1000 * SECOND_NS), Err(reason::OVER_BUDGET));
    }

    #[test]
    fn many_short_steps_fill_as_much_as_a_long_one() {
        let mut budget = budget(10, 0);
        assert_eq!(budget.take(20, None, SECOND_NS), Ok(()));
        for step in 0..1000 {
            budget.fill(SECOND_NS + step * 1_000_000);
        }
        assert_eq!(budget.take(1, None, 2 * SECOND_NS), Err(reason::OVER_BUDGET));
        assert_eq!(budget.take(1, None, 2 * SECOND_NS + SECOND_NS / 10), Ok(()));
    }

    #[test]
    fn one_container_cannot_use_up_what_another_needs() {
        let mut budget = budget(1000, 100);
        assert_eq!(budget.take(100, Some("a"), SECOND_NS), Ok(()));
        assert_eq!(budget.take(1, Some("a"), SECOND_NS), Err(reason::OVER_CONTAINER_BUDGET));
        assert_eq!(budget.take(100, Some("b"), SECOND_NS), Ok(()));
        assert_eq!(budget.take(500, None, SECOND_NS), Ok(()));
    }
}
