use std::time::Duration;

use super::digest::Digest;

/// Why something could not be learned. Never a fact about an image, except [`Fault::NotFound`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("{what} is not in the registry {host}")]
    NotFound { host: String, what: String },
    #[error(
        "the registry {host} refuses access to {what} ({status}): give the webhook credentials for it, or check those it has"
    )]
    Denied { host: String, what: String, status: u16 },
    #[error("the registry {host} asks to wait {}s before the next request", wait.as_secs())]
    RateLimited { host: String, wait: Duration },
    #[error("the registry {host} answers {status}")]
    Failing { host: String, status: u16 },
    #[error("cannot reach {host}: {cause}")]
    Unreachable { host: String, cause: String },
    #[error("no TLS with {host}: {cause}; a private authority goes into the registry's `caFile`")]
    Tls { host: String, cause: String },
    #[error("{host} did not answer within {}s", after.as_secs())]
    Timeout { host: String, after: Duration },
    #[error("{what} from {host} is larger than the {limit} bytes allowed")]
    TooLarge { host: String, what: String, limit: usize },
    #[error("{host} lists more {what} than the {limit} that are looked at")]
    TooMany { host: String, what: &'static str, limit: usize },
    #[error(
        "{host} gave for {expected} something else: its storage is damaged, or somebody changes it on the way"
    )]
    OtherContent { host: String, expected: Digest },
    #[error(
        "{host} is at {address}, where no registry is configured: private and local addresses need `private: true`"
    )]
    AddressRefused { host: String, address: String },
    #[error("the registry {host} sends us to {target}: {why}")]
    RedirectRefused { host: String, target: String, why: &'static str },
    #[error("{host} wants credentials sent to {realm}: {why}")]
    RealmRefused { host: String, realm: String, why: &'static str },
    #[error("{what} from {host} cannot be read: {cause}")]
    Malformed { host: String, what: String, cause: String },
    #[error("{what} is of a kind that is not supported: {kind}")]
    Unsupported { what: String, kind: String },
    #[error("too many requests to {host} are under way, or too much of their answers is in memory")]
    Busy { host: String },
}

impl Fault {
    /// A short word that stays: for metrics, audit annotations and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "image_not_found",
            Self::Denied { .. } => "registry_access",
            Self::RateLimited { .. } => "registry_rate_limited",
            Self::Failing { .. } => "registry_failing",
            Self::Unreachable { .. } => "registry_unreachable",
            Self::Tls { .. } => "registry_tls",
            Self::Timeout { .. } => "registry_timeout",
            Self::TooLarge { .. } | Self::TooMany { .. } => "registry_too_much",
            Self::OtherContent { .. } => "registry_other_content",
            Self::AddressRefused { .. } => "registry_address_refused",
            Self::RedirectRefused { .. } => "registry_redirect_refused",
            Self::RealmRefused { .. } => "registry_realm_refused",
            Self::Malformed { .. } => "registry_malformed",
            Self::Unsupported { .. } => "image_unsupported",
            Self::Busy { .. } => "registry_busy",
        }
    }

    /// Whether it is the registry's trouble and may pass, rather than something about what it holds or where it sends us:
    /// of these, somebody who may write to the repository can make as many as they like.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::RateLimited { .. }
            | Self::Failing { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Timeout { .. }
            | Self::Busy { .. } => true,
            // Whoever owns a repository says who may read it.
            Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::OtherContent { .. }
            | Self::AddressRefused { .. }
            | Self::RedirectRefused { .. }
            | Self::RealmRefused { .. }
            | Self::Malformed { .. }
            | Self::Unsupported { .. } => false,
        }
    }

    /// Whether it says nothing of what the registry holds, and may be otherwise soon: an outage, or what only others may
    /// read. Whatever depends on it is open.
    pub(crate) fn leaves_open(&self) -> bool {
        self.is_outage() || matches!(self, Self::Denied { .. })
    }

    /// Whether it is about what the registry holds and would be the same in a second: such an answer may be kept for a
    /// short time. Everything else may pass.
    pub fn is_definitive(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. } | Self::Unsupported { .. } | Self::TooLarge { .. } | Self::TooMany { .. }
        )
    }
}
