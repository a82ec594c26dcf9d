//! `/proc/<pid>/mountinfo` (proc_pid_mountinfo(5)).

use std::borrow::Cow;

use super::number;

/// Most bytes read: some 10,000 mounts, as on a node with hundreds of pods.
pub const LIMIT: usize = 2 << 20;

/// One mount. Paths are escaped as they stand; see [`unescape`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Line<'a> {
    pub id: u32,
    pub major: u32,
    pub minor: u32,
    /// Directory of the file system that is mounted.
    pub root: &'a [u8],
    /// Relative to the root directory of the process whose mounts these are.
    pub point: &'a [u8],
    pub fs_type: &'a [u8],
    /// Per-superblock options, between commas.
    pub super_options: &'a [u8],
}

/// The lines that can be read; others are passed over.
pub fn mounts(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    bytes.split(|byte| *byte == b'\n').filter_map(line)
}

fn line(bytes: &[u8]) -> Option<Line<'_>> {
    let mut words = bytes.split(|byte| *byte == b' ');
    let id = number(words.next()?)?;
    let _parent: u32 = number(words.next()?)?;
    let device = words.next()?;
    let root = words.next()?;
    let point = words.next()?;
    let _options = words.next()?;
    // Any number of optional fields, then a single hyphen.
    words.by_ref().find(|word| *word == b"-")?;
    let fs_type = words.next()?;
    let _source = words.next()?;
    let super_options = words.next()?;
    let colon = device.iter().position(|byte| *byte == b':')?;
    Some(Line {
        id,
        major: number(&device[..colon])?,
        minor: number(&device[colon + 1..])?,
        root,
        point,
        fs_type,
        super_options,
    })
}

/// Undoes the kernel's octal escapes (space, tab, newline, backslash and `#`: fs/proc_namespace.c, `mangle`).
pub fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'\\') {
        return Cow::Borrowed(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let escaped = if *first == b'\\' { octal(after) } else { None };
        plain.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    Cow::Owned(plain)
}

fn octal(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.get(..3)?;
    digits.iter().try_fold(0_u8, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:2 - cgroup2 cgroup2 rw,nsdelegate
98 41 8:1 /a\\040b /mnt/x\\134y rw - ext4 /dev/sda1 rw
broken
";

    #[test]
    fn mounts_are_read_with_and_without_optional_fields() {
        let lines: Vec<_> = mounts(TEXT).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[1],
            Line {
                id: 41,
                major: 0,
                minor: 38,
                root: b"/",
                point: b"/sys/fs/cgroup/unified",
                fs_type: b"cgroup2",
                super_options: b"rw,nsdelegate",
            }
        );
        assert_eq!(&*unescape(lines[2].root), b"/a b");
        assert_eq!(&*unescape(lines[2].point), b"/mnt/x\\y");
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in [&b"\\"[..], b"\\04", b"\\899", b"\\777", b"a\\"] {
            assert_eq!(&*unescape(text), text);
        }
    }

    #[test]
    fn the_own_mounts_hold_proc() {
        let bytes = super::super::ProcRoot::default().read(std::process::id(), "mountinfo", LIMIT).unwrap();
        assert!(mounts(&bytes).any(|line| line.fs_type == b"proc"));
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for line in mounts(&bytes) {
                prop_assert!(unescape(line.point).len() <= line.point.len());
            }
        }

        #[test]
        fn escaping_is_undone(name in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut escaped = Vec::new();
            for byte in &name {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\\' | b'#' => escaped.extend(format!("\\{byte:03o}").into_bytes()),
                    _ => escaped.push(*byte),
                }
            }
            prop_assert_eq!(&*unescape(&escaped), &name[..]);
        }
    }
}
