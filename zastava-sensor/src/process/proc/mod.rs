//! procfs: where it is mounted, and parsers for what it says.
//!
//! The bytes come from the kernel, but names in them (comm, paths, cgroups) are chosen by whoever runs in a
//! container: every parser takes a slice, is bounded by it and answers with an error or `None`, never a panic.

pub mod allowance;
pub mod cgroup;
pub mod cgroupfs;
pub mod cgroupns;
pub mod cmdline;
#[cfg(test)]
pub(crate) mod first;
pub mod maps;
pub mod mountinfo;
pub mod stat;
pub mod status;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Mount point of a procfs of the host's pid namespace: `/proc`, in a container usually `/host/proc`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProcRoot(PathBuf);

impl Default for ProcRoot {
    fn default() -> Self {
        Self::new("/proc")
    }
}

impl ProcRoot {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `<root>/<tgid>/<name>`; `name` may have several components (`ns/mnt`).
    pub fn entry(&self, tgid: u32, name: &str) -> PathBuf {
        // One allocation: this stands on the path of every hashed file.
        let mut path = PathBuf::with_capacity(self.0.as_os_str().len() + name.len() + 12);
        path.push(&self.0);
        path.push(tgid.to_string());
        path.push(name);
        path
    }

    /// The file mapped at `[start, end)` of a process, whatever became of its path (needs `CAP_CHECKPOINT_RESTORE`
    /// or `CAP_SYS_ADMIN`, proc(5)).
    pub fn map_file(&self, tgid: u32, start: u64, end: u64) -> PathBuf {
        self.entry(tgid, &format!("map_files/{start:x}-{end:x}"))
    }

    /// At most `limit` bytes of `<root>/<tgid>/<name>`; what stands beyond is left unread.
    pub fn read(&self, tgid: u32, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        read_capped(&self.entry(tgid, name), limit)
    }
}

/// The processes that exist, as far as the directory tells: any may be gone by now.
pub fn processes(root: &ProcRoot) -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir(root.path()).into_iter().flatten().flatten();
    entries.filter_map(|entry| number(entry.file_name().as_encoded_bytes()))
}

fn read_capped(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // usize is 64 bits wide wherever BPF is; a narrower one loses nothing here.
    File::open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A decimal number, and nothing else.
fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    // `from_str` would take a sign.
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// A hexadecimal number, and nothing else.
fn hex(digits: &[u8]) -> Option<u64> {
    if !digits.first()?.is_ascii_hexdigit() {
        return None;
    }
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stands_below_the_configured_root() {
        let root = ProcRoot::new("/host/proc");
        assert_eq!(root.entry(17, "ns/mnt"), Path::new("/host/proc/17/ns/mnt"));
        assert_eq!(root.map_file(17, 0x5500, 0x6600), Path::new("/host/proc/17/map_files/5500-6600"));
    }

    #[test]
    fn a_read_stops_at_its_limit() {
        let own = ProcRoot::default().read(std::process::id(), "stat", 4).unwrap();
        assert_eq!(own.len(), 4);
    }
}
