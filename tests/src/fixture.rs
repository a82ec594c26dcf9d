//! Files whose contents a scenario knows.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::elf::{Program, hex};

/// A file as it was when it was made.
#[derive(Clone, Debug)]
pub struct Fixture {
    pub path: PathBuf,
    /// Lower-case hex; `None`: not an ELF file, or one whose build-id this test does not know.
    pub build_id: Option<String>,
    /// Lower-case hex.
    pub sha256: String,
    pub inode: u64,
    /// Major and minor number in decimal.
    pub device: String,
    pub size: u64,
}

impl Fixture {
    pub fn program(path: PathBuf, program: &Program) -> Result<Self> {
        let made = Self::file(path, &program.bytes, 0o755)?;
        Ok(Self { build_id: Some(program.build_id.clone()), ..made })
    }

    pub fn file(path: PathBuf, bytes: &[u8], mode: u32) -> Result<Self> {
        // With its mode from the start: a chmod would be a change of its own.
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(bytes))
            .with_context(|| format!("cannot make {}", path.display()))?;
        Self::of(path)
    }

    /// A copy of a file of this machine.
    pub fn copy(from: &Path, path: PathBuf) -> Result<Self> {
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        Self::file(path, &bytes, 0o755)
    }

    /// A file as it is now.
    pub fn of(path: PathBuf) -> Result<Self> {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let status = fs::metadata(&path)?;
        let (major, minor) = (rustix::fs::major(status.dev()), rustix::fs::minor(status.dev()));
        Ok(Self {
            path,
            build_id: None,
            sha256: hex(&Sha256::digest(&bytes)),
            inode: status.ino(),
            device: format!("{major}:{minor}"),
            size: status.len(),
        })
    }

    /// The same file under another name.
    #[must_use]
    pub fn at(&self, path: PathBuf) -> Self {
        Self { path, ..self.clone() }
    }

    /// The same bytes in a file of another inode.
    pub fn bytes_at(&self, path: &Path) -> Result<Self> {
        Ok(Self { build_id: self.build_id.clone(), ..Self::of(path.to_owned())? })
    }
}

/// Whether a file of this machine stands on a tmpfs, as everything does in a virtual machine.
pub fn on_tmpfs(path: &Path) -> Result<bool> {
    /// `TMPFS_MAGIC` (include/uapi/linux/magic.h).
    const TMPFS: u64 = 0x0102_1994;
    let system = rustix::fs::statfs(path).with_context(|| format!("cannot ask of {}", path.display()))?;
    Ok(u64::try_from(system.f_type) == Ok(TMPFS))
}
