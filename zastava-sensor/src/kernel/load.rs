//! Loads the kernel programs and attaches one tier's hooks. Nothing is pinned: when the sensor dies, by whatever
//! signal, the kernel detaches everything.

use std::os::fd::AsFd as _;

use aya::{
    Ebpf, EbpfLoader, Endianness,
    maps::{HashMap, MapData, PerCpuArray, RingBuf},
    programs::{BtfTracePoint, FEntry, FExit, KProbe, Program, ProgramError, RawTracePoint},
};
use zastava_common::abi::{Layout, LossKey, LossValue, RecordKind, Settings, Tier};
use zerocopy::IntoBytes as _;

use super::{
    btf::Btf,
    hooks::{Attach, Gives, Hook, Need, hooks},
};

/// The compiled kernel programs, embedded by `build.rs`; empty when the sensor was built without them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/zastava-ebpf.o"));

/// Sizes from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes, powers of two.
    pub process_ring: u32,
    pub files_ring: u32,
    pub seen_entries: u32,
    pub loss_entries: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("built without kernel programs; run `cargo xtask build-ebpf` and build the sensor again")]
    NoObject,
    #[error("cannot load the kernel programs' maps: {0}; needs CAP_BPF and CAP_PERFMON, or root")]
    Object(String),
    #[error("{hook}: {reason}")]
    Hook { hook: String, reason: String },
    #[error("the kernel programs and the sensor were built from different sources: no {0}")]
    Mismatch(&'static str),
}

/// A hook that the kernel refused, with its words.
#[derive(Clone, Debug)]
pub struct Missing {
    pub gives: Gives,
    pub hook: String,
    pub reason: String,
}

/// One tier, loaded and attached. Dropping it detaches.
#[derive(Debug)]
pub struct Attached {
    pub tier: Tier,
    pub missing: Vec<Missing>,
    ebpf: Ebpf,
}

/// Both rings and the ledger, taken out for the reader.
pub struct Maps {
    pub process: RingBuf<MapData>,
    pub files: RingBuf<MapData>,
    pub loss: HashMap<MapData, LossKeyPod, LossValuePod>,
}

/// A [`LossKey`] as aya wants it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct LossKeyPod(pub LossKey);
/// A [`LossValue`] as aya wants it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct LossValuePod(pub LossValue);

// SAFETY: plain integers without padding (zerocopy proves it), valid for any bit pattern.
unsafe impl aya::Pod for LossKeyPod {}
// SAFETY: as above.
unsafe impl aya::Pod for LossValuePod {}

/// Loads `tier` and attaches its hooks; `Err` when a required one is refused. `types` are the running kernel's.
pub fn attach(tier: Tier, types: &Btf, layout: &Layout, sizes: Sizes) -> Result<Attached, LoadError> {
    if OBJECT.is_empty() {
        return Err(LoadError::NoObject);
    }
    let settings = Settings {
        own_tgid: std::process::id(),
        tier: tier as u32,
        process_watermark: sizes.process_ring / 4,
        files_watermark: sizes.files_ring / 4,
    };
    let places = places(tier, types)?;
    let mut ebpf = EbpfLoader::new()
        // Offsets come by LAYOUT: nothing is left to relocate.
        .btf(None)
        .override_global("LAYOUT", layout.as_bytes(), true)
        .override_global("SETTINGS", settings.as_bytes(), true)
        .map_max_entries("PROCESS_RING", sizes.process_ring)
        .map_max_entries("FILES_RING", sizes.files_ring)
        .map_max_entries("SEEN", sizes.seen_entries)
        .map_max_entries("LOSS", sizes.loss_entries)
        .load(OBJECT)
        .map_err(|error| LoadError::Object(chain(&error)))?;
    let mut missing = Vec::new();
    for hook in hooks(tier) {
        if hook.need == Need::WhereThere && !types.has_function(hook.attach.place()) {
            continue;
        }
        if let Err(reason) = attach_one(&mut ebpf, hook, &places) {
            if hook.need == Need::Required {
                return Err(LoadError::Hook { hook: hook.attach.describe(), reason });
            }
            missing.push(Missing { gives: hook.gives, hook: hook.attach.describe(), reason });
        }
    }
    Ok(Attached { tier, missing, ebpf })
}

/// The kernel's numbers of the functions and tracepoints that typed programs are attached to. aya reads all types that
/// it is given, one by one, which costs more than loading does: it gets these alone.
fn places(tier: Tier, types: &Btf) -> Result<aya::Btf, LoadError> {
    let named: Vec<String> = hooks(tier)
        .filter_map(|hook| match hook.attach {
            Attach::Fentry(place) | Attach::Fexit(place) => Some(place.to_owned()),
            Attach::BtfTracepoint(place) => Some(format!("btf_trace_{place}")),
            Attach::RawTracepoint(_) | Attach::Kprobe(_) | Attach::Kretprobe(_) => None,
        })
        .collect();
    let bytes = types.places(&named).ok_or_else(|| LoadError::Object("malformed types".to_owned()))?;
    aya::Btf::parse(&bytes, Endianness::default()).map_err(|error| LoadError::Object(chain(&error)))
}

fn attach_one(ebpf: &mut Ebpf, hook: &Hook, btf: &aya::Btf) -> Result<(), String> {
    let program = ebpf.program_mut(hook.program).ok_or_else(|| format!("no program {}", hook.program))?;
    let result = match hook.attach {
        Attach::RawTracepoint(place) => load_raw_tracepoint(program, place),
        Attach::BtfTracepoint(place) => load_btf_tracepoint(program, place, btf),
        Attach::Fentry(place) => load_fentry(program, place, btf),
        Attach::Fexit(place) => load_fexit(program, place, btf),
        Attach::Kprobe(place) | Attach::Kretprobe(place) => load_kprobe(program, place),
    };
    result.map_err(|error| explain(&error))
}

fn load_raw_tracepoint(program: &mut Program, place: &str) -> Result<(), ProgramError> {
    let program: &mut RawTracePoint = program.try_into()?;
    program.load()?;
    program.attach(place).map(drop)
}

fn load_btf_tracepoint(program: &mut Program, place: &str, btf: &aya::Btf) -> Result<(), ProgramError> {
    let program: &mut BtfTracePoint = program.try_into()?;
    program.load(place, btf)?;
    program.attach().map(drop)
}

fn load_fentry(program: &mut Program, place: &str, btf: &aya::Btf) -> Result<(), ProgramError> {
    let program: &mut FEntry = program.try_into()?;
    program.load(place, btf)?;
    program.attach().map(drop)
}

fn load_fexit(program: &mut Program, place: &str, btf: &aya::Btf) -> Result<(), ProgramError> {
    let program: &mut FExit = program.try_into()?;
    program.load(place, btf)?;
    program.attach().map(drop)
}

fn load_kprobe(program: &mut Program, place: &str) -> Result<(), ProgramError> {
    let program: &mut KProbe = program.try_into()?;
    program.load()?;
    program.attach(place, 0).map(drop)
}

impl Attached {
    /// The attached programs, each with how many of its runs the kernel skipped.
    pub fn skipped_runs(&self) -> impl Iterator<Item = (&'static Hook, u64)> + '_ {
        hooks(self.tier).filter_map(|hook| {
            let fd = self.ebpf.program(hook.program)?.fd().ok()?;
            Some((hook, super::sys::bpf::recursion_misses(fd.as_fd())?))
        })
    }

    /// Reads of kernel memory that failed, all CPUs and causes.
    pub fn read_failures(&self) -> u64 {
        self.sum("FAILURES")
    }

    /// Operations and scripts that the programs had no room to keep in mind.
    pub fn kept_refusals(&self) -> u64 {
        self.sum("REFUSED")
    }

    /// The sum of a map of counters, over all rows and CPUs.
    fn sum(&self, map: &str) -> u64 {
        let Some(Ok(counters)) = self.ebpf.map(map).map(PerCpuArray::<_, u64>::try_from) else {
            return 0;
        };
        counters.iter().filter_map(Result::ok).flat_map(|cpus| cpus.to_vec()).sum()
    }

    /// Takes the rings and the ledger out, with the ledger's overflow rows in place.
    pub fn take_maps(&mut self) -> Result<Maps, LoadError> {
        fn take<T: TryFrom<aya::maps::Map>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, LoadError> {
            ebpf.take_map(name).and_then(|map| T::try_from(map).ok()).ok_or(LoadError::Mismatch(name))
        }
        let mut loss: HashMap<MapData, LossKeyPod, LossValuePod> = take(&mut self.ebpf, "LOSS")?;
        for kind in RecordKind::ALL {
            let key = LossKeyPod(LossKey { cgroup_id: 0, kind: kind as u32, reserved: 0 });
            loss.insert(key, LossValuePod(LossValue::default()), 0)
                .map_err(|error| LoadError::Object(chain(&error)))?;
        }
        Ok(Maps {
            process: take(&mut self.ebpf, "PROCESS_RING")?,
            files: take(&mut self.ebpf, "FILES_RING")?,
            loss,
        })
    }
}

/// How the lines begin that a verifier's log ends with.
const STATISTICS: [&str; 4] = ["processed ", "verification time", "stack depth", "subprog "];

/// The last line of the verifier's words, or the error and its causes.
fn explain(error: &ProgramError) -> String {
    if let ProgramError::LoadError { io_error, verifier_log } = error {
        let log = verifier_log.to_string();
        let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
        // The line before the statistics says what was refused.
        let last = lines.iter().rev().find(|line| !STATISTICS.iter().any(|start| line.starts_with(start)));
        return match last {
            Some(last) => format!("{io_error}: {last}"),
            None => io_error.to_string(),
        };
    }
    chain(error)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
