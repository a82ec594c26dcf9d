//! The kernel stage: opens the best tier that this kernel allows and reads it, on a thread of its own.
//!
//! Waking: the kernel wakes the reader for the first record after it caught up; the reader then lets records gather
//! for the flush interval (or until a ring is a quarter full) and takes them all. An idle machine costs one
//! wake-up a second, for the ledger.

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use tokio::sync::mpsc;
use zastava_common::abi::{LossKey, LossValue, Tier};

use super::{
    fanotify::{self, FileWatch},
    hooks::Gives,
    layout::{self, LayoutError},
    ledger::{KernelLedger, SkippedRuns},
    load::{self, Attached, LoadError, Missing, Sizes},
    perf::{self, PerfError},
    record::{KernelRecord, Origin, What},
    rings::{RingCounters, Rings},
    settle::settle,
    sideband::Perf,
    sys::clock::boot_ns,
};

/// How often the ledger is read.
const LEDGER_INTERVAL: Duration = Duration::from_secs(1);

/// What the kernel stage needs of the configuration.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// `None`: the best that works.
    pub tier: Option<Tier>,
    pub sizes: Sizes,
    /// How long records gather before they are read.
    pub flush: Duration,
    pub proc_root: PathBuf,
    pub sys_root: PathBuf,
    /// Processes that the side band keeps in mind.
    pub process_entries: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("no tier works on this kernel; run `zastava-sensor doctor` for the whole story\n{}", list(.0))]
    NoTier(Vec<Refused>),
    #[error("cannot wait for the kernel: {0}")]
    Poll(#[from] rustix::io::Errno),
    #[error("cannot start the reader's thread: {0}")]
    Thread(std::io::Error),
}

/// A tier that this kernel refused, and why.
#[derive(Clone, Debug)]
pub struct Refused {
    pub tier: Tier,
    pub reason: String,
}

fn list(refused: &[Refused]) -> String {
    let lines: Vec<String> =
        refused.iter().map(|refused| format!("  {}: {}", refused.tier.name(), refused.reason)).collect();
    lines.join("\n")
}

/// What a trial of a tier showed.
#[derive(Clone, Debug)]
pub struct Probe {
    pub tier: Tier,
    /// The hooks that are missing, or why the tier does not work at all.
    pub outcome: Result<Vec<Missing>, String>,
}

/// Loads and attaches every tier for a moment, the best first.
pub fn probe(config: &KernelConfig) -> Vec<Probe> {
    let outcome =
        |tier| Source::open_tier(tier, config).map(|source| source.missing).map_err(|e| e.to_string());
    Tier::ALL.into_iter().map(|tier| Probe { tier, outcome: outcome(tier) }).collect()
}

#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Perf(#[from] PerfError),
}

/// Figures of the kernel stage, for metrics and the summary.
#[derive(Clone, Debug, Default)]
pub struct KernelCounters {
    pub rings: RingCounters,
    pub perf: perf::Counters,
    pub fanotify: fanotify::Counters,
    /// Programs that were skipped because they were running already: (program, times).
    pub recursion_misses: Vec<(&'static str, u64)>,
    /// Kernel-side reads that failed.
    pub read_failures: u64,
    /// What the programs had no room to keep from one hook to the next.
    pub kept_refusals: u64,
}

/// One tier, attached and readable.
pub struct Source {
    tier: Tier,
    missing: Vec<Missing>,
    refused: Vec<Refused>,
    attached: Option<(Attached, Rings, KernelLedger)>,
    perf: Option<Perf>,
    files: Option<FileWatch>,
    /// Read, but not settled: where perf is a source of records, all sources are told in one order of times.
    held: Vec<KernelRecord>,
    flush: Duration,
    skipped: SkippedRuns,
}

impl Source {
    /// Tries the tiers from the best down, or the one asked for.
    pub fn open(config: &KernelConfig) -> Result<Self, KernelError> {
        let wanted: &[Tier] = match &config.tier {
            Some(tier) => std::slice::from_ref(tier),
            None => &Tier::ALL,
        };
        let mut refused = Vec::new();
        for &tier in wanted {
            match Self::open_tier(tier, config) {
                Ok(mut source) => {
                    source.refused = refused;
                    return Ok(source);
                }
                Err(error) => refused.push(Refused { tier, reason: error.to_string() }),
            }
        }
        Err(KernelError::NoTier(refused))
    }

    fn open_tier(tier: Tier, config: &KernelConfig) -> Result<Self, OpenError> {
        let mut missing = Vec::new();
        let attached = match tier {
            Tier::Trampoline | Tier::Kprobe | Tier::Tracepoint => {
                let types = layout::types(&config.sys_root)?;
                let layout = layout::resolve(&types, &config.sys_root)?;
                let mut attached = load::attach(tier, &types, &layout, config.sizes)?;
                missing.append(&mut attached.missing.clone());
                let maps = attached.take_maps()?;
                Some((attached, Rings::new(maps.process, maps.files), KernelLedger::new(maps.loss)))
            }
            Tier::Sideband => None,
        };
        let perf = match Perf::open(tier, config) {
            Ok(perf) => Some(perf),
            // With hooks of its own for mappings a tier does without perf: build-ids are then read from the files.
            Err(error) if matches!(tier, Tier::Trampoline | Tier::Kprobe) => {
                missing.push(Missing {
                    gives: Gives::BuildIds,
                    hook: "perf/mmap2".to_owned(),
                    reason: error.to_string(),
                });
                None
            }
            Err(error) => return Err(error.into()),
        };
        let files = match tier {
            Tier::Trampoline | Tier::Kprobe => None,
            Tier::Tracepoint | Tier::Sideband => match FileWatch::open(tier, &config.proc_root) {
                Ok(watch) => {
                    missing.extend(watch.marks().filter_map(unwatched));
                    Some(watch)
                }
                Err(error) => {
                    missing.push(Missing {
                        gives: Gives::FileClose,
                        hook: "fanotify".to_owned(),
                        reason: error.to_string(),
                    });
                    None
                }
            },
        };
        Ok(Self {
            tier,
            missing,
            refused: Vec::new(),
            attached,
            perf,
            files,
            held: Vec::new(),
            flush: config.flush,
            skipped: SkippedRuns::default(),
        })
    }

    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Hooks of the tier that the kernel refused.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// Better tiers that the kernel refused.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Reads until told to stop, and once more after that. Ends early when nobody receives.
    pub fn run(mut self, out: mpsc::Sender<Batch>) -> Result<Reader, KernelError> {
        let stop = Arc::new(Stop { asked: AtomicBool::new(false), wake: eventfd(0, EventfdFlags::CLOEXEC)? });
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for fd in self.fds().chain([stop.wake.as_fd()]) {
            // Edge-triggered: data that waits is no reason to wake up again, a new wake-up from the kernel is.
            epoll::add(
                &poll,
                fd,
                epoll::EventData::new_u64(0),
                epoll::EventFlags::IN | epoll::EventFlags::ET,
            )?;
        }
        let theirs = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("kernel".to_owned())
            .spawn(move || self.read(&poll, &theirs, &out))
            .map_err(KernelError::Thread)?;
        Ok(Reader { stop, thread })
    }

    fn read(&mut self, poll: &OwnedFd, stop: &Stop, out: &mpsc::Sender<Batch>) {
        let mut ledger_due = Instant::now() + LEDGER_INTERVAL;
        let mut more = false;
        // perf wakes for a full ring alone: where it is the source, look at each interval.
        let patience = match self.tier {
            Tier::Trampoline | Tier::Kprobe => LEDGER_INTERVAL,
            Tier::Tracepoint | Tier::Sideband => self.flush,
        };
        loop {
            let last = stop.asked.load(Ordering::Acquire);
            if !more && !last && wait(poll, patience) {
                wait(poll, self.flush);
            }
            let mut batch = Batch::default();
            more = self.drain(&mut batch.records, last);
            if last || Instant::now() >= ledger_due {
                ledger_due = Instant::now() + LEDGER_INTERVAL;
                self.read_ledger(&mut batch);
            }
            if (!batch.records.is_empty() || batch.counters.is_some()) && out.blocking_send(batch).is_err() {
                return;
            }
            if last && !more {
                return;
            }
        }
    }

    /// Everything that waits, in order; `true` when more does.
    fn drain(&mut self, records: &mut Vec<KernelRecord>, last: bool) -> bool {
        let Self { tier, attached, perf, files, held, .. } = self;
        let mut settled = match tier {
            Tier::Tracepoint | Tier::Sideband if !last => boot_ns().saturating_sub(perf::SETTLE_NS),
            Tier::Tracepoint | Tier::Sideband | Tier::Trampoline | Tier::Kprobe => u64::MAX,
        };
        let more = attached.as_mut().is_some_and(|(_, rings, _)| rings.drain(held));
        if more && let Some(latest) = held.iter().map(|record| record.origin.boot_ns).max() {
            // What is still in the rings is not much older.
            settled = settled.min(latest);
        }
        if let Some(watch) = files
            && let Err(error) = watch.read(|record| held.push(record))
        {
            tracing::warn!(%error, "file changes cannot be read");
        }
        release(held, settled, records);
        if let Some(perf) = perf {
            perf.drain(records, settled);
        }
        settle(records);
        if let Some(perf) = perf {
            perf.give_build_ids(records);
        }
        more
    }

    fn read_ledger(&mut self, batch: &mut Batch) {
        let mut counters = KernelCounters::default();
        if let Some((attached, rings, ledger)) = &mut self.attached {
            counters.rings = rings.counters.clone();
            let skipped: Vec<_> = attached.skipped_runs().filter(|(_, runs)| *runs > 0).collect();
            counters.recursion_misses = skipped.iter().map(|(hook, runs)| (hook.program, *runs)).collect();
            counters.read_failures = attached.read_failures();
            counters.kept_refusals = attached.kept_refusals();
            let now = boot_ns();
            let skipped = self.skipped.read(skipped.into_iter(), now);
            let losses = ledger.read().into_iter().chain(skipped);
            batch.records.extend(losses.map(|(key, value)| loss(self.tier, now, key, value)));
        }
        if let Some(perf) = &mut self.perf {
            perf.tell_losses(self.tier, &mut batch.records);
            counters.perf = perf.reader.counters();
        }
        if let Some(files) = &mut self.files {
            counters.fanotify = files.counters();
            if let Err(error) = files.refresh() {
                tracing::warn!(%error, "new mounts cannot be watched");
            }
        }
        batch.counters = Some(counters);
    }

    fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let rings = self.attached.iter().flat_map(|(_, rings, _)| rings.fds());
        let perf = self.perf.iter().flat_map(|perf| perf.reader.fds());
        rings.chain(perf).chain(self.files.iter().map(|files| files.as_fd()))
    }
}

/// Hands on what was read up to `settled` (boot time, nanoseconds).
fn release(held: &mut Vec<KernelRecord>, settled: u64, records: &mut Vec<KernelRecord>) {
    if settled == u64::MAX {
        records.append(held);
        return;
    }
    held.sort_by_key(|record| record.origin.boot_ns);
    let ready = held.partition_point(|record| record.origin.boot_ns <= settled);
    records.extend(held.drain(..ready));
}

/// What one look at the kernel brought.
#[derive(Debug, Default)]
pub struct Batch {
    pub records: Vec<KernelRecord>,
    /// With each reading of the ledger.
    pub counters: Option<KernelCounters>,
}

struct Stop {
    asked: AtomicBool,
    wake: OwnedFd,
}

/// The running reader.
pub struct Reader {
    stop: Arc<Stop>,
    thread: std::thread::JoinHandle<()>,
}

impl Reader {
    /// A way to end the reader from elsewhere.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let stop = Arc::clone(&self.stop);
        move || {
            stop.asked.store(true, Ordering::Release);
            // Full or not, the descriptor is readable then.
            let _ = rustix::io::write(&stop.wake, &1u64.to_ne_bytes());
        }
    }

    /// Waits for the reader to have handed on what was left.
    pub fn join(self) {
        let Self { thread, .. } = self;
        if thread.join().is_err() {
            tracing::error!("the kernel reader ended by a panic; what it held is lost");
        }
    }
}

/// `true` when something woke us, `false` at the end of `patience`.
fn wait(poll: &OwnedFd, patience: Duration) -> bool {
    let patience =
        Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
    let mut events =
        [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 8];
    // A signal is as good a reason to look as any.
    epoll::wait(poll, &mut events[..], Some(&patience)).map_or(true, |count| count > 0)
}

fn unwatched(mark: &fanotify::Mark) -> Option<Missing> {
    let reason = mark.watched.err()?.to_string();
    Some(Missing { gives: Gives::FileClose, hook: format!("fanotify on {}", mark.point.display()), reason })
}

fn loss(tier: Tier, now: u64, key: LossKey, value: LossValue) -> KernelRecord {
    let cgroup_id = (key.cgroup_id != 0).then_some(key.cgroup_id);
    KernelRecord {
        origin: Origin { cgroup_id, ..Origin::of_machine(tier, now) },
        what: What::Loss { key, value },
    }
}
