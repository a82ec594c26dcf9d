//! `/proc/<pid>/cmdline` (proc_pid_cmdline(5)).

use std::io::{self, Read};

/// Most bytes looked at: `execve` takes up to 6 MiB of arguments and environment (fs/exec.c, `_STK_LIM / 4 * 3`).
pub const LIMIT: u64 = 6 << 20;

/// How many arguments a process has and how long they are; the text itself is not kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ArgumentSize {
    pub count: u32,
    /// Bytes, each argument's NUL included.
    pub bytes: u32,
}

impl ArgumentSize {
    pub fn of(bytes: &[u8]) -> Self {
        let mut size = Self::default();
        let last = size.add(bytes);
        size.finish(last)
    }

    /// Reads at most [`LIMIT`] bytes, a few at a time.
    pub fn read(reader: impl Read) -> io::Result<Self> {
        let mut reader = reader.take(LIMIT);
        let mut chunk = [0; 4096];
        let mut size = Self::default();
        let mut last = None;
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(size.finish(last)),
                Ok(length) => last = size.add(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Option<u8> {
        let ends: u32 = bytes.iter().map(|byte| u32::from(*byte == 0)).fold(0, u32::saturating_add);
        self.count = self.count.saturating_add(ends);
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        bytes.last().copied()
    }

    /// A process may have overwritten its arguments (setproctitle) and with them the last NUL.
    fn finish(mut self, last: Option<u8>) -> Self {
        if last.is_some_and(|byte| byte != 0) {
            self.count = self.count.saturating_add(1);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arguments_are_counted_empty_ones_too() {
        assert_eq!(ArgumentSize::of(b"ls\0\0-l\0"), ArgumentSize { count: 3, bytes: 7 });
        assert_eq!(ArgumentSize::of(b""), ArgumentSize::default());
    }

    #[test]
    fn an_overwritten_title_is_one_argument() {
        assert_eq!(ArgumentSize::of(b"nginx: worker"), ArgumentSize { count: 1, bytes: 13 });
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let size = ArgumentSize::read(io::repeat(0)).unwrap();
        assert_eq!(u64::from(size.bytes), LIMIT);
    }

    proptest! {
        #[test]
        fn reading_in_pieces_counts_the_same(bytes in proptest::collection::vec(0_u8..3, 0..9000)) {
            prop_assert_eq!(ArgumentSize::read(&bytes[..]).unwrap(), ArgumentSize::of(&bytes));
        }
    }
}
