//! Two events on one ring tell of each mapping twice: once with its build-id, once with its inode. This puts the
//! halves together.
//!
//! Both are written by the mapping task in one walk over its CPU's events with preemption off (`perf_iterate_sb`), and
//! no record asked for comes from an interrupt: so the halves are neighbours in the ring. Their times differ (each
//! output reads the clock: some 600 ns), so the times are not compared. A half whose neighbour was lost stays alone.
//!
//! Beginnings and ends of tasks come to every event that wants mappings (`perf_event_task_match`), so twice as well.

use super::record::{Kind, Mmap, Record, Task};

#[derive(Debug, Default)]
pub(super) struct Pairing {
    waiting: Option<Record<'static>>,
    /// The fork or exit whose second copy comes next.
    task: Option<Task>,
}

impl Pairing {
    /// Takes the next record of the ring and hands on what is whole, in the ring's order.
    pub(super) fn push(&mut self, record: Record<'_>, mut sink: impl FnMut(Record<'static>)) {
        if let Kind::Fork(task) | Kind::Exit(task) = record.kind {
            if self.task.take_if(|first| *first == task).is_some() {
                return;
            }
            self.task = Some(task);
        }
        let record = record.into_owned();
        match self.waiting.take() {
            Some(first) if are_halves(&first, &record) => return sink(joined(first, record)),
            Some(first) => sink(first),
            None => {}
        }
        if matches!(&record.kind, Kind::Mmap(mmap) if mmap.is_executable_file()) {
            self.waiting = Some(record);
        } else {
            sink(record);
        }
    }

    /// Hands on a half that has waited since before `before` (boot time): its neighbour will not come any more.
    pub(super) fn flush(&mut self, before: u64, sink: impl FnOnce(Record<'static>)) {
        if let Some(record) = self.waiting.take_if(|record| record.time < before) {
            sink(record);
        }
    }
}

fn are_halves(first: &Record<'_>, second: &Record<'_>) -> bool {
    let (Kind::Mmap(a), Kind::Mmap(b)) = (&first.kind, &second.kind) else { return false };
    (first.pid, first.tid, first.cpu) == (second.pid, second.tid, second.cpu)
        && (a.addr, a.len, a.pgoff, a.prot, a.flags) == (b.addr, b.len, b.pgoff, b.prot, b.flags)
        && a.path == b.path
        // A file without a build-id gives two records with the inode; two build-ids are two mappings.
        && (a.inode.is_some() || b.inode.is_some())
}

fn joined(first: Record<'static>, second: Record<'static>) -> Record<'static> {
    let Record { kind, .. } = second;
    let Kind::Mmap(Mmap { build_id, inode, .. }) = kind else { return first };
    let mut first = first;
    if let Kind::Mmap(mmap) = &mut first.kind {
        mmap.build_id = mmap.build_id.or(build_id);
        mmap.inode = mmap.inode.or(inode);
    }
    first
}
