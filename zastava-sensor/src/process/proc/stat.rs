//! `/proc/<pid>/stat` (proc_pid_stat(5)).

use super::number;

/// Nanoseconds of one tick of the times in `stat`: `USER_HZ` (include/asm-generic/param.h) is 100 on every
/// architecture that runs BPF.
pub const TICK_NS: u64 = 10_000_000;

/// Enough for the line: comm is at most 64 bytes (a workqueue's), the other fields are 51 numbers.
pub const LIMIT: usize = 2048;

/// `PF_KTHREAD` (include/linux/sched.h).
const KERNEL_THREAD: u32 = 0x0020_0000;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stat<'a> {
    pub tgid: u32,
    /// Chosen by the process: may hold any byte but NUL, parentheses and newlines included.
    pub comm: &'a [u8],
    /// `R`, `S`, `Z`, ...
    pub state: u8,
    pub ppid: u32,
    flags: u32,
    /// Start after boot in ticks, rounded down.
    start_ticks: u64,
}

impl<'a> Stat<'a> {
    /// `None` where the bytes are no whole `stat` line.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        // What follows comm is numbers and one letter, so its end is the last parenthesis.
        let open = bytes.iter().position(|byte| *byte == b'(')?;
        let close = bytes.iter().rposition(|byte| *byte == b')')?;
        let comm = bytes.get(open + 1..close)?;
        let tgid = number(bytes[..open].trim_ascii())?;
        let mut fields = bytes[close + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let state = match fields.next()? {
            [state] => *state,
            _ => return None,
        };
        let ppid = number(fields.next()?)?;
        // Fields 5 to 8 are process group, session and terminal.
        let flags = number(fields.nth(4)?)?;
        // Field 9 is read; 22 is the start.
        let start_ticks = number(fields.nth(12)?)?;
        Some(Self { tgid, comm, state, ppid, flags, start_ticks })
    }

    /// Start after boot in nanoseconds, rounded down to [`TICK_NS`].
    pub fn start_boot_ns(&self) -> u64 {
        self.start_ticks.saturating_mul(TICK_NS)
    }

    pub fn is_kernel_thread(&self) -> bool {
        self.flags & KERNEL_THREAD != 0
    }

    /// It has exited and waits for its parent (or is being taken away): it has no program any more.
    pub fn is_gone(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: &str =
        "S 1 17 17 0 -1 4194560 153 9 1 0 0 0 0 0 20 0 1 0 8812 4579328 823 18446744073709551615 1";

    #[test]
    fn a_plain_line_is_read() {
        let line = format!("17 (sleep) {REST}\n");
        let stat = Stat::parse(line.as_bytes()).unwrap();
        assert_eq!((stat.tgid, stat.comm, stat.state, stat.ppid), (17, &b"sleep"[..], b'S', 1));
        assert_eq!(stat.start_boot_ns(), 88_120_000_000);
        assert!(!stat.is_kernel_thread() && !stat.is_gone());
    }

    #[test]
    fn a_name_with_spaces_parentheses_and_newlines_cannot_forge_fields() {
        for comm in ["a b", "(sd-pam)", ") S 99 (", "x\n1 (y) Z 2", ")", ""] {
            let line = format!("17 ({comm}) {REST}");
            let stat = Stat::parse(line.as_bytes()).unwrap();
            assert_eq!((stat.comm, stat.ppid), (comm.as_bytes(), 1), "{comm:?}");
        }
    }

    #[test]
    fn kernel_threads_and_zombies_say_so() {
        let thread =
            Stat::parse(b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0").unwrap();
        assert!(thread.is_kernel_thread());
        let zombie = Stat::parse(b"3 (a) Z 2 3 3 0 -1 4227084 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0").unwrap();
        assert!(zombie.is_gone());
    }

    #[test]
    fn the_own_line_is_read() {
        let bytes = super::super::ProcRoot::default().read(std::process::id(), "stat", LIMIT).unwrap();
        let stat = Stat::parse(&bytes).unwrap();
        assert_eq!(stat.tgid, std::process::id());
        assert_eq!(stat.ppid, std::os::unix::process::parent_id());
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Stat::parse(&bytes);
        }

        #[test]
        fn any_name_keeps_the_numbers(comm in proptest::collection::vec(1_u8.., 0..64), ppid: u32, ticks: u64) {
            let mut line = b"5 (".to_vec();
            line.extend_from_slice(&comm);
            line.extend_from_slice(format!(") R {ppid} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0").as_bytes());
            let stat = Stat::parse(&line).unwrap();
            prop_assert_eq!(stat.comm, &comm[..]);
            prop_assert_eq!(stat.ppid, ppid);
            prop_assert_eq!(stat.start_ticks, ticks);
        }

        #[test]
        fn a_line_cut_anywhere_does_no_harm(cut in 0_usize..120) {
            let line = format!("17 (sleep) {REST}");
            let _ = Stat::parse(&line.as_bytes()[..cut.min(line.len())]);
        }
    }
}
