//! Debian packages: which of those named are missing, and how to get them.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{places, step};

/// A package and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) why: &'static str,
}

impl Package {
    pub(crate) fn new(name: impl Into<String>, why: &'static str) -> Self {
        Self { name: name.into(), why }
    }
}

/// Those of `wanted` that are not installed; all of them where there is no dpkg.
pub(crate) fn missing(wanted: Vec<Package>) -> Vec<Package> {
    if wanted.is_empty() {
        return wanted;
    }
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${Package} ${db:Status-Status}\n"]);
    query.args(wanted.iter().map(|package| &package.name));
    // Its exit code says that some are unknown; what it printed holds all the same.
    let installed = query.output().map(|output| output.stdout).unwrap_or_default();
    let installed = String::from_utf8_lossy(&installed);
    wanted
        .into_iter()
        .filter(|package| !installed.lines().any(|line| line == format!("{} installed", package.name)))
        .collect()
}

/// Whether apt here knows the package.
pub(crate) fn available(name: &str) -> bool {
    let policy = step::output(Command::new("apt-cache").args(["policy", name])).unwrap_or_default();
    policy
        .lines()
        .any(|line| line.trim().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)"))
}

/// The LLVM that Debian's rustc-web will bring, read from its dependencies before it is installed.
pub(crate) fn llvm_of_rustc_web() -> Option<u32> {
    let mut query = Command::new("apt-cache");
    query.args(["depends", "--recurse", "--important", "rustc-web"]);
    let tree = step::output(&mut query).ok()?;
    tree.lines().find_map(|line| line.trim().rsplit(' ').next()?.strip_prefix("libllvm")?.parse().ok())
}

/// Installs `packages`, or says the exact commands where we may not.
pub(crate) fn install(packages: &[Package]) -> Result<()> {
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let by_hand = format!("apt-get update && apt-get install --no-install-recommends {}", names.join(" "));
    if places::on_path("apt-get").is_none() {
        bail!(
            "no apt-get here: install what Debian calls {} in this system's own way, or on Debian run, as root:\n  \
             {by_hand}",
            names.join(", ")
        );
    }
    let Some(prefix) = as_root() else {
        bail!("not root and no sudo here; as root run:\n  {by_hand}");
    };
    let missing_from_lists = names.iter().any(|name| !available(name));
    if missing_from_lists {
        step::quiet("Reading apt's package lists", apt_get(&prefix).arg("update"))?;
    }
    if let Some(unknown) = names.iter().find(|name| !available(name)) {
        bail!(
            "apt knows no package {unknown}: is this Debian 12 with bookworm-security in its sources? Then:\n  {by_hand}"
        );
    }
    let mut install = apt_get(&prefix);
    install.args(["install", "--yes", "--no-install-recommends"]).args(&names);
    step::quiet("Installing packages", &mut install)
}

/// What to put before a command that must run as root: nothing for root, `sudo` where there is one.
pub(crate) fn as_root() -> Option<Vec<&'static str>> {
    if rustix::process::geteuid().is_root() {
        return Some(Vec::new());
    }
    places::on_path("sudo").map(|_| vec!["sudo"])
}

fn apt_get(prefix: &[&str]) -> Command {
    let mut words = prefix.iter().copied().chain(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    let mut command = Command::new(words.next().unwrap_or("env"));
    command.args(words);
    command
}
