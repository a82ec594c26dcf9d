//! Counts that a container's life gathers.

use crate::observation::{FileOrigin, Loss};

/// Kinds of records that are of a container, in the order in which a stop tells them.
pub(super) const KINDS: [&str; 5] = ["exec", "exit", "mapping", "file", "listen"];

/// Counts by where a file came from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Origins {
    pub overlay_lower: u64,
    pub overlay_upper: u64,
    pub tmpfs: u64,
    pub memory: u64,
    pub plain: u64,
    pub unknown: u64,
}

impl Origins {
    pub(super) fn add(&mut self, origin: FileOrigin) {
        *match origin {
            FileOrigin::OverlayLower => &mut self.overlay_lower,
            FileOrigin::OverlayUpper => &mut self.overlay_upper,
            FileOrigin::Tmpfs => &mut self.tmpfs,
            FileOrigin::Memory => &mut self.memory,
            FileOrigin::Plain => &mut self.plain,
            FileOrigin::Unknown => &mut self.unknown,
        } += 1;
    }

    pub fn total(&self) -> u64 {
        let Self { overlay_lower, overlay_upper, tmpfs, memory, plain, unknown } = *self;
        overlay_lower + overlay_upper + tmpfs + memory + plain + unknown
    }
}

/// Records lost, by kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    kinds: [Sum; KINDS.len()],
    unknown: Sum,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    first_boot_ns: u64,
    last_boot_ns: u64,
}

impl Losses {
    pub(super) fn add(&mut self, loss: &Loss) {
        let sum = match KINDS.iter().position(|kind| *kind == loss.kind) {
            Some(place) => &mut self.kinds[place],
            None if loss.kind == Loss::OF_UNKNOWN_KIND => &mut self.unknown,
            // Of cgroups: no record of the container's own.
            None => return,
        };
        if sum.count == 0 {
            sum.first_boot_ns = loss.first_boot_ns;
        }
        sum.count = sum.count.saturating_add(loss.count);
        sum.first_boot_ns = sum.first_boot_ns.min(loss.first_boot_ns);
        sum.last_boot_ns = sum.last_boot_ns.max(loss.last_boot_ns);
    }

    pub(super) fn total(&self) -> u64 {
        self.kinds.iter().chain([&self.unknown]).map(|sum| sum.count).sum()
    }

    pub(super) fn execs(&self) -> u64 {
        self.kinds[0].count + self.unknown.count
    }

    /// Each kind, also with count 0; of the sum without kinds only what there is.
    pub(super) fn told(&self, cgroup_id: Option<u64>) -> impl Iterator<Item = Loss> {
        let all = KINDS.into_iter().zip(self.kinds);
        all.chain((self.unknown.count > 0).then_some((Loss::OF_UNKNOWN_KIND, self.unknown)))
            .map(move |(kind, sum)| loss(cgroup_id, kind, sum))
    }

    /// What came to these since `before`, of kinds that have any.
    pub(super) fn since(&self, before: &Self) -> impl Iterator<Item = Loss> {
        let kinds = KINDS.into_iter().zip(self.kinds.into_iter().zip(before.kinds));
        kinds.chain([(Loss::OF_UNKNOWN_KIND, (self.unknown, before.unknown))]).filter_map(
            |(kind, (now, before))| {
                let count = now.count.saturating_sub(before.count);
                let first_boot_ns = if before.count == 0 { now.first_boot_ns } else { before.last_boot_ns };
                (count > 0).then(|| loss(None, kind, Sum { count, first_boot_ns, ..now }))
            },
        )
    }
}

fn loss(cgroup_id: Option<u64>, kind: &'static str, sum: Sum) -> Loss {
    let Sum { count, first_boot_ns, last_boot_ns } = sum;
    Loss { cgroup_id, kind, count, first_boot_ns, last_boot_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(kind: &'static str, count: u64, at: u64) -> Loss {
        Loss { cgroup_id: Some(7), kind, count, first_boot_ns: at, last_boot_ns: at + 1 }
    }

    #[test]
    fn every_kind_is_told_also_where_nothing_was_lost() {
        let mut losses = Losses::default();
        losses.add(&lost("mapping", 3, 50));
        losses.add(&lost("mapping", 1, 10));
        losses.add(&lost("cgroup_rmdir", 1, 10));
        let told: Vec<_> = losses.told(Some(7)).map(|loss| (loss.kind, loss.count)).collect();
        assert_eq!(told, [("exec", 0), ("exit", 0), ("mapping", 4), ("file", 0), ("listen", 0)]);
        assert_eq!((losses.total(), losses.execs()), (4, 0));
        let mapping = losses.told(Some(7)).nth(2).unwrap();
        assert_eq!((mapping.first_boot_ns, mapping.last_boot_ns), (10, 51));
    }

    #[test]
    fn of_losses_without_a_cgroup_the_difference_is_told() {
        let mut losses = Losses::default();
        losses.add(&lost("exec", 5, 10));
        let before = losses;
        losses.add(&lost("exec", 2, 20));
        losses.add(&lost("unknown", 1, 30));
        let told: Vec<_> =
            losses.since(&before).map(|loss| (loss.cgroup_id, loss.kind, loss.count)).collect();
        assert_eq!(told, [(None, "exec", 2), (None, "unknown", 1)]);
        assert_eq!(losses.execs(), 8);
    }
}
