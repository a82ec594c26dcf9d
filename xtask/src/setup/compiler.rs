//! Who compiles the kernel programs: Debian's rustc with prebuilt BPF libraries, or a contributor's nightly.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{places, step};

pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// A rustc that can compile for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// Debian's `rustc-web` with `libstd-rust-web-dev-bpf`: `core` comes prebuilt.
    Debian,
    /// rustup's nightly with `rust-src`: `core` is compiled with the programs.
    Nightly,
}

impl Compiler {
    const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

    /// The first that is here and complete.
    pub(crate) fn find() -> Option<Self> {
        if has_prebuilt_core(Path::new("/usr/lib/rustlib")) && Path::new(Self::DEBIAN_RUSTC).is_file() {
            return Some(Self::Debian);
        }
        let sysroot = step::output(rustup_nightly().args(["rustc", "--print", "sysroot"])).ok()?;
        let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
        source.is_file().then_some(Self::Nightly)
    }

    /// The major version of the LLVM inside: the linker must be built on the same one.
    pub(crate) fn llvm_major(self) -> Result<u32> {
        let version = match self {
            Self::Debian => step::output(Command::new(Self::DEBIAN_RUSTC).arg("-vV"))?,
            Self::Nightly => step::output(rustup_nightly().args(["rustc", "-vV"]))?,
        };
        version
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next()?.parse().ok())
            .with_context(|| format!("cannot read the LLVM version of {self:?} from: {version}"))
    }

    /// `cargo build` or `cargo check` for BPF, without what an outer cargo or rustup has set.
    pub(crate) fn cargo(self, subcommand: &str) -> Command {
        let mut command = match self {
            Self::Debian => {
                let mut command = Command::new("cargo");
                // The programs need `asm_experimental_arch`; the named crates alone may use unstable features.
                command.env("RUSTC_BOOTSTRAP", "aya_ebpf,zastava_ebpf");
                command.args([subcommand, "--release", "--target", TARGET]);
                command
            }
            Self::Nightly => {
                let mut command = rustup_nightly();
                command.args(["cargo", subcommand, "--release", "--target", TARGET, "-Z", "build-std=core"]);
                command
            }
        };
        let inherited =
            ["RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTDOC", "RUSTFLAGS", "CARGO_TARGET_DIR"];
        for variable in inherited.into_iter().chain(["CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS"]) {
            command.env_remove(variable);
        }
        match self {
            Self::Debian => command.env("RUSTC", Self::DEBIAN_RUSTC),
            Self::Nightly => command.env_remove("RUSTUP_TOOLCHAIN"),
        };
        command
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Debian => "Debian's rustc-web",
            Self::Nightly => "rustup's nightly with rust-src",
        }
    }
}

fn has_prebuilt_core(rustlib: &Path) -> bool {
    let Ok(entries) = fs::read_dir(rustlib.join(TARGET).join("lib")) else { return false };
    entries.flatten().any(|entry| {
        let path: PathBuf = entry.file_name().into();
        path.extension() == Some(OsStr::new("rlib")) && path.to_string_lossy().starts_with("libcore-")
    })
}

fn rustup_nightly() -> Command {
    let mut command = Command::new(places::on_path("rustup").unwrap_or_else(|| "rustup".into()));
    command.args(["run", "nightly"]);
    command
}
