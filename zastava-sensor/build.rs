//! Puts the kernel programs where the sensor embeds them from, and generates the clients of the container runtimes.
//!
//! Without the kernel programs the sensor still compiles, so that plain `cargo check` needs no BPF compiler; it says so
//! when it runs.

use std::{env, fs, path::PathBuf};

/// What `cargo xtask build-ebpf` makes.
const OBJECT: &str = "zastava-ebpf.o";

fn main() {
    kernel_programs();
    if let Err(error) = runtimes() {
        println!("cargo::error={error}");
    }
}

fn kernel_programs() {
    println!("cargo::rerun-if-env-changed=ZASTAVA_BPF_DIR");
    let from = env::var_os("ZASTAVA_BPF_DIR").map_or_else(
        || PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../target/bpf"),
        PathBuf::from,
    );
    let to = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let object = from.join(OBJECT);
    println!("cargo::rerun-if-changed={}", object.display());
    let bytes = fs::read(object).unwrap_or_default();
    if let Err(error) = fs::write(to.join(OBJECT), bytes) {
        println!("cargo::error=cannot write {OBJECT} into OUT_DIR: {error}");
    }
}

/// The servers are for the tests, which play a runtime.
fn runtimes() -> Result<(), Box<dyn std::error::Error>> {
    const INCLUDE: &str = "proto";
    println!("cargo::rerun-if-changed={INCLUDE}");
    let services =
        ["containers", "content", "events", "images", "namespaces", "snapshots", "tasks", "version"];
    let files = services.map(|service| format!("containerd/{service}.proto"));
    let mut compiler = protox::Compiler::new([INCLUDE])?;
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(files.iter().map(String::as_str).chain(["cri.proto"]))?;
    tonic_prost_build::configure()
        .server_mod_attribute(".", "#[cfg(test)]")
        .include_file("runtimes.rs")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
