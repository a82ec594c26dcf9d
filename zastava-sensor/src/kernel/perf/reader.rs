//! Opening one event per CPU and reading their rings.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use thiserror::Error;

use crate::kernel::sys::clock::boot_ns;
use crate::kernel::sys::perf::{Attr, event_id, flag, lost, open_on_cpu, share_ring};

use super::assembler::Make;
use super::pair::Pairing;
use super::record::{Kind, Record, decode};
use super::ring::Ring;

/// What to ask perf for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Bytes of ring per CPU: a power of two from 4 KiB to 64 MiB. Up to 512 KiB fit `kernel.perf_event_mlock_kb` as
    /// it stands by default; more needs `CAP_IPC_LOCK`.
    pub ring_bytes: usize,
    /// What the records are for; `None`: build-ids alone. For anything else mapped files that have a build-id come with
    /// their inode too, by a second event per CPU.
    pub make: Option<Make>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ring_bytes: 256 << 10, make: None }
    }
}

/// What the kernel lets us have, each with what it answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Support {
    /// Executable mappings and processes of every CPU (`EACCES`: `kernel.perf_event_paranoid` without `CAP_PERFMON`).
    pub records: Result<(), Errno>,
    /// Build-ids in them: Linux 5.12 (`EINVAL` before).
    pub build_id: Result<(), Errno>,
    /// Losses at any time: Linux 6.0 (`EINVAL` before). Else a loss is told by the next record that finds room.
    pub losses: Result<(), Errno>,
}

/// What the reader could not use.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Records that decoded.
    pub records: u64,
    pub malformed: u64,
    /// Rings whose contents could not be followed and were dropped up to their heads.
    pub resets: u64,
    /// Records that the kernel could not place, as it counted them.
    pub lost: u64,
}

#[derive(Debug, Error)]
pub enum PerfError {
    #[error("cannot read the list of CPUs in {path}: {source}")]
    Cpus { path: &'static str, source: io::Error },
    #[error(
        "cannot open a perf event on CPU {cpu}: {source}; it needs CAP_PERFMON or kernel.perf_event_paranoid below 1"
    )]
    Open { cpu: u32, source: io::Error },
    #[error(
        "cannot map {bytes} bytes of perf ring on CPU {cpu}: {source}; make the ring smaller, raise \
         kernel.perf_event_mlock_kb or grant CAP_IPC_LOCK"
    )]
    Map { cpu: u32, bytes: usize, source: io::Error },
    #[error("no CPU accepted a perf event")]
    NoCpu,
}

const ONLINE: &str = "/sys/devices/system/cpu/online";
const MAPPINGS: u64 = flag::MMAP | flag::MMAP2;
const EXECS: u64 = flag::COMM | flag::COMM_EXEC;
const PROCESSES: u64 = EXECS | flag::TASK;

/// Opens trial events on the first CPU that is on line.
pub fn probe() -> Support {
    let cpu = online_cpus().ok().and_then(|cpus| cpus.first().copied()).unwrap_or(0);
    let trial = |attr: &Attr| match open_on_cpu(attr, cpu) {
        Ok(_) => Ok(()),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    };
    let dummy = |flags| Attr::dummy(flags, 1);
    Support {
        records: trial(&dummy(MAPPINGS | PROCESSES)),
        build_id: trial(&dummy(MAPPINGS | flag::BUILD_ID)),
        losses: trial(&dummy(MAPPINGS).telling_losses()),
    }
}

/// The rings of all CPUs that were on line when it was opened.
#[derive(Debug)]
pub struct PerfReader {
    lanes: Vec<Lane>,
    scratch: Vec<u8>,
    counters: Counters,
    build_ids: bool,
    /// The events can be asked for their losses: what the records say of them is the same again.
    tells_losses: bool,
}

#[derive(Debug)]
struct Lane {
    ring: Ring,
    second: Option<Second>,
}

/// The event that adds inodes, writing into the same ring, and what joins its records.
#[derive(Debug)]
struct Second {
    event: OwnedFd,
    id: u64,
    pairing: Pairing,
}

impl PerfReader {
    /// Starts the records. Without [`Support::build_id`] mappings come with their inodes alone.
    pub fn open(settings: &Settings) -> Result<Self, PerfError> {
        let cpus = online_cpus().map_err(|source| PerfError::Cpus { path: ONLINE, source })?;
        let Support { build_id, losses, .. } = probe();
        let (build_ids, tells_losses) = (build_id.is_ok(), losses.is_ok());
        let watermark = (settings.ring_bytes / 4) as u32;
        let mut flags = match settings.make {
            None => MAPPINGS,
            Some(Make::Mappings) => MAPPINGS | EXECS,
            Some(Make::Everything) => MAPPINGS | PROCESSES,
        };
        if build_ids {
            flags |= flag::BUILD_ID;
        }
        let dummy = |flags| {
            let attr = Attr::dummy(flags, watermark);
            if tells_losses { attr.telling_losses() } else { attr }
        };
        let first = dummy(flags);
        let second = (build_ids && settings.make.is_some()).then(|| dummy(MAPPINGS));
        let mut lanes = Vec::with_capacity(cpus.len());
        for cpu in cpus {
            match Lane::open(cpu, &first, second.as_ref(), settings.ring_bytes) {
                Ok(lane) => lanes.push(lane),
                // Went off line between the listing and now.
                Err(PerfError::Open { source, .. })
                    if Errno::from_io_error(&source) == Some(Errno::NODEV) => {}
                Err(error) => return Err(error),
            }
        }
        if lanes.is_empty() {
            return Err(PerfError::NoCpu);
        }
        Ok(Self { lanes, scratch: Vec::new(), counters: Counters::default(), build_ids, tells_losses })
    }

    /// Whether mappings carry build-ids.
    pub fn has_build_ids(&self) -> bool {
        self.build_ids
    }

    /// One descriptor per CPU, readable when a quarter of its ring is full.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.lanes.iter().map(|lane| lane.ring.as_fd())
    }

    /// Hands on what stands in the rings: in order of time within one CPU, not across them (see [`super::InOrder`]).
    ///
    /// At most one ring's worth per CPU. Never blocks. Forks and exits come without [`Make::Everything`] too: the
    /// kernel gives them to every event that wants mappings.
    pub fn read(&mut self, mut sink: impl FnMut(Record<'_>)) {
        let Self { lanes, scratch, counters, tells_losses, .. } = self;
        for Lane { ring, second } in lanes {
            let started = boot_ns();
            let inode_event = second.as_ref().map(|second| second.id);
            let sound = ring.read(scratch, |bytes| match decode(bytes, inode_event) {
                Ok(mut record) => {
                    counters.records += 1;
                    if let Kind::Lost(count) = &mut record.kind {
                        if *tells_losses {
                            *count = 0;
                        }
                        counters.lost += *count;
                    }
                    match second {
                        Some(second) => second.pairing.push(record, &mut sink),
                        None => sink(record),
                    }
                }
                Err(error) => {
                    counters.malformed += 1;
                    tracing::debug!(%error, "perf record refused");
                }
            });
            if !sound {
                counters.resets += 1;
            }
            if let Some(second) = second {
                second.pairing.flush(started.saturating_sub(super::order::SETTLE_NS), &mut sink);
            }
        }
    }

    /// Asks the events for losses that nobody was told of yet; 0 where [`Support::losses`] says that they cannot be
    /// asked. A loss that no record follows is known by this alone.
    pub fn new_losses(&mut self) -> u64 {
        if !self.tells_losses {
            return 0;
        }
        let events = self.lanes.iter().flat_map(|Lane { ring, second }| {
            [Some(ring.as_fd()), second.as_ref().map(|second| second.event.as_fd())]
        });
        // What cannot be read now is read the next time: the sum only grows.
        let sum = events.flatten().filter_map(|event| lost(event).ok()).sum::<u64>();
        let new = sum.saturating_sub(self.counters.lost);
        self.counters.lost += new;
        new
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }
}

impl Lane {
    fn open(cpu: u32, first: &Attr, second: Option<&Attr>, bytes: usize) -> Result<Self, PerfError> {
        let open = |attr: &Attr| open_on_cpu(attr, cpu).map_err(|source| PerfError::Open { cpu, source });
        let ring = Ring::map(open(first)?, bytes).map_err(|source| PerfError::Map { cpu, bytes, source })?;
        let second = match second {
            Some(attr) => {
                let event = open(attr)?;
                let id = share_ring(event.as_fd(), ring.as_fd())
                    .and_then(|()| event_id(event.as_fd()))
                    .map_err(|source| PerfError::Open { cpu, source })?;
                Some(Second { event, id, pairing: Pairing::default() })
            }
            None => None,
        };
        Ok(Self { ring, second })
    }
}

/// CPUs that are on line now.
pub fn cpus() -> usize {
    online_cpus().map_or(1, |cpus| cpus.len().max(1))
}

fn online_cpus() -> io::Result<Vec<u32>> {
    Ok(parse_cpu_list(&std::fs::read_to_string(ONLINE)?))
}

/// `0-3,8` (Documentation/admin-guide/cputopology.rst), at most 8,192 CPUs (`NR_CPUS`).
pub(super) fn parse_cpu_list(text: &str) -> Vec<u32> {
    const MOST: usize = 8192;
    let ranges = text.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().take(MOST).collect()
}
