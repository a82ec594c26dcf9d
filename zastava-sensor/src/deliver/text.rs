//! Text of a container on the terminal of an operator.

use std::fmt::{self, Write as _};

/// Shows text that nobody vouches for: whatever a terminal could take as a command, or a reader for other text than
/// it is, is written as an escape (`\n`, `\x1b`, `\u{202e}`). A backslash is doubled, so that a file whose *name*
/// holds an escape looks different.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (at, char) in self.0.char_indices() {
            if !escaped(char) {
                continue;
            }
            f.write_str(&self.0[plain..at])?;
            plain = at + char.len_utf8();
            match char {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\0'..='\x7f' => write!(f, "\\x{:02x}", u32::from(char))?,
                _ => write!(f, "{}", char.escape_unicode())?,
            }
        }
        f.write_str(&self.0[plain..])
    }
}

/// Shows at most so many characters, the last a `~` where there were more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short<'a>(pub(super) &'a str, pub(super) usize);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, limit) = *self;
        if text.chars().nth(limit).is_none() {
            return Shown(text).fmt(f);
        }
        let kept = text.char_indices().nth(limit.saturating_sub(1)).map_or(0, |(at, _)| at);
        Shown(&text[..kept]).fmt(f)?;
        f.write_char('~')
    }
}

/// Shows at most so many characters of the end, the first a `~` where there were more: what tells names of pods and
/// their containers apart stands behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail<'a>(pub(crate) &'a str, pub(crate) usize);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, limit) = *self;
        let Some(more) = text.chars().count().checked_sub(limit).filter(|more| *more > 0) else {
            return Shown(text).fmt(f);
        };
        let from = text.char_indices().nth(more + 1).map_or(text.len(), |(at, _)| at);
        f.write_char('~')?;
        Shown(&text[from..]).fmt(f)
    }
}

fn escaped(char: char) -> bool {
    if char.is_ascii() {
        return char == '\\' || char.is_ascii_control();
    }
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}'   // soft hyphen, Arabic letter mark, Mongolian vowel separator
            | '\u{200b}'..='\u{200f}'           // zero width, direction marks
            | '\u{2028}'..='\u{202e}'           // line and paragraph separators, direction overrides
            | '\u{2060}'..='\u{206f}'           // invisible operators, direction isolates
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}') // tags
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        insta::assert_snapshot!(Shown("/tmp/\x1b]0;owned\x07\n\r\t\u{9b}31m\u{202e}gpj.exe"), @r"/tmp/\x1b]0;owned\x07\n\r\t\u{9b}31m\u{202e}gpj.exe");
    }

    #[test]
    fn a_name_that_holds_an_escape_is_told_from_the_escaped() {
        assert_eq!(Shown("a\nb").to_string(), r"a\nb");
        assert_eq!(Shown(r"a\nb").to_string(), r"a\\nb");
    }

    #[test]
    fn text_of_any_language_is_left_alone() {
        for text in ["/usr/bin/ls", "/home/Zürich/日本語/прога", "🦀"] {
            assert_eq!(Shown(text).to_string(), text);
        }
    }

    #[test]
    fn a_long_text_is_visibly_cut() {
        assert_eq!(Short("0123456789", 10).to_string(), "0123456789");
        assert_eq!(Short("0123456789a", 10).to_string(), "012345678~");
        assert_eq!(Short("é\u{1b}üö", 3).to_string(), "é\\x1b~");
        assert_eq!(Tail("api-7c9f/api", 12).to_string(), "api-7c9f/api");
        assert_eq!(Tail("my-api-7c9f/api", 12).to_string(), "~pi-7c9f/api");
        assert_eq!(Tail("é\u{1b}üö", 3).to_string(), "~üö");
    }

    proptest! {
        #[test]
        fn nothing_shown_is_a_control_character(text in any::<String>()) {
            prop_assert!(!Shown(&text).to_string().chars().any(char::is_control));
        }
    }
}
