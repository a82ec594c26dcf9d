//! Writes a cpio archive in the "newc" form, which the kernel unpacks as its first root file system.
//!
//! The form is described in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// An archive being written. Parents must be added before what is in them, as the kernel makes none.
pub(super) struct Archive<W> {
    out: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, entries: 0 }
    }

    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, DIRECTORY | 0o755, &[])
    }

    /// A symbolic link at `path` to `target`.
    pub(super) fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, SYMLINK | 0o777, target.as_bytes())
    }

    pub(super) fn file(&mut self, path: &str, mode: u32, contents: &[u8]) -> io::Result<()> {
        self.entry(path, REGULAR | (mode & 0o7777), contents)
    }

    /// The file `from` of this machine, with its mode.
    pub(super) fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let read = || Ok::<_, io::Error>((fs::metadata(from)?.permissions().mode(), fs::read(from)?));
        let (mode, contents) = read().with_context(|| format!("cannot read {}", from.display()))?;
        self.file(path, mode, &contents).with_context(|| format!("cannot archive {path}"))
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) -> io::Result<()> {
        let name = path.trim_start_matches('/');
        let too_long = |_| io::Error::other(format!("{path} does not fit a cpio archive"));
        let size = u32::try_from(contents.len()).map_err(too_long)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_long)?;
        self.entries += 1;
        let (inode, links) = (self.entries, 1);
        // uid, gid, mtime, device numbers and checksum are zero.
        let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        let header = format!("070701{}", fields.map(|field| format!("{field:08X}")).concat());
        self.padded(&[header.as_bytes(), name.as_bytes(), b"\0"])?;
        self.padded(&[contents])
    }

    /// Writes `parts` and fills up to a multiple of four, as header with name and contents each are.
    fn padded(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut written = 0;
        for part in parts {
            self.out.write_all(part)?;
            written += part.len();
        }
        self.out.write_all(&[0; 3][..written.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn an_archive_is_aligned_and_says_the_length_of_each_entry() {
        let mut archive = Archive::new(Vec::new());
        archive.directory("/bin").unwrap();
        archive.file("/bin/x", 0o755, b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("070701").count(), 3);
        // Header of 110 bytes, "bin\0" and two bytes of padding.
        let file = &text[116..];
        assert_eq!(&file[..22], "07070100000002000081ED");
        assert_eq!(&file[54..62], "00000005");
        assert_eq!(&file[110..118], "bin/x\0he");
        assert!(text.contains("TRAILER!!!\0"));
    }
}
