//! What a run of the sensor came to.

use std::{
    fmt,
    time::{Duration, Instant},
};

use zastava_common::event::v1::event::Kind;

use crate::{
    health::Ledger,
    observation::{Fact, Loss},
};

/// What is counted, with its name; losses have a ledger of their own.
pub(super) const COUNTED: [(Kind, &str); 7] = [
    (Kind::ProcessExec, "exec"),
    (Kind::ProcessExit, "exit"),
    (Kind::LibraryLoad, "lib"),
    (Kind::FileCreate, "file"),
    (Kind::Listen, "listen"),
    (Kind::ContainerStart, "start"),
    (Kind::ContainerStop, "stop"),
];

/// The kind of the event that a fact becomes.
pub(super) fn kind_of(fact: &Fact) -> Kind {
    match fact {
        Fact::Exec { .. } => Kind::ProcessExec,
        Fact::Exit { .. } => Kind::ProcessExit,
        Fact::Library { .. } => Kind::LibraryLoad,
        Fact::FileCreate { .. } => Kind::FileCreate,
        Fact::Listen(_) => Kind::Listen,
        Fact::Loss(_) => Kind::Loss,
        Fact::Start(_) => Kind::ContainerStart,
        Fact::Stop(_) => Kind::ContainerStop,
    }
}

/// Cgroups named one by one.
const NAMED: usize = 10;

/// Counts of what was seen, and the ledger of what was not.
#[derive(Clone, Debug)]
pub struct Summary {
    began: Instant,
    counts: [u64; COUNTED.len()],
    ledger: Ledger,
}

impl Summary {
    pub(super) fn new(ledger_entries: usize) -> Self {
        Self { began: Instant::now(), counts: [0; COUNTED.len()], ledger: Ledger::new(ledger_entries) }
    }

    /// So many more of each of [`COUNTED`].
    pub(super) fn seen(&mut self, counts: &[u64; COUNTED.len()]) {
        for (sum, count) in self.counts.iter_mut().zip(counts) {
            *sum += count;
        }
    }

    pub(super) fn lost(&mut self, loss: &Loss) {
        self.ledger.add(loss);
    }

    /// Events of each kind, also of those that did not come.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        COUNTED.into_iter().map(|(_, name)| name).zip(self.counts)
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn write(&self, ran: Duration, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s:", ran.as_secs_f64())?;
        for (number, (name, count)) in self.counts().enumerate() {
            write!(f, "{} {count} {name}", if number == 0 { "" } else { "," })?;
        }
        if self.ledger.total() == 0 {
            return write!(f, "; nothing lost");
        }
        f.write_str("\nlost:")?;
        for (number, (kind, count)) in self.ledger.by_kind().into_iter().enumerate() {
            write!(f, "{} {count} {kind}", if number == 0 { "" } else { "," })?;
        }
        let losses = self.ledger.losses();
        for loss in losses.iter().take(NAMED) {
            match loss.cgroup_id {
                Some(id) => write!(f, "\n  cgroup {id}: {} {}", loss.count, loss.kind)?,
                None => write!(f, "\n  cgroup not known: {} {}", loss.count, loss.kind)?,
            }
        }
        if losses.len() > NAMED {
            write!(f, "\n  and {} more", losses.len() - NAMED)?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(self.began.elapsed(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct After(Summary, Duration);

    impl fmt::Display for After {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.write(self.1, f)
        }
    }

    #[test]
    fn a_summary_names_what_was_seen_and_what_was_lost() {
        let mut summary = Summary::new(64);
        summary.seen(&[12, 11, 3, 0, 1, 2, 1]);
        let ran = Duration::from_millis(10_040);
        insta::assert_snapshot!(After(summary.clone(), ran), @"10.0 s: 12 exec, 11 exit, 3 lib, 0 file, 1 listen, 2 start, 1 stop; nothing lost");
        for cgroup in 1..=12 {
            let loss = |kind| Loss {
                cgroup_id: (cgroup > 1).then_some(cgroup),
                kind,
                count: cgroup,
                first_boot_ns: 0,
                last_boot_ns: 0,
            };
            summary.lost(&loss("exec"));
            if cgroup == 7 {
                summary.lost(&loss("mapping"));
            }
        }
        insta::assert_snapshot!(After(summary, ran), @"
        10.0 s: 12 exec, 11 exit, 3 lib, 0 file, 1 listen, 2 start, 1 stop
        lost: 78 exec, 7 mapping
          cgroup 12: 12 exec
          cgroup 11: 11 exec
          cgroup 10: 10 exec
          cgroup 9: 9 exec
          cgroup 8: 8 exec
          cgroup 7: 7 exec
          cgroup 7: 7 mapping
          cgroup 6: 6 exec
          cgroup 5: 5 exec
          cgroup 4: 4 exec
          and 3 more
        ");
    }
}
