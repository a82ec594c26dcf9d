//! `/proc/<pid>/status` (proc_pid_status(5)).

use super::number;

/// Enough for the lines read here: they stand in the first few hundred bytes, after a `Groups` line only if the
/// kernel's order changes.
pub const LIMIT: usize = 8192;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// Effective, in the user namespace of the reader.
    pub uid: u32,
    /// Effective, in the user namespace of the reader.
    pub gid: u32,
    /// The process's id in its own, innermost pid namespace: 1 is a container's first process.
    pub inner_tgid: u32,
}

impl Status {
    /// `None` where a line is missing. The name of the process cannot forge one: the kernel escapes newlines in it.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut uid, mut gid, mut inner) = (None, None, None);
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Some(values) = line.strip_prefix(b"Uid:") {
                uid = words(values).nth(1).and_then(number);
            } else if let Some(values) = line.strip_prefix(b"Gid:") {
                gid = words(values).nth(1).and_then(number);
            } else if let Some(values) = line.strip_prefix(b"NSpid:") {
                inner = words(values).last().and_then(number);
                break;
            }
        }
        Some(Self { uid: uid?, gid: gid?, inner_tgid: inner? })
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn effective_ids_and_the_innermost_pid_are_read() {
        let text =
            b"Name:\ta\\nUid:\nUmask:\t0022\nTgid:\t812\nUid:\t1000\t33\t33\t33\nGid:\t1000\t34\t34\t34\n\
                     FDSize:\t64\nGroups:\t\nNStgid:\t812\t1\nNSpid:\t812\t7\t1\nNSpgid:\t812\t1\n";
        assert_eq!(Status::parse(text), Some(Status { uid: 33, gid: 34, inner_tgid: 1 }));
    }

    #[test]
    fn a_missing_line_is_no_status() {
        assert_eq!(Status::parse(b"Uid:\t0\t0\t0\t0\nNSpid:\t1\n"), None);
        assert_eq!(Status::parse(b"Uid:\t0\nGid:\t0\t0\t0\t0\nNSpid:\t1\n"), None);
        assert_eq!(Status::parse(b""), None);
    }

    #[test]
    fn the_own_status_is_read() {
        let bytes = super::super::ProcRoot::default().read(std::process::id(), "status", LIMIT).unwrap();
        assert_eq!(Status::parse(&bytes).unwrap().uid, rustix::process::geteuid().as_raw());
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Status::parse(&bytes);
        }

        #[test]
        fn lines_in_any_order_and_form_do_no_harm(
            lines in proptest::collection::vec("(Uid|Gid|NSpid|Name|Groups):[\t 0-9x]{0,20}", 0..20),
        ) {
            let _ = Status::parse(lines.join("\n").as_bytes());
        }
    }
}
