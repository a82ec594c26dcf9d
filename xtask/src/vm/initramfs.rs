//! The first and only file system of a machine: laid out as a Debian with merged /usr, so that what is tested has the
//! same names here and there.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::BufWriter,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{
    cpio::Archive,
    kernels::Kernel,
    programs::{self, Program},
};

/// The program of the tests crate that becomes /init.
const INIT: &str = "vm-init";

/// Where init looks; tests/src/bin/vm-init.rs has the same.
const COMMAND: &str = "/etc/zastava-vm/command";
const MODULES: &str = "/etc/zastava-vm/modules";

const DIRECTORIES: [&str; 14] = [
    "/usr",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/sbin",
    "/etc",
    "/etc/zastava-vm",
    MODULES,
    "/proc",
    "/sys",
    "/dev",
    "/tmp",
    "/run",
    "/root",
];
const LINKS: [(&str, &str); 5] = [
    ("/bin", "usr/bin"),
    ("/sbin", "usr/sbin"),
    ("/lib", "usr/lib"),
    ("/lib64", "usr/lib64"),
    ("/usr/bin/sh", "dash"),
];

/// What goes into a machine.
pub(super) struct Contents<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) programs: &'a [Program],
    /// More files of this machine, into /bin.
    pub(super) with: &'a [PathBuf],
    /// What init runs: a program and its arguments.
    pub(super) command: &'a [OsString],
}

/// Writes the archive to `path`.
pub(super) fn write(path: &Path, contents: &Contents<'_>) -> Result<()> {
    let Contents { kernel, programs, with, command } = contents;
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    let mut directories: BTreeSet<PathBuf> = DIRECTORIES.iter().map(PathBuf::from).collect();
    for directory in DIRECTORIES {
        archive.directory(directory)?;
    }
    for (path, target) in LINKS {
        archive.symlink(path, target)?;
    }
    let Some(init) = programs.iter().find(|program| program.name == INIT) else {
        bail!("the tests crate has no {INIT}")
    };
    archive.copy("/init", &init.path)?;
    for Program { name, path } in programs.iter().filter(|program| program.name != INIT) {
        archive.copy(&format!("/usr/bin/{name}"), path)?;
    }
    for path in *with {
        let Some(name) = path.file_name() else { bail!("{} is no file", path.display()) };
        archive.copy(&format!("/usr/bin/{}", name.to_string_lossy()), path)?;
    }
    for path in programs::dynamic(with)? {
        let place = merged(&path);
        for parent in parents(&place) {
            if directories.insert(parent.clone()) {
                archive.directory(&parent.to_string_lossy())?;
            }
        }
        archive.copy(&place.to_string_lossy(), &path)?;
    }
    for module in &kernel.modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.copy(&format!("{MODULES}/{name}"), module)?;
    }
    let command: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
    // Container runtimes give their containers copies of these.
    archive.file("/etc/hosts", 0o644, b"127.0.0.1 localhost\n")?;
    archive.file("/etc/resolv.conf", 0o644, b"")?;
    archive.file(COMMAND, 0o644, &command.join(&0))?;
    archive.finish()?;
    Ok(())
}

/// The size of the file in MiB, for the log.
pub(super) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len() >> 20)
}

/// The place of a library below /usr, where the links of a merged /usr lead.
fn merged(path: &Path) -> PathBuf {
    let in_root = ["/bin", "/sbin", "/lib", "/lib64"].iter().any(|directory| path.starts_with(directory));
    if in_root { Path::new("/usr").join(path.strip_prefix("/").unwrap_or(path)) } else { path.to_owned() }
}

/// Directories above `path`, outermost first.
fn parents(path: &Path) -> Vec<PathBuf> {
    let mut parents: Vec<_> =
        path.ancestors().skip(1).filter(|parent| *parent != Path::new("/")).map(PathBuf::from).collect();
    parents.reverse();
    parents
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{merged, parents};

    #[test]
    fn libraries_stand_where_a_merged_usr_has_them() {
        assert_eq!(
            merged(Path::new("/lib/x86_64-linux-gnu/libc.so.6")),
            Path::new("/usr/lib/x86_64-linux-gnu/libc.so.6")
        );
        assert_eq!(merged(Path::new("/lib64/ld.so")), Path::new("/usr/lib64/ld.so"));
        assert_eq!(merged(Path::new("/usr/lib/x")), Path::new("/usr/lib/x"));
        let expected: Vec<PathBuf> = ["/usr", "/usr/lib", "/usr/lib/a"].map(PathBuf::from).to_vec();
        assert_eq!(parents(Path::new("/usr/lib/a/x.so")), expected);
    }
}
