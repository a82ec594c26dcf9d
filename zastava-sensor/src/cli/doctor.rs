//! `zastava-sensor doctor`: what this kernel lets the sensor see, and why not more.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde::Serialize;
use zastava_common::{
    abi::Tier,
    config::{self, Config, ConfigError},
};

use crate::{
    kernel::{
        hooks, layout,
        source::{KernelConfig, Probe, probe},
    },
    pipeline::kernel_config,
};

/// Longest file of /sys or /proc that is shown, in bytes.
const MAX_FACT: u64 = 4096;

/// Show what this kernel lets the sensor see, and why not more. Attaches each tier for a moment
#[derive(Args, Clone, Debug)]
#[command(after_help = "Exit codes: 0 the sensor can run here, 3 no tier works.")]
pub struct DoctorArgs {
    /// Configuration, for the sizes of the rings and the place of /proc
    #[arg(long, value_name = "FILE", env = "ZASTAVA_CONFIG")]
    config: Option<PathBuf>,
    /// For people or for machines
    #[arg(long, value_name = "FORM", default_value = "pretty")]
    output: Form,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Form {
    Pretty,
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot write the report: {0}")]
    Write(#[from] io::Error),
}

impl DoctorArgs {
    /// Writes the report; `true` when the sensor can run here.
    pub fn run(self, out: &mut dyn Write) -> Result<bool, DoctorError> {
        let config = self.config.map_or_else(|| Ok(Config::default()), |file| config::load(&file))?;
        let report = Report::gather(&kernel_config(&config));
        match self.output {
            Form::Pretty => report.write_pretty(out)?,
            Form::Json => {
                serde_json::to_writer_pretty(&mut *out, &report).map_err(io::Error::from)?;
                writeln!(out)?;
            }
        }
        Ok(report.can_run())
    }
}

/// Everything that `doctor` found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    kernel: String,
    architecture: &'static str,
    btf: String,
    lockdown: String,
    lsms: String,
    capabilities: Vec<Capability>,
    perf_event_paranoid: String,
    process_ring_bytes: u32,
    files_ring_bytes: u32,
    tiers: Vec<TierReport>,
    /// The tier that the sensor would choose.
    chosen: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Capability {
    name: &'static str,
    held: bool,
    /// What it is for.
    needed_for: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TierReport {
    tier: &'static str,
    works: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Hooks that the kernel refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<MissingReport>,
    /// What the tier cannot see by nature.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    blind_spots: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct MissingReport {
    gives: &'static str,
    hook: String,
    reason: String,
}

/// Bit numbers: include/uapi/linux/capability.h.
const CAPABILITIES: [(&str, u32, &str); 5] = [
    ("CAP_BPF", 39, "loading the kernel programs (with CAP_SYS_ADMIN before 5.8)"),
    ("CAP_PERFMON", 38, "tracing programs and perf records"),
    ("CAP_SYS_PTRACE", 19, "reading /proc of other users' processes"),
    ("CAP_DAC_READ_SEARCH", 2, "opening files by handle"),
    ("CAP_SYS_ADMIN", 21, "fanotify on file systems; everything else on kernels before 5.8"),
];

impl Report {
    /// Tries everything. Attaches each tier for a moment.
    pub fn gather(config: &KernelConfig) -> Self {
        let KernelConfig { sizes, proc_root, sys_root, .. } = config;
        let effective = effective_capabilities(proc_root);
        let btf = match layout::resolve(sys_root) {
            Ok((found, _)) => match layout::absent(&found).as_slice() {
                [] => "every field found".to_owned(),
                absent => format!("found; without {}", absent.join(", ")),
            },
            Err(error) => error.to_string(),
        };
        let tiers: Vec<_> = probe(config).into_iter().map(TierReport::from).collect();
        let chosen = tiers.iter().find(|tier| tier.works).map(|tier| tier.tier);
        Self {
            kernel: fact(&proc_root.join("sys/kernel/osrelease")),
            architecture: std::env::consts::ARCH,
            btf,
            lockdown: fact(&sys_root.join("kernel/security/lockdown")),
            lsms: fact(&sys_root.join("kernel/security/lsm")),
            capabilities: CAPABILITIES
                .into_iter()
                .map(|(name, bit, needed_for)| Capability {
                    name,
                    held: effective >> bit & 1 == 1,
                    needed_for,
                })
                .collect(),
            perf_event_paranoid: fact(&proc_root.join("sys/kernel/perf_event_paranoid")),
            process_ring_bytes: sizes.process_ring,
            files_ring_bytes: sizes.files_ring,
            tiers,
            chosen,
        }
    }

    /// Whether the sensor can run at all.
    pub fn can_run(&self) -> bool {
        self.chosen.is_some()
    }

    /// For people.
    pub fn write_pretty(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self {
            kernel,
            architecture,
            btf,
            lockdown,
            lsms,
            capabilities,
            perf_event_paranoid,
            process_ring_bytes,
            files_ring_bytes,
            tiers,
            chosen,
        } = self;
        writeln!(out, "kernel               {kernel} ({architecture})")?;
        writeln!(out, "type information     {btf}")?;
        writeln!(out, "lockdown             {lockdown}")?;
        writeln!(out, "security modules     {lsms}")?;
        writeln!(out, "perf_event_paranoid  {perf_event_paranoid}")?;
        writeln!(
            out,
            "rings                process {} KiB, files {} KiB",
            process_ring_bytes / 1024,
            files_ring_bytes / 1024
        )?;
        writeln!(out, "\ncapabilities")?;
        for Capability { name, held, needed_for } in capabilities {
            writeln!(out, "  {:3} {name:20} {needed_for}", if *held { "yes" } else { "no" })?;
        }
        writeln!(out, "\ntiers, the best first")?;
        for TierReport { tier, works, reason, missing, blind_spots } in tiers {
            let state = if *works { "works" } else { "refused" };
            writeln!(
                out,
                "  {tier:11} {state}{}",
                reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default()
            )?;
            for MissingReport { gives, hook, reason } in missing {
                writeln!(out, "              without {gives} ({hook}: {reason})")?;
            }
            if *works {
                for blind_spot in *blind_spots {
                    writeln!(out, "              does not see {blind_spot}")?;
                }
            }
        }
        match chosen {
            Some(tier) => writeln!(out, "\nThe sensor can run; it would choose `{tier}`."),
            None => writeln!(
                out,
                "\nThe sensor cannot run here: no tier works. Run it as root on a kernel from 5.10 on."
            ),
        }
    }
}

impl From<Probe> for TierReport {
    fn from(Probe { tier, outcome }: Probe) -> Self {
        let (missing, reason) = match outcome {
            Ok(missing) => (missing, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        Self {
            tier: Tier::name(tier),
            works: reason.is_none(),
            reason,
            missing: missing
                .into_iter()
                .map(|missing| MissingReport {
                    gives: missing.gives.name(),
                    hook: missing.hook,
                    reason: missing.reason,
                })
                .collect(),
            blind_spots: hooks::blind_spots(tier),
        }
    }
}

/// First line of a small file, or why there is none.
fn fact(path: &Path) -> String {
    use io::Read as _;
    let mut text = String::new();
    match fs::File::open(path).and_then(|file| file.take(MAX_FACT).read_to_string(&mut text)) {
        Ok(_) => text.lines().next().unwrap_or("empty").to_owned(),
        Err(error) => format!("not shown ({error})"),
    }
}

/// `CapEff` of this process (proc(5)).
fn effective_capabilities(proc_root: &Path) -> u64 {
    let status = fs::read_to_string(proc_root.join("self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}
