//! Debian's mirror as this machine knows it, read with a private apt state: other suites' packages can be fetched
//! and unpacked, and nothing of the system changes.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::step;

/// The releases by which this machine's own sources are known to be Debian's.
const RELEASES: [&str; 3] = ["bullseye", "bookworm", "trixie"];
const SECURITY_RELEASES: [&str; 3] = ["bullseye-security", "bookworm-security", "trixie-security"];
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Which of Debian's suites are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suites {
    /// What is taken from them, for messages.
    pub(crate) what: &'static str,
    pub(crate) main: &'static [&'static str],
    pub(crate) security: &'static [&'static str],
}

/// An apt state of our own, below a directory.
pub(crate) struct Mirror {
    state: PathBuf,
}

impl Mirror {
    /// Reads the package lists of these suites.
    pub(crate) fn open(state: PathBuf, suites: Suites) -> Result<Self> {
        let Suites { what, main: wanted, security: wanted_security } = suites;
        let sources = state.join("etc/sources.list.d");
        for directory in [&sources, &state.join("lists/partial"), &state.join("cache/archives/partial")] {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        fs::write(state.join("status"), "")?;
        let (main, security) = uris(&system_sources()).with_context(|| {
            format!(
                "no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d: {what} for the tests come from one"
            )
        })?;
        let mut text = stanza(&main, wanted);
        if let Some(security) = security.filter(|_| !wanted_security.is_empty()) {
            text.push_str(&stanza(&security, wanted_security));
        }
        fs::write(sources.join("debian.sources"), text)?;
        let mirror = Self { state };
        // A suite that has moved to the archive must not keep the others from being read.
        let reading = format!("Reading Debian's package lists for {what}");
        if let Err(error) = step::quiet(&reading, mirror.apt("apt-get").arg("update")) {
            println!("some of Debian's suites cannot be read: {error:#}");
        }
        Ok(mirror)
    }

    /// Every version of a package that some suite has, with what it depends on.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<Available>> {
        let shown =
            self.apt("apt-cache").args(["show", package]).output().context("cannot start apt-cache")?;
        Ok(stanzas(&String::from_utf8_lossy(&shown.stdout))
            .iter()
            .filter_map(Available::from_stanza)
            .collect())
    }

    /// Unpacks that version of a package into `to`.
    pub(crate) fn unpack(&self, package: &str, version: &str, to: &Path) -> Result<()> {
        let download = tempdir_in(to)?;
        let what = format!("Fetching {package}");
        let mut fetch = self.apt("apt-get");
        fetch.current_dir(&download).arg("download").arg(format!("{package}={version}"));
        step::quiet(&what, &mut fetch)?;
        let archive = fs::read_dir(&download)?.flatten().map(|entry| entry.path()).next();
        let Some(archive) = archive else { bail!("apt-get download {package} left no file") };
        step::output(Command::new("dpkg").arg("-x").arg(archive).arg(to))?;
        fs::remove_dir_all(&download)?;
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let state = self.state.display();
        let mut command = Command::new(program);
        for option in [
            format!("Dir::Etc={state}/etc"),
            "Dir::Etc::sourcelist=/dev/null".to_owned(),
            format!("Dir::Etc::sourceparts={state}/etc/sources.list.d"),
            format!("Dir::State={state}"),
            format!("Dir::State::lists={state}/lists"),
            format!("Dir::State::status={state}/status"),
            format!("Dir::Cache={state}/cache"),
            // The state is the user's, and so is the download.
            "APT::Sandbox::User=".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}

/// One version of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Available {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) depends: Vec<String>,
}

impl Available {
    fn from_stanza(stanza: &HashMap<String, String>) -> Option<Self> {
        let depends = stanza.get("Depends").map_or("", String::as_str).split(',');
        let depends = depends.filter_map(|one| one.split_whitespace().next()).map(str::to_owned).collect();
        Some(Self {
            package: stanza.get("Package")?.clone(),
            version: stanza.get("Version")?.clone(),
            depends,
        })
    }
}

fn tempdir_in(parent: &Path) -> Result<PathBuf> {
    let directory = parent.join("download");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory)
}

fn stanza(uri: &str, suites: &[&str]) -> String {
    format!(
        "Types: deb\nURIs: {uri}\nSuites: {}\nComponents: main\nSigned-By: {KEYRING}\n\n",
        suites.join(" ")
    )
}

/// All sources of this machine in the deb822 form, one-line entries translated.
fn system_sources() -> String {
    let parts =
        fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut text = String::new();
    for path in parts.chain([PathBuf::from("/etc/apt/sources.list")]) {
        let Ok(contents) = fs::read_to_string(&path) else { continue };
        if path.extension().is_some_and(|extension| extension == "sources") {
            text.push_str(&contents);
        } else {
            text.extend(contents.lines().filter_map(from_one_line));
        }
        text.push_str("\n\n");
    }
    text
}

/// `deb [signed-by=..] URI suite component..` in the deb822 form.
fn from_one_line(line: &str) -> Option<String> {
    let rest = line.trim().strip_prefix("deb ")?.trim();
    let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    Some(format!("Types: deb\nURIs: {uri}\nSuites: {suite}\n\n"))
}

/// The URIs of Debian's main and security archive among `sources`: those that offer a release of it.
fn uris(sources: &str) -> Option<(String, Option<String>)> {
    let of = |suites: &[&str]| {
        stanzas(sources).into_iter().find_map(|stanza| {
            let offered = stanza.get("Suites")?;
            let ours = offered.split_whitespace().any(|suite| suites.contains(&suite));
            let uri = stanza.get("URIs")?.split_whitespace().next()?;
            ours.then(|| uri.to_owned())
        })
    };
    // `main` only under its plain release names: a third party's archive may be named after backports.
    Some((of(&RELEASES)?, of(&SECURITY_RELEASES)))
}

/// Paragraphs of `Key: value` lines; lines that continue a value are not needed here.
fn stanzas(text: &str) -> Vec<HashMap<String, String>> {
    let lines = |paragraph: &str| {
        let fields = paragraph.lines().filter(|line| !line.starts_with([' ', '#', '\t']));
        let fields = fields.filter_map(|line| line.split_once(':'));
        fields.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect::<HashMap<_, _>>()
    };
    text.split("\n\n").map(lines).filter(|fields| !fields.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Available, from_one_line, stanzas, uris};

    const DEB822: &str = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\n\
                          Types: deb\n# a comment\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n";

    #[test]
    fn the_mirror_is_the_one_of_the_machine() {
        let expected = (
            "http://mirror.example/debian".to_owned(),
            Some("http://mirror.example/debian-security".to_owned()),
        );
        assert_eq!(uris(DEB822), Some(expected.clone()));
        let lines = "# deb-src x\ndeb [signed-by=/k arch=amd64] http://mirror.example/debian bookworm main\n\
                     deb http://mirror.example/debian-security bookworm-security main\n";
        let translated: String = lines.lines().filter_map(from_one_line).collect();
        assert_eq!(uris(&translated), Some(expected));
    }

    #[test]
    fn a_machine_without_debians_archive_has_no_mirror() {
        assert_eq!(uris("Types: deb\nURIs: http://other.example\nSuites: nodistro\n"), None);
        assert_eq!(uris(""), None);
    }

    #[test]
    fn a_package_is_read_with_the_names_it_depends_on() {
        let shown = "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2), kmod\nDescription: x\n more\n";
        let available: Vec<_> = stanzas(shown).iter().filter_map(Available::from_stanza).collect();
        assert_eq!(available[0].version, "6.1.192-2");
        assert_eq!(available[0].depends, ["linux-image-6.1.0-56-cloud-amd64", "kmod"]);
    }
}
