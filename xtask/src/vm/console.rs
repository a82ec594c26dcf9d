//! What a guest's console says: the verdict of its init, or that the kernel is lost.

use std::fmt;

/// What init prints before it powers the machine off; tests/src/bin/vm-init.rs prints it.
const VERDICT: &str = "zastava-vm: ";
/// What it prints first.
const BEGINS: &str = "zastava-vm begins";

/// What a kernel prints when nothing good can follow.
const FATAL: [&str; 5] =
    ["end Kernel panic", "BUG: soft lockup", "self-detected stall", "detected stalls", "Oops: "];

/// The end of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    Failure(String),
    /// The kernel was lost before init began: nothing was tried. The emulator has been seen to do so with kernels that
    /// rewrite their own instructions while they boot.
    Unbegun(String),
}

impl Verdict {
    /// Why it is no success.
    pub(crate) fn failure(self) -> Option<String> {
        match self {
            Self::Success => None,
            Self::Failure(why) | Self::Unbegun(why) => Some(why),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::Failure(why) | Self::Unbegun(why) => f.write_str(why),
        }
    }
}

/// Reads a console line by line.
#[derive(Debug, Default)]
pub(super) struct Console {
    verdict: Option<Verdict>,
    fatal: Option<String>,
    begun: bool,
}

impl Console {
    /// Takes one line as it came; returns it as text to show.
    pub(super) fn line(&mut self, raw: &[u8]) -> String {
        let text = plain(&String::from_utf8_lossy(raw));
        self.begun |= text == BEGINS;
        if let Some(verdict) = text.strip_prefix(VERDICT) {
            let verdict = match verdict.trim() {
                "success" => Verdict::Success,
                other => Verdict::Failure(other.to_owned()),
            };
            self.verdict = Some(match &self.verdict {
                None => verdict,
                Some(_) => Verdict::Failure("more than one verdict on the console".to_owned()),
            });
        } else if self.fatal.is_none()
            && is_kernel_line(&text)
            && FATAL.iter().any(|sign| text.contains(sign))
        {
            self.fatal = Some(text.clone());
        }
        text
    }

    /// Whether the guest is to be killed: its kernel is lost.
    pub(super) fn is_lost(&self) -> bool {
        self.fatal.is_some()
    }

    pub(super) fn verdict(self) -> Verdict {
        match (self.fatal, self.verdict) {
            (Some(sign), None) if !self.begun => Verdict::Unbegun(format!("the kernel is lost: {sign}")),
            (Some(sign), _) => Verdict::Failure(format!("the kernel is lost: {sign}")),
            (None, Some(verdict)) => verdict,
            (None, None) => Verdict::Failure("the machine ended without a verdict".to_owned()),
        }
    }
}

/// Kernel messages begin with their time in brackets.
fn is_kernel_line(text: &str) -> bool {
    text.starts_with('[') && text.as_bytes().get(1).is_some_and(|byte| *byte == b' ' || byte.is_ascii_digit())
}

/// The text without escape sequences and other control characters: firmware clears the screen.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' if chars.next_if(|next| matches!(next, '[')).is_some() => {
                // A control sequence ends with a byte of 0x40 to 0x7e.
                while chars.next().is_some_and(|char| !('@'..='~').contains(&char)) {}
            }
            '\x1b' => drop(chars.next()),
            '\t' => out.push(char),
            char if char.is_control() => {}
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Console, Verdict, plain};

    fn verdict_of(lines: &[&str]) -> Verdict {
        let mut console = Console::default();
        for line in lines {
            console.line(line.as_bytes());
        }
        console.verdict()
    }

    #[test]
    fn one_verdict_of_init_is_the_verdict() {
        assert_eq!(verdict_of(&["hello", "zastava-vm: success\r"]), Verdict::Success);
        assert_eq!(verdict_of(&["zastava-vm: failure"]), Verdict::Failure("failure".to_owned()));
    }

    #[test]
    fn silence_and_contradiction_are_failures() {
        assert!(matches!(verdict_of(&["hello"]), Verdict::Failure(_)));
        assert!(matches!(verdict_of(&["zastava-vm: success", "zastava-vm: success"]), Verdict::Failure(_)));
    }

    #[test]
    fn a_lost_kernel_fails_even_after_a_success() {
        let lost = "[   12.345678] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!";
        assert!(
            matches!(verdict_of(&["zastava-vm: success", lost]), Verdict::Failure(why) if why.contains("soft lockup"))
        );
        // What a program prints is not the kernel speaking.
        assert_eq!(verdict_of(&["echo: BUG: soft lockup", "zastava-vm: success"]), Verdict::Success);
    }

    #[test]
    fn a_kernel_that_is_lost_before_init_began_has_tried_nothing() {
        let lost = "[    2.085164] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI";
        assert!(matches!(verdict_of(&["Booting from ROM...", lost]), Verdict::Unbegun(_)));
        assert!(matches!(verdict_of(&["zastava-vm begins\r", lost]), Verdict::Failure(_)));
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(plain("\x1bc\x1b[?7l\x1b[2JBooting\r\x07"), "Booting");
        assert_eq!(plain("\x1b[31mred\x1b[0m"), "red");
    }
}
