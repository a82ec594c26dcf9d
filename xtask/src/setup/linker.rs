//! bpf-linker: from the cache, where we build it against Debian's LLVM, or from `PATH`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{places, step};

/// The version that the kernel programs are tested with.
pub(crate) const VERSION: &str = "0.13.0";

/// The cached linker for that LLVM, else one on `PATH` that is known to fit.
pub(crate) fn find(llvm: u32) -> Result<Option<PathBuf>> {
    let cached = root(llvm)?.join("bin/bpf-linker");
    if cached.is_file() {
        return Ok(Some(cached));
    }
    Ok(places::on_path("bpf-linker").filter(|linker| llvm_of(linker).is_none_or(|its| its == llvm)))
}

/// Says when a linker cannot read what the compiler writes: LLVM's bitcode is compatible within a major version only.
pub(crate) fn check(linker: &Path, llvm: u32) -> Result<()> {
    if let Some(its) = llvm_of(linker)
        && its != llvm
    {
        bail!(
            "{} is built on LLVM {its}, the compiler on LLVM {llvm}: remove it and run `cargo xtask setup`",
            linker.display()
        );
    }
    Ok(())
}

/// The command that builds the linker into the cache.
pub(crate) fn install(llvm: u32) -> Result<Command> {
    let mut command = Command::new("cargo");
    command
        .args(["install", "bpf-linker", "--version", VERSION, "--locked", "--no-default-features"])
        .args(["--features", &format!("llvm-{llvm}"), "--root"])
        .arg(root(llvm)?)
        .env("LLVM_PREFIX", format!("/usr/lib/llvm-{llvm}"))
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTFLAGS");
    Ok(command)
}

fn root(llvm: u32) -> Result<PathBuf> {
    Ok(places::cache()?.join(format!("bpf-linker-{VERSION}-llvm{llvm}")))
}

/// The LLVM that a linker loads; `None` when it is linked statically and does not tell.
fn llvm_of(linker: &Path) -> Option<u32> {
    let libraries = step::output(Command::new("ldd").arg(linker)).ok()?;
    parse_llvm(&libraries)
}

fn parse_llvm(libraries: &str) -> Option<u32> {
    let (_, rest) = libraries.split_once("libLLVM")?;
    // Debian: libLLVM.so.22.1; others: libLLVM-22.so.
    let digits = rest.trim_start_matches(".so.").trim_start_matches('-');
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_llvm;

    #[test]
    fn the_llvm_of_a_linker_is_read_from_the_library_it_loads() {
        let debian = "\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x00007f)\n\tlibc.so.6 => /lib/libc.so.6";
        assert_eq!(parse_llvm(debian), Some(22));
        assert_eq!(parse_llvm("libLLVM-21.so => /opt/libLLVM-21.so"), Some(21));
        assert_eq!(parse_llvm("\tstatically linked"), None);
    }
}
