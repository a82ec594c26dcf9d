//! The container runtimes that the tests start: Debian's debs, unpacked into the cache. Nothing of the system changes,
//! and none of them is started but by a test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    mirror::{Mirror, Suites},
    places,
};

/// Where the e2e program looks; tests/src/runtimes/mod.rs has the same, and the names of the directories.
pub(crate) const VARIABLE: &str = "ZASTAVA_RUNTIMES";

const SUITES: Suites = Suites {
    what: "container runtimes",
    main: &["bookworm", "trixie", "sid"],
    security: &["bookworm-security"],
};

/// A package that is unpacked.
pub(crate) struct Deb {
    /// Name of its directory in the cache.
    pub(crate) directory: &'static str,
    package: &'static str,
    /// How its version begins.
    version: &'static str,
    /// Where its first program stands, by which it is known to be there.
    program: &'static str,
}

/// runc and Docker of Debian 12: later ones want a later C library. In the unstable suite containerd 2 moves on.
const DEBS: [Deb; 5] = [
    Deb {
        directory: "containerd-1.6",
        package: "containerd",
        version: "1.6.",
        program: "usr/bin/containerd",
    },
    Deb {
        directory: "containerd-1.7",
        package: "containerd",
        version: "1.7.",
        program: "usr/bin/containerd",
    },
    Deb { directory: "containerd-2", package: "containerd", version: "2.", program: "usr/bin/containerd" },
    Deb { directory: "runc", package: "runc", version: "1.1.5", program: "usr/sbin/runc" },
    // Debian's name for it.
    Deb {
        directory: "docker",
        package: concat!("docker", ".io"),
        version: "20.10.",
        program: "usr/sbin/dockerd",
    },
];

/// Where they are unpacked.
pub(crate) fn directory() -> Result<PathBuf> {
    Ok(places::cache()?.join("runtimes"))
}

/// A program of one of them.
pub(crate) fn program(deb: &str, program: &str) -> Result<PathBuf> {
    let directory = directory()?.join(deb);
    ["usr/bin", "usr/sbin"]
        .iter()
        .map(|place| directory.join(place).join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("no {program} in {}", directory.display()))
}

/// Those that are not in the cache.
pub(crate) fn missing() -> Result<Vec<&'static Deb>> {
    let directory = directory()?;
    Ok(DEBS.iter().filter(|deb| !directory.join(deb.directory).join(deb.program).is_file()).collect())
}

/// Fetches debs into the cache.
pub(crate) fn fetch(wanted: &[&Deb]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mirror = Mirror::open(places::cache()?.join("apt-runtimes"), SUITES)?;
    let directory = directory()?;
    for deb in wanted {
        fetch_one(deb, &mirror, &directory).with_context(|| format!("cannot fetch {}", deb.directory))?;
    }
    Ok(())
}

fn fetch_one(deb: &Deb, mirror: &Mirror, directory: &Path) -> Result<()> {
    let Deb { directory: name, package, version, .. } = deb;
    let versions = mirror.versions(package)?;
    let found = versions.iter().find(|found| found.version.starts_with(version));
    let found =
        found.with_context(|| format!("no suite of this machine's Debian mirror has {package} {version}"))?;
    let unpacked = directory.join(format!("{name}.unpacked"));
    for stale in [&unpacked, &directory.join(name)] {
        if stale.exists() {
            fs::remove_dir_all(stale)?;
        }
    }
    fs::create_dir_all(&unpacked)?;
    mirror.unpack(package, &found.version, &unpacked)?;
    fs::rename(&unpacked, directory.join(name))?;
    println!("{name}: {package} {} in {}", found.version, directory.join(name).display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::DEBS;

    #[test]
    fn each_deb_has_a_directory_of_its_own() {
        let directories: BTreeSet<_> = DEBS.iter().map(|deb| deb.directory).collect();
        assert_eq!(directories.len(), DEBS.len());
    }
}
