//! `build-ebpf`: compiles the kernel programs and leaves them where the sensor embeds them from.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{
    places,
    setup::{self, Toolchain, compiler::TARGET},
    step,
};

/// What the sensor's build script looks for.
const OBJECT: &str = "zastava-ebpf.o";

/// cargo joins flags by this, so that a flag may hold spaces and quotes.
const BETWEEN_FLAGS: &str = "\x1f";

pub(crate) fn run() -> Result<()> {
    println!("{}", build()?.display());
    Ok(())
}

/// Compiles what changed; returns the object.
pub(crate) fn build() -> Result<PathBuf> {
    let Toolchain { compiler, linker } = setup::build()?;
    let krate = places::root().join("zastava-ebpf");
    let directory = places::bpf_objects();
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let begun = Instant::now();
    let mut cargo = compiler.cargo("build");
    cargo
        .current_dir(&krate)
        .args(["--quiet", "--locked"])
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &linker)
        .env("CARGO_ENCODED_RUSTFLAGS", flags());
    step::shown(&format!("Compiling the kernel programs with {}", compiler.name()), &mut cargo)?;
    let built = krate.join("target").join(TARGET).join("release/zastava-ebpf");
    let object = directory.join(OBJECT);
    strip(&built, &object, compiler.llvm_major()?)?;
    println!("kernel programs: {} in {}", object.display(), step::seconds(begun.elapsed()));
    Ok(object)
}

fn flags() -> String {
    let arch = format!("--cfg=bpf_target_arch=\"{ARCH}\"");
    // Debug info is what BTF is made from.
    [arch.as_str(), "-Cdebuginfo=2", "-Clink-arg=--btf"].join(BETWEEN_FLAGS)
}

/// Leaves DWARF behind, which only grows the sensor; BTF stays. An object that did not change keeps its time, so that
/// cargo does not build the sensor again.
fn strip(built: &Path, object: &Path, llvm: u32) -> Result<()> {
    let debians = PathBuf::from(format!("/usr/lib/llvm-{llvm}/bin/llvm-strip"));
    let stripper = if debians.is_file() { Some(debians) } else { places::on_path("llvm-strip") };
    let stripped = built.with_extension("stripped");
    match stripper {
        Some(stripper) => {
            step::output(Command::new(stripper).arg("--strip-debug").arg(built).arg("-o").arg(&stripped))?;
        }
        None => {
            fs::copy(built, &stripped).with_context(|| format!("cannot copy {}", built.display()))?;
        }
    }
    let bytes = fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))?;
    if fs::read(object).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(object, bytes).with_context(|| format!("cannot write {}", object.display()))
}
