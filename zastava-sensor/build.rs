//! Puts the kernel programs where the sensor embeds them from. Without them the sensor still compiles, so that plain
//! `cargo check` needs no BPF compiler; it says so when it runs.

use std::{env, fs, path::PathBuf};

/// What `cargo xtask build-ebpf` makes.
const OBJECT: &str = "zastava-ebpf.o";

fn main() {
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
