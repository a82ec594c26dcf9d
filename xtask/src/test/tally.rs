//! Counts of tests, read from what test programs print at their end.

use crate::vm::console::plain;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

impl Tally {
    /// Adds what `line` says, if it is the last line of libtest, of nextest or of our end-to-end tests.
    pub(super) fn read(&mut self, line: &str) {
        let line = plain(line);
        let line = line.trim();
        let is_summary = line.starts_with("test result: ") || line.starts_with("Summary [") || is_ours(line);
        if !is_summary {
            return;
        }
        let words: Vec<&str> =
            line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "skipped" | "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

/// `12 passed, 0 failed, 3 skipped` and nothing else.
fn is_ours(line: &str) -> bool {
    let parts: Vec<_> = line.split(", ").map(|part| part.split_once(' ')).collect();
    let [Some((passed, "passed")), Some((failed, "failed")), Some((skipped, "skipped"))] = parts[..] else {
        return false;
    };
    [passed, failed, skipped].iter().all(|count| count.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(lines: &[&str]) -> (u64, u64, u64) {
        let mut tally = Tally::default();
        for line in lines {
            tally.read(line);
        }
        (tally.passed, tally.failed, tally.skipped)
    }

    #[test]
    fn counts_are_added_over_test_programs() {
        let libtest =
            "test result: ok. 14 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(tally(&[libtest, "test x ... ok", libtest]), (28, 0, 2));
        let nextest =
            "\x1b[32m     Summary\x1b[0m [   1.234s] 5 tests run: 4 passed (1 slow), 1 failed, 2 skipped";
        assert_eq!(tally(&[nextest]), (4, 1, 2));
        assert_eq!(tally(&["12 passed, 0 failed, 3 skipped"]), (12, 0, 3));
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(tally(&["it said: 12 passed, 0 failed, 3 skipped", "3 passed", ""]), (0, 0, 0));
    }
}
