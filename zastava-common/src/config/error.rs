use std::{fmt, io};

use super::MAX_FILE_BYTES;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("{file}: larger than {MAX_FILE_BYTES} bytes, which no configuration is")]
    TooLarge { file: String },
    /// Line and column count from 1.
    #[error("{file}:{line}:{column}: {fault}")]
    Invalid { file: String, line: u64, column: u64, fault: Box<Fault> },
}

/// What is wrong at one place of a file. Shown as one line, then what would be right, indented.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The whole key, `zastava.runtime.audience[1]`; empty: the file itself.
    pub key: String,
    pub what: What,
    /// What may stand there.
    pub allowed: Option<String>,
    /// The known word that was probably meant.
    pub meant: Option<String>,
    /// The sections that do know an unknown key.
    pub belongs: Option<String>,
}

impl Fault {
    pub fn new(key: String, what: What) -> Self {
        Self { key, what, allowed: None, meant: None, belongs: None }
    }

    #[must_use]
    pub fn allowed(self, allowed: impl Into<String>) -> Self {
        Self { allowed: Some(allowed.into()), ..self }
    }
}

/// Kinds of [`Fault`]. `found` is a number, a word where one of a few is asked for, or what kind of thing it was:
/// never a free text of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// Nothing but blanks and comments.
    Empty,
    UnknownKey,
    MissingKey,
    RepeatedKey,
    WrongType {
        found: String,
    },
    NotAllowed {
        found: String,
    },
    /// Of the right form, and what it names or asks for is not there or is nothing to work with.
    Unusable {
        why: String,
    },
    /// Nested or repeated beyond what a configuration needs.
    TooMuch,
    NotUtf8,
    /// Not YAML, in the words of its parser.
    Syntax(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, what, allowed, meant, belongs } = self;
        match what {
            What::Empty => f.write_str("nothing in it")?,
            What::UnknownKey => write!(f, "unknown key {key}")?,
            What::MissingKey => write!(f, "missing key {key}")?,
            What::RepeatedKey => write!(f, "key {key} stands here a second time")?,
            What::WrongType { found } => write!(f, "wrong type for {key}: {found}")?,
            What::NotAllowed { found } => write!(f, "not allowed for {key}: {found}")?,
            What::Unusable { why } => write!(f, "cannot use {key}: {why}")?,
            What::TooMuch => f.write_str("too deeply nested, or too many aliases")?,
            What::NotUtf8 => f.write_str("not UTF-8 text")?,
            What::Syntax(message) if key.is_empty() => write!(f, "not as YAML should be: {message}")?,
            What::Syntax(message) => write!(f, "not as YAML should be, at {key}: {message}")?,
        }
        if let Some(meant) = meant {
            write!(f, "\n  did you mean `{meant}`?")?;
        }
        if let Some(belongs) = belongs {
            write!(f, "\n  a key of that name belongs to {belongs}")?;
        }
        if let Some(allowed) = allowed {
            write!(f, "\n  allowed: {allowed}")?;
        }
        Ok(())
    }
}
