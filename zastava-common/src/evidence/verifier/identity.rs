use regex_lite::{Regex, RegexBuilder};

/// Who a certificate must be for. Both must match, in one certificate.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Who vouched for the subject: the URL of an OpenID Connect issuer.
    pub issuer: Matcher,
    /// The certificate's subject alternative name: an address of mail or a URI.
    pub subject: Matcher,
}

/// An exact text or a pattern for the whole of it.
#[derive(Clone, Debug)]
pub enum Matcher {
    Exact(String),
    Pattern { written: String, regex: Regex },
}

/// A text that is no pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no regular expression: {0}")]
pub struct BadPattern(String);

impl Matcher {
    /// A regular expression that the whole text must match: it is anchored at both ends, whatever it says itself.
    pub fn pattern(written: &str) -> Result<Self, BadPattern> {
        let bad = |error: regex_lite::Error| BadPattern(error.to_string());
        // By itself first, so that nothing in it closes the group.
        Regex::new(written).map_err(bad)?;
        let anchored = format!(r"\A(?:{written})\z");
        let regex = RegexBuilder::new(&anchored).size_limit(1 << 20).build().map_err(bad)?;
        Ok(Self::Pattern { written: written.to_owned(), regex })
    }

    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Pattern { regex, .. } => regex.is_match(text),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(exact) => exact,
            Self::Pattern { written, .. } => written,
        }
    }

    pub fn is_pattern(&self) -> bool {
        matches!(self, Self::Pattern { .. })
    }
}
