//! `/proc/<pid>/maps` (proc_pid_maps(5)), line by line without allocation.

use super::{hex, number};

/// Most bytes of one `maps` that are read: some 10,000 mappings.
pub const LIMIT: usize = 1 << 20;

/// A mapping of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Line<'a> {
    pub start: u64,
    pub end: u64,
    pub executable: bool,
    /// Device of the file: in older kernels the real inode's below overlayfs, in newer ones the overlay's.
    pub major: u32,
    pub minor: u32,
    pub ino: u64,
    /// A newline in it stands as `\012`, and nothing else is escaped, so a path can be ambiguous: `map_files`
    /// has the exact one. Ends with ` (deleted)` where the name is gone.
    pub path: &'a [u8],
}

/// Mappings of files; anonymous and special ones (`[heap]`, `[vdso]`) are passed over, as are lines cut or broken.
pub fn files(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    bytes.split(|byte| *byte == b'\n').filter_map(line)
}

fn line(bytes: &[u8]) -> Option<Line<'_>> {
    let (range, rest) = word(bytes)?;
    let (permissions, rest) = word(rest)?;
    let (_offset, rest) = word(rest)?;
    let (device, rest) = word(rest)?;
    let (ino, path) = word(rest)?;
    let (start, end) = pair(range, b'-')?;
    let (major, minor) = pair(device, b':')?;
    let ino = number::<u64>(ino)?;
    let path = path.trim_ascii_start();
    if ino == 0 || !path.starts_with(b"/") || start >= end {
        return None;
    }
    Some(Line {
        start,
        end,
        executable: *permissions.get(2)? == b'x',
        major: u32::try_from(major).ok()?,
        minor: u32::try_from(minor).ok()?,
        ino,
        path,
    })
}

/// Up to the next space, and what follows it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

fn pair(bytes: &[u8], between: u8) -> Option<(u64, u64)> {
    let middle = bytes.iter().position(|byte| *byte == between)?;
    Some((hex(&bytes[..middle])?, hex(&bytes[middle + 1..])?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
55d0c0000000-55d0c0002000 r--p 00000000 fd:00 1311 /usr/bin/sleep
55d0c0002000-55d0c0006000 r-xp 00002000 fd:00 1311                       /usr/bin/sleep
55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000001000 r-xp 00000000 00:01 77                         /memfd:x y (deleted)
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                          [vdso]
7ffd00002000-7ffd00003000 rw-p 00000000 00:00 0
";

    #[test]
    fn file_mappings_are_read_and_others_passed_over() {
        let lines: Vec<_> = files(TEXT.as_bytes()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[1],
            Line {
                start: 0x55d0_c000_2000,
                end: 0x55d0_c000_6000,
                executable: true,
                major: 0xfd,
                minor: 0,
                ino: 1311,
                path: b"/usr/bin/sleep",
            }
        );
        assert!(!lines[0].executable);
        assert_eq!(lines[2].path, b"/memfd:x y (deleted)");
    }

    #[test]
    fn the_own_program_is_among_the_own_mappings() {
        let bytes = super::super::ProcRoot::default().read(std::process::id(), "maps", LIMIT).unwrap();
        let own = std::fs::read_link("/proc/self/exe").unwrap();
        let own = std::os::unix::ffi::OsStrExt::as_bytes(own.as_os_str());
        assert!(files(&bytes).any(|line| line.executable && line.path == own));
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(files(&bytes).count() <= bytes.len());
        }

        #[test]
        fn a_text_cut_anywhere_gives_no_line_that_was_not_there(cut in 0_usize..420) {
            let whole: Vec<_> = files(TEXT.as_bytes()).collect();
            let cut = &TEXT.as_bytes()[..cut.min(TEXT.len())];
            for (line, original) in files(cut).zip(&whole) {
                prop_assert_eq!((line.start, line.ino), (original.start, original.ino));
                prop_assert!(original.path.starts_with(line.path));
            }
        }
    }
}
