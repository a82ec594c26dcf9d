//! perf as a source of records, or, where programs tell of mappings, of their build-ids alone.

use zastava_common::abi::Tier;

use super::{
    perf::{self, BuildIdHints, InOrder, PerfError, PerfReader, SidebandAssembler, assembler::Make},
    record::{KernelRecord, Origin, What},
    source::KernelConfig,
    sys::clock::boot_ns,
};

/// Mappings remembered for their build-ids.
const HINTS: usize = 16_384;

/// perf's rings and what is made of their records.
pub(super) struct Perf {
    pub(super) reader: PerfReader,
    order: InOrder,
    hints: BuildIdHints,
    /// Where perf is more than a source of build-ids.
    assembler: Option<SidebandAssembler>,
}

/// Bytes of perf ring for each CPU, so that all of them together have about 8 MiB.
fn roomy() -> usize {
    const TOGETHER: usize = 8 << 20;
    (TOGETHER / perf::cpus().next_power_of_two()).clamp(256 << 10, 2 << 20)
}

impl Perf {
    pub(super) fn open(tier: Tier, config: &KernelConfig) -> Result<Self, PerfError> {
        let make = match tier {
            Tier::Trampoline | Tier::Kprobe => None,
            Tier::Tracepoint => Some(Make::Mappings),
            Tier::Sideband => Some(Make::Everything),
        };
        let plain = perf::Settings { make, ..perf::Settings::default() };
        let reader = match make {
            // Each record counts: as much room as the BPF rings would have, where that much may be locked.
            Some(_) => match PerfReader::open(&perf::Settings { ring_bytes: roomy(), ..plain }) {
                Err(PerfError::Map { .. }) => PerfReader::open(&plain),
                opened => opened,
            },
            None => PerfReader::open(&plain),
        };
        Ok(Self {
            reader: reader?,
            order: InOrder::default(),
            hints: BuildIdHints::new(HINTS),
            assembler: make
                .map(|make| SidebandAssembler::new(make, &config.proc_root, config.process_entries)),
        })
    }

    /// Takes what came up to `settled` (boot time, nanoseconds), of which `records` has what others told.
    pub(super) fn drain(&mut self, records: &mut Vec<KernelRecord>, settled: u64) {
        let Self { reader, order, hints, assembler } = self;
        let Some(assembler) = assembler else {
            reader.read(|record| hints.learn(&record));
            return;
        };
        let execs = records.iter().filter(|record| matches!(record.what, What::Exec(_)));
        let mut execs: Vec<_> =
            execs.map(|record| (record.origin.boot_ns, record.origin.process.tgid)).collect();
        execs.sort_unstable();
        let mut execs = execs.into_iter().peekable();
        order.read(
            reader,
            settled,
            |record| hints.learn(record),
            |record| {
                while let Some((time, pid)) = execs.next_if(|(time, _)| *time < record.time) {
                    assembler.announced(pid, time, |record| records.push(record));
                }
                assembler.push(record, |record| records.push(record));
            },
        );
        for (time, pid) in execs {
            assembler.announced(pid, time, |record| records.push(record));
        }
        assembler.expire(settled, |record| records.push(record));
    }

    /// Losses that no record told of. Where perf only gives build-ids, a lost record is no lost event.
    pub(super) fn tell_losses(&mut self, tier: Tier, records: &mut Vec<KernelRecord>) {
        let lost = self.reader.new_losses();
        if let (Some(assembler), 1..) = (&mut self.assembler, lost) {
            assembler.lost(lost, Origin::of_machine(tier, boot_ns()), |record| records.push(record));
        }
    }

    pub(super) fn give_build_ids(&mut self, records: &mut [KernelRecord]) {
        for KernelRecord { origin, what } in records {
            let (path, build_id) = match what {
                What::Exec(exec) => (&exec.exe.bytes, &mut exec.build_id),
                What::Mapping(mapping) => (&mapping.path.bytes, &mut mapping.build_id),
                _ => continue,
            };
            if build_id.is_none() {
                let found = self.hints.look_up(origin.process.tgid, path, origin.boot_ns);
                *build_id = found.map(|build_id| build_id.bytes().to_vec());
            }
        }
    }
}
