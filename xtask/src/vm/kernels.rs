//! The kernels that the tests run on: Debian's own, fetched once into the cache.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use super::module;
use crate::{
    mirror::{Available, Mirror, Suites},
    places,
};

/// Modules that the tests need and that are not built into every kernel.
const MODULES: [&str; 1] = ["overlay"];

/// The package that always depends on the newest kernel of a release.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// The release that had a kernel first, and the backports of later ones.
const SUITES: Suites = Suites {
    what: "kernels",
    main: &["bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports"],
    security: &["bullseye-security", "bookworm-security", "trixie-security"],
};

/// A line of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Series {
    /// Debian 11
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13
    #[value(name = "6.12")]
    V6_12,
    /// The newest that Debian has backported
    #[value(name = "newest")]
    Newest,
}

impl Series {
    pub(crate) const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::Newest];

    fn includes(self, version: &str) -> bool {
        let is = |prefix: &str| version.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        match self {
            Self::V5_10 => is("5.10"),
            Self::V6_1 => is("6.1"),
            Self::V6_12 => is("6.12"),
            Self::Newest => true,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Newest => "newest",
        })
    }
}

/// A kernel in the cache.
pub(crate) struct Kernel {
    /// Debian's version of it.
    pub(crate) version: String,
    pub(crate) image: PathBuf,
    /// In the order to load them.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    /// The kernel of that series, if it is in the cache.
    pub(crate) fn cached(series: Series) -> Result<Option<Self>> {
        let directory = directory(series)?;
        let Ok(version) = fs::read_to_string(directory.join("version")) else { return Ok(None) };
        let mut modules: Vec<_> =
            fs::read_dir(directory.join("modules"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        modules.sort();
        Ok(Some(Self { version: version.trim().to_owned(), image: directory.join("vmlinuz"), modules }))
    }
}

/// Those of `wanted` that are not in the cache.
pub(crate) fn missing(wanted: &[Series]) -> Result<Vec<Series>> {
    let mut missing = Vec::new();
    for series in wanted {
        if Kernel::cached(*series)?.is_none() {
            missing.push(*series);
        }
    }
    Ok(missing)
}

/// Fetches kernels into the cache.
pub(crate) fn fetch(wanted: &[Series]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mirror = Mirror::open(places::cache()?.join("apt"), SUITES)?;
    let releases = mirror.versions(PACKAGE)?;
    for series in wanted {
        let newest = newest(*series, &releases)
            .with_context(|| format!("no suite of this machine's Debian mirror has a kernel {series}"))?;
        fetch_one(*series, newest, &mirror).with_context(|| format!("cannot fetch the kernel {series}"))?;
    }
    Ok(())
}

fn fetch_one(series: Series, release: &Available, mirror: &Mirror) -> Result<()> {
    let directory = directory(series)?;
    let unpacked = directory.with_extension("unpacked");
    let ready = directory.with_extension("ready");
    for stale in [&directory, &unpacked, &ready] {
        if stale.exists() {
            fs::remove_dir_all(stale)?;
        }
    }
    fs::create_dir_all(&unpacked)?;
    fs::create_dir_all(ready.join("modules"))?;
    // The image is in the package that the release depends on, or, in newer kernels, one dependency further.
    let mut queue: Vec<String> = release.depends.clone();
    let mut seen = BTreeSet::new();
    while let Some(package) = queue.pop() {
        let is_kernel = ["linux-image-", "linux-binary-", "linux-modules-"]
            .iter()
            .any(|start| package.starts_with(start));
        if !is_kernel || !seen.insert(package.clone()) {
            continue;
        }
        let versions = mirror.versions(&package)?;
        let Some(found) = versions.iter().find(|found| found.version == release.version).or(versions.first())
        else {
            continue;
        };
        mirror.unpack(&package, &found.version, &unpacked)?;
        queue.extend(found.depends.clone());
    }
    let image = find_image(&unpacked)?;
    fs::copy(&image, ready.join("vmlinuz")).with_context(|| format!("cannot copy {}", image.display()))?;
    let mut order = 0;
    for wanted in MODULES {
        for (name, bytes) in module::with_dependencies(wanted, &unpacked)? {
            fs::write(ready.join(format!("modules/{order:02}-{name}.ko")), bytes)?;
            order += 1;
        }
    }
    fs::write(ready.join("version"), &release.version)?;
    fs::rename(&ready, &directory)?;
    fs::remove_dir_all(&unpacked)?;
    println!("kernel {series}: {} in {}", release.version, directory.display());
    Ok(())
}

/// `boot/vmlinuz-*`, or `usr/lib/modules/*/vmlinuz` in newer packages.
fn find_image(unpacked: &Path) -> Result<PathBuf> {
    let list = |path: &str| {
        let entries = fs::read_dir(unpacked.join(path)).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let in_boot = list("boot").into_iter().filter(|path| path.to_string_lossy().contains("/vmlinuz-"));
    let beside_modules = list("usr/lib/modules").into_iter().map(|path| path.join("vmlinuz"));
    match in_boot.chain(beside_modules).find(|path| path.is_file()) {
        Some(image) => Ok(image),
        None => bail!("its packages hold no vmlinuz"),
    }
}

fn newest(series: Series, releases: &[Available]) -> Option<&Available> {
    releases
        .iter()
        .filter(|release| series.includes(&release.version))
        .max_by_key(|release| numbers(&release.version))
}

/// A version as its numbers, which order kernels.
fn numbers(version: &str) -> Vec<u64> {
    let upstream = version.split('-').next().unwrap_or_default();
    upstream.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

fn directory(series: Series) -> Result<PathBuf> {
    Ok(places::cache()?.join("kernels").join(series.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{Available, Series, newest};

    fn release(version: &str) -> Available {
        Available {
            package: "linux-image-cloud-amd64".to_owned(),
            version: version.to_owned(),
            depends: Vec::new(),
        }
    }

    #[test]
    fn the_newest_kernel_of_a_series_is_taken() {
        let releases = ["6.1.9-1", "6.1.192-2", "6.12.117-1", "7.3.4-1~bpo13+1", "5.10.262-1"].map(release);
        let version = |series| newest(series, &releases).map(|release| release.version.as_str());
        assert_eq!(version(Series::V6_1), Some("6.1.192-2"));
        assert_eq!(version(Series::V6_12), Some("6.12.117-1"));
        assert_eq!(version(Series::V5_10), Some("5.10.262-1"));
        assert_eq!(version(Series::Newest), Some("7.3.4-1~bpo13+1"));
        assert_eq!(newest(Series::V5_10, &releases[..2]), None);
    }
}
