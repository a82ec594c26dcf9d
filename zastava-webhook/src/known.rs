//! What was found out about one image, and what could not be.

use std::sync::Arc;

use zastava_common::evidence::{Digest, Evidence, Fault, ImageReference, Layers};

use crate::reason::Reason;

/// `None`: it was not asked for.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What the reference stood for when it was looked at.
    pub digest: Option<Result<Digest, Missing>>,
    pub evidence: Option<Result<Arc<Evidence>, Missing>>,
    pub verdict: Option<Result<Arc<Verdict>, Missing>>,
    /// Layers of the bases that the policy allows.
    pub bases: Vec<Base>,
}

/// One of them, by digest.
pub type Base = (ImageReference, Result<Arc<Vec<Layers>>, Missing>);

impl Known {
    /// A registry that refuses access does so for want of the secret that could not be read.
    #[must_use]
    pub fn explained_by(mut self, secret: Option<&Missing>) -> Self {
        let Some(secret) = secret else { return self };
        let refused = |missing: &Missing| {
            matches!(missing, Missing::Fault(Fault::Denied { .. } | Fault::NotFound { .. }))
        };
        match (&mut self.digest, &mut self.evidence) {
            (Some(Err(missing)), _) | (_, Some(Err(missing))) if refused(missing) => {
                *missing = secret.clone();
            }
            _ => {}
        }
        self
    }
}

/// What the backend says about a digest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    pub word: VerdictWord,
    /// The backend's own words.
    pub reasons: Vec<String>,
    /// Its catalogue has an SBOM.
    pub has_sbom: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VerdictWord {
    Pass,
    Warn,
    Fail,
    Unknown,
}

/// Why something is not known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Missing {
    /// Of a registry.
    Fault(Fault),
    /// The backend's, in words.
    Backend(String),
    /// A pull secret's, in words.
    PullSecret(String),
    /// As many images as may be are being looked up.
    Busy,
    /// Time was up.
    Deadline,
}

impl Missing {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Fault(fault) => fault.into(),
            Self::Backend(_) => Reason::BackendUnavailable,
            Self::PullSecret(_) => Reason::PullSecret,
            Self::Busy => Reason::RegistryBusy,
            Self::Deadline => Reason::DeadlineExceeded,
        }
    }

    /// Whether it may pass by itself. What somebody who may push could have made so is no outage, and neither is a definite
    /// answer.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.is_outage(),
            Self::Backend(_) | Self::PullSecret(_) | Self::Busy | Self::Deadline => true,
        }
    }

    /// Whether it would be the same in a second: there is no such image.
    pub fn is_definitive(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.is_definitive())
    }

    /// A sentence with what exactly happened.
    pub fn detail(&self) -> String {
        match self {
            Self::Fault(fault) => fault.to_string(),
            Self::Backend(why) | Self::PullSecret(why) => why.clone(),
            Self::Busy => "too many images are being looked up".to_owned(),
            Self::Deadline => "time was up".to_owned(),
        }
    }
}
