//! `setup`: finds what is missing for building or testing, says what it will install and why, installs it.

pub(crate) mod compiler;
pub(crate) mod linker;
pub(crate) mod node;
pub(crate) mod packages;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use self::{compiler::Compiler, packages::Package};
use crate::{
    places, runtimes, step,
    vm::kernels::{self, Series},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Set up for this purpose alone
    #[arg(long, value_enum)]
    only: Option<Purpose>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Purpose {
    /// Compiling the kernel programs and the sensor
    Build,
    /// Running the tests, those in virtual machines included
    Test,
}

/// What compiles and links the kernel programs.
pub(crate) struct Toolchain {
    pub(crate) compiler: Compiler,
    pub(crate) linker: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { only } = options;
    if *only != Some(Purpose::Test) {
        let Toolchain { compiler, linker } = build()?;
        println!("build: {} and {}", compiler.name(), linker.display());
    }
    if *only != Some(Purpose::Build) {
        test(&Series::ALL)?;
        containers()?;
        println!("test: all in place");
    }
    Ok(())
}

/// Makes sure that the kernel programs can be compiled.
pub(crate) fn build() -> Result<Toolchain> {
    if let Some(toolchain) = find_toolchain()? {
        return Ok(toolchain);
    }
    if !packages::available("apt") {
        bail!("{}", by_hand());
    }
    let compiler = Compiler::find();
    let llvm = match compiler {
        Some(compiler) => compiler.llvm_major()?,
        None => packages::llvm_of_rustc_web().unwrap_or(22),
    };
    let mut wanted = vec![Package::new(format!("llvm-{llvm}-dev"), "LLVM, which bpf-linker is built on")];
    if compiler.is_none() {
        wanted.push(Package::new("rustc-web", "a Rust compiler that knows BPF"));
        wanted.push(Package::new("libstd-rust-web-dev-bpf", "Rust's core library, prebuilt for BPF"));
    }
    let missing = packages::missing(wanted);
    announce("to compile the kernel programs", &missing);
    if linker::find(llvm)?.is_none() {
        let cache = places::cache()?;
        println!(
            "  bpf-linker {} (cargo, about a minute, into {}): links them",
            linker::VERSION,
            cache.display()
        );
    }
    if !missing.is_empty() {
        packages::install(&missing)?;
    }
    let Some(compiler) = Compiler::find() else { bail!("{}", by_hand()) };
    let llvm_now = compiler.llvm_major()?;
    if linker::find(llvm_now)?.is_none() {
        if llvm_now != llvm {
            packages::install(&[Package::new(format!("llvm-{llvm_now}-dev"), "the compiler's LLVM")])?;
        }
        step::quiet("Building bpf-linker", &mut linker::install(llvm_now)?)?;
    }
    match find_toolchain()? {
        Some(toolchain) => Ok(toolchain),
        None => bail!("bpf-linker was built but does not fit LLVM {llvm_now}; {}", by_hand()),
    }
}

/// Makes sure that the tests can run, those in machines on the kernels named.
pub(crate) fn test(kernels: &[Series]) -> Result<()> {
    let mut wanted = vec![
        Package::new("qemu-system-x86", "boots the kernels that the tests run on"),
        Package::new("xz-utils", "unpacks modules of those kernels"),
        Package::new("binutils", "readelf, which build-ids are compared with"),
        Package::new("xfsprogs", "makes the XFS file systems that files are identified on"),
        Package::new("btrfs-progs", "the same for Btrfs"),
    ];
    wanted.extend(registry());
    wanted.extend(node::wanted());
    let missing = packages::missing(wanted);
    let absent = kernels::missing(kernels)?;
    let node = node::is_here()?;
    if missing.is_empty() && absent.is_empty() && node {
        return Ok(());
    }
    announce("to run the tests", &missing);
    if !node {
        println!("  {} (npm package, into {}): an Authority", node::name(), places::cache()?.display());
    }
    for series in &absent {
        println!("  Debian's kernel {series} (into {}, not into the system)", places::cache()?.display());
    }
    if !missing.is_empty() {
        packages::install(&missing)?;
    }
    if !node {
        node::install()?;
    }
    kernels::fetch(&absent)
}

/// Makes sure that the tests find the container runtimes that they start.
pub(crate) fn containers() -> Result<()> {
    let missing = packages::missing(vec![
        Package::new("podman", "one of the runtimes that the tests start"),
        Package::new("libdevmapper1.02.1", "dockerd is linked to it"),
    ]);
    let absent = runtimes::missing()?;
    if missing.is_empty() && absent.is_empty() {
        return Ok(());
    }
    announce("to run the tests with containers", &missing);
    let place = runtimes::directory()?;
    for runtimes::Deb { directory, .. } in &absent {
        println!("  {directory} (into {}, not into the system)", place.display());
    }
    if !missing.is_empty() {
        packages::install(&missing)?;
    }
    runtimes::fetch(&absent)
}

/// Makes sure that manifests can be rendered.
pub(crate) fn lint() -> Result<()> {
    if places::on_path("kubectl").is_some() {
        return Ok(());
    }
    let missing =
        packages::missing(vec![Package::new("kubernetes-client", "kubectl, which renders manifests")]);
    announce("to check the manifests", &missing);
    packages::install(&missing)
}

/// Makes sure that the webhook can be shown and tested against real parts.
pub(crate) fn webhook() -> Result<()> {
    let mut wanted = vec![
        Package::new("openssl", "makes keys and signatures, which the code under test must not"),
        Package::new("curl", "pushes signatures"),
    ];
    wanted.extend(registry());
    let missing = packages::missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    announce("to run the webhook against real parts", &missing);
    packages::install(&missing)
}

fn registry() -> [Package; 2] {
    [
        Package::new("docker-registry", "a registry to read images from"),
        Package::new("skopeo", "pushes them there"),
    ]
}

/// Makes sure that there is something to compare with.
pub(crate) fn bench() -> Result<()> {
    let missing = packages::missing(vec![Package::new("libbpf-tools", "execsnoop, the sensor's reference")]);
    if missing.is_empty() {
        return Ok(());
    }
    announce("to measure", &missing);
    packages::install(&missing)
}

fn find_toolchain() -> Result<Option<Toolchain>> {
    let Some(compiler) = Compiler::find() else { return Ok(None) };
    let llvm = compiler.llvm_major()?;
    let Some(linker) = linker::find(llvm)? else { return Ok(None) };
    linker::check(&linker, llvm)?;
    Ok(Some(Toolchain { compiler, linker }))
}

fn announce(purpose: &str, packages: &[Package]) {
    println!("setup: {purpose} this will be installed:");
    for Package { name, why } in packages {
        println!("  {name} (Debian package): {why}");
    }
}

fn by_hand() -> String {
    let linker = format!("cargo install bpf-linker --version {} --locked", linker::VERSION);
    format!(
        "the kernel programs need a Rust compiler for BPF and bpf-linker. Either, on Debian 12 or later, as root:\n  \
         apt-get update && apt-get install --no-install-recommends rustc-web libstd-rust-web-dev-bpf llvm-22-dev\n  \
         LLVM_PREFIX=/usr/lib/llvm-22 {linker} --no-default-features --features llvm-22\n\
         or, anywhere else:\n  \
         rustup toolchain install nightly --component rust-src\n  {linker}\n\
         (the linker must be built on the compiler's major version of LLVM)"
    )
}
