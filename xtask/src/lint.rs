//! `lint`: everything that is checked without running the product. All checks run before one of them fails the whole.

mod lockfile;
mod manifests;
mod sources;

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{places, setup, step};

pub(crate) fn run() -> Result<()> {
    setup::lint()?;
    let files = tracked_files()?;
    let checks: [(&str, &dyn Fn() -> Result<()>); 9] = [
        ("form", &form),
        ("clippy", &clippy),
        ("kernel programs", &kernel_programs),
        ("Cargo.lock", &locked),
        ("sources", &|| each(&files, |file| is(file, &["rs"]), sources::check)),
        ("shell", &|| shell(&files)),
        ("YAML", &|| each(&files, is_yaml, check_yaml)),
        ("JSON", &|| each(&files, |file| is(file, &["json"]), check_json)),
        ("manifests", &manifests::check),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        let begun = Instant::now();
        let result = check();
        let took = step::seconds(begun.elapsed());
        match result {
            Ok(()) => println!("lint: {name}: ok in {took}"),
            Err(error) => {
                eprintln!("lint: {name}: FAILED in {took}\n{error:#}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("lint failed: {}", failed.join(", ")) }
}

/// rustfmt, in each workspace.
fn form() -> Result<()> {
    for workspace in [".", "zastava-ebpf", "fuzz"] {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(places::root().join(workspace)).args(["fmt", "--all", "--check"]);
        step::output(&mut cargo)
            .with_context(|| format!("in {workspace}: `cargo fmt --all` there puts it right"))?;
    }
    Ok(())
}

fn clippy() -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(places::root());
    cargo.args(["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]);
    step::shown("Running clippy", &mut cargo)
}

/// The kernel programs with their own compiler, which has no clippy: no warning.
fn kernel_programs() -> Result<()> {
    let setup::Toolchain { compiler, .. } = setup::build()?;
    let mut cargo = compiler.cargo("check");
    cargo.current_dir(places::root().join("zastava-ebpf"));
    cargo.args(["--quiet", "--locked", "--target-dir", "target/lint"]);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Dwarnings");
    step::shown("Checking the kernel programs", &mut cargo)
}

/// What is locked, and what is compiled.
fn locked() -> Result<()> {
    let lock = fs::read_to_string(places::root().join("Cargo.lock"))?;
    let mut tree = Command::new("cargo");
    tree.current_dir(places::root()).args(["tree", "--workspace", "--locked", "--target", "all"]);
    tree.args(["--edges", "all", "--prefix", "none", "--format", "{p}"]);
    told(&lockfile::check(&lock, &step::output(&mut tree)?))
}

fn shell(files: &[String]) -> Result<()> {
    let shellcheck = places::on_path("shellcheck");
    each(
        files,
        |file| is(file, &["sh"]) || is_shell(file),
        |file, _| {
            let mut told = Vec::new();
            let mut run = |command: &mut Command| {
                if let Err(error) = step::output(command.arg(file).current_dir(places::root())) {
                    told.push(format!("{error:#}"));
                }
            };
            run(Command::new("bash").arg("-n"));
            if let Some(shellcheck) = &shellcheck {
                run(&mut Command::new(shellcheck));
            }
            told
        },
    )
}

fn is_shell(file: &str) -> bool {
    Path::new(file).extension().is_none()
        && fs::read_to_string(places::root().join(file)).is_ok_and(|text| {
            text.lines().next().is_some_and(|line| line.starts_with("#!") && line.ends_with("sh"))
        })
}

/// Whether the file's name ends as one of that kind does.
fn is(file: &str, extensions: &[&str]) -> bool {
    Path::new(file).extension().is_some_and(|its| extensions.iter().any(|one| its == *one))
}

/// YAML that is not a template of one.
fn is_yaml(file: &str) -> bool {
    is(file, &["yaml", "yml"]) && !file.contains("/templates/")
}

fn check_yaml(file: &str, text: &str) -> Vec<String> {
    serde_saphyr::from_multiple::<Value>(text)
        .err()
        .map(|error| format!("{file}: {error}"))
        .into_iter()
        .collect()
}

fn check_json(file: &str, text: &str) -> Vec<String> {
    serde_json::from_str::<Value>(text).err().map(|error| format!("{file}: {error}")).into_iter().collect()
}

/// What git knows or would add, from the root.
fn tracked_files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(places::root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    Ok(step::output(&mut git)?.lines().map(str::to_owned).collect())
}

/// Reads the files that `wanted` names and gathers what `check` tells of each.
fn each(
    files: &[String],
    wanted: impl Fn(&str) -> bool,
    check: impl Fn(&str, &str) -> Vec<String>,
) -> Result<()> {
    let mut all = Vec::new();
    for file in files.iter().filter(|file| wanted(file)) {
        // One that was deleted and is not committed yet is still listed.
        if let Ok(text) = fs::read_to_string(places::root().join(file)) {
            all.extend(check(file, &text));
        }
    }
    told(&all)
}

fn told(faults: &[String]) -> Result<()> {
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::{check_json, check_yaml, is_yaml};

    #[test]
    fn manifests_must_parse_and_templates_need_not() {
        assert!(check_yaml("a.yaml", "a: 1\n---\nb: [1, 2]\n").is_empty());
        assert_eq!(check_yaml("a.yaml", "a: [1\nb: }").len(), 1);
        assert_eq!(check_json("a.json", "{").len(), 1);
        assert!(is_yaml("deploy/base/daemonset.yaml") && !is_yaml("deploy/chart/templates/x.yaml"));
    }
}
