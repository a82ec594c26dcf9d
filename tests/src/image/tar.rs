//! Writes a tar archive (POSIX.1-1988 ustar) that depends on nothing but what is put into it.

/// Bytes of a block.
const BLOCK: usize = 512;

/// An archive being written; owner is root and all times are zero.
#[derive(Debug, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    #[must_use]
    pub fn directory(self, path: &str) -> Self {
        self.entry(&format!("{path}/"), b'5', 0o755, "", &[])
    }

    #[must_use]
    pub fn file(self, path: &str, mode: u32, contents: &[u8]) -> Self {
        self.entry(path, b'0', mode, "", contents)
    }

    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, b'2', 0o777, target, &[])
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * BLOCK]);
        self.0
    }

    fn entry(mut self, path: &str, kind: u8, mode: u32, target: &str, contents: &[u8]) -> Self {
        // Names of the tests are short: the prefix field stays empty.
        assert!(path.len() <= 100 && target.len() <= 100, "{path} does not fit a tar header");
        let mut header = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, path.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{:011o}", contents.len()).as_bytes());
        put(136, b"00000000000");
        // The sum is made with blanks in its own place.
        put(148, b"        ");
        put(156, &[kind]);
        put(157, target.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(header);
        self.0.extend(contents);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use super::Tar;

    #[test]
    fn another_tar_reads_what_was_written() {
        let bytes = Tar::default()
            .directory("bin")
            .file("bin/program", 0o755, b"\x7fELF")
            .link("bin/sh", "program")
            .finish();
        let mut tar = Command::new("tar")
            .args(["--list", "--verbose", "--numeric-owner", "--file", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = tar.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("drwxr-xr-x 0/0") && lines[0].ends_with("bin/"), "{text}");
        assert!(lines[1].starts_with("-rwxr-xr-x 0/0") && lines[1].ends_with("bin/program"), "{text}");
        assert!(lines[2].ends_with("bin/sh -> program"), "{text}");
    }
}
