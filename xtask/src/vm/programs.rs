//! The programs inside a machine: ours, linked statically, and a few of this machine's own that are not.

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{places, step};

/// Static glibc is to be had everywhere; a musl target is not.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Dynamic programs that tests execute, at the place they have here: a program, an interpreter of scripts, and one that
/// loads a library when told to.
const DYNAMIC: [&str; 3] = ["/usr/bin/true", "/usr/bin/dash", "/usr/bin/bash"];

/// A program and its name in the machine.
pub(super) struct Program {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// Builds the sensor, the tests and the machine's init.
pub(super) fn build(release: bool) -> Result<Vec<Program>> {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(places::root())
        .args(["build", "--locked", "--package", "zastava-sensor", "--package", "zastava-tests", "--bins"])
        // With a target named, build scripts and macros stay dynamic, as they must.
        .args(["--target", TARGET, "--message-format", "json-render-diagnostics", "--target-dir"])
        .arg(places::target().join("vm"))
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // An emulated machine reads every byte slowly and runs every instruction slowly.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "none")
        .env("CARGO_PROFILE_DEV_STRIP", "debuginfo")
        .stderr(Stdio::inherit());
    if release {
        cargo.arg("--release");
    }
    println!("Building static programs for the machines");
    let output = cargo.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the programs for the machines do not build: {}", step::line(&cargo));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(executable).collect())
}

/// The program that one of cargo's JSON messages tells of.
fn executable(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    let name = message.get("target")?.get("name")?.as_str()?.to_owned();
    Some(Program { name, path })
}

/// Files of this machine that [`DYNAMIC`] programs are made of: themselves, their loader and libraries. And the
/// loader and libraries of `others`, so far as they have any.
pub(super) fn dynamic(others: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for program in DYNAMIC {
        files.insert(PathBuf::from(program));
        let libraries = libraries(Path::new(program));
        files.extend(libraries.with_context(|| format!("cannot read what {program} is linked to"))?);
    }
    // Of what is static or no program at all, ldd says that it is not dynamic, and fails.
    files.extend(others.iter().filter_map(|other| libraries(other).ok()).flatten());
    Ok(files)
}

fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let told = step::output(Command::new("ldd").arg(program).env("LC_ALL", "C"))?;
    Ok(told.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// Whether this machine can build for the guests and emulate them.
pub(super) fn check_architecture() -> Result<()> {
    match env::consts::ARCH {
        "x86_64" => Ok(()),
        other => bail!("the machines of the tests are x86_64, this one is {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn cargo_tells_which_programs_it_built() {
        let built = r#"{"reason":"compiler-artifact","target":{"name":"zastava-e2e","kind":["bin"]},"executable":"/x/zastava-e2e"}"#;
        let program = executable(built).unwrap();
        assert_eq!((program.name.as_str(), program.path.to_str()), ("zastava-e2e", Some("/x/zastava-e2e")));
        assert!(
            executable(r#"{"reason":"compiler-artifact","target":{"name":"lib"},"executable":null}"#)
                .is_none()
        );
        assert!(executable(r#"{"reason":"build-finished","success":true}"#).is_none());
    }
}
