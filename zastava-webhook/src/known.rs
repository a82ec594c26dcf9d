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
    /// A registry that refuses access does so for want of the secret that could not be read, or because of the one that
    /// the pod brought (`own`), which is the doing of whoever named it.
    #[must_use]
    pub fn explained_by(mut self, secret: Option<&Missing>, own: bool) -> Self {
        let explained = |missing: &mut Missing| match (&*missing, secret) {
            (Missing::Fault(Fault::Denied { .. } | Fault::NotFound { .. }), Some(secret)) => {
                *missing = secret.clone();
            }
            (Missing::Fault(fault @ Fault::Denied { .. }), None) if own => {
                let why = format!("with the pod's pull secret {fault}");
                *missing = Missing::PullSecret { why, outage: false };
            }
            _ => {}
        };
        if let Some(Err(missing)) = &mut self.digest {
            explained(missing);
        }
        if let Some(Err(missing)) = &mut self.evidence {
            explained(missing);
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
    /// The backend's, in words. No outage where it does not take the question.
    Backend { why: String, outage: bool },
    /// A pull secret's, in words. An outage is one of the API server alone.
    PullSecret { why: String, outage: bool },
    /// As many images as may be are being looked up, of the registry or of all.
    Busy,
    /// Time was up.
    Deadline,
    /// The look-up panicked.
    Panic,
}

impl Missing {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Fault(fault) => fault.into(),
            Self::Backend { .. } => Reason::BackendUnavailable,
            Self::PullSecret { .. } => Reason::PullSecret,
            Self::Busy => Reason::RegistryBusy,
            Self::Deadline => Reason::DeadlineExceeded,
            Self::Panic => Reason::LookUpPanicked,
        }
    }

    /// Whether it may pass by itself. What somebody who may push could have made so is no outage, and neither is a definite
    /// answer.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Fault(fault) => fault.is_outage(),
            Self::Backend { outage, .. } | Self::PullSecret { outage, .. } => *outage,
            Self::Busy | Self::Deadline => true,
            // Whoever wrote what it read could have made it so.
            Self::Panic => false,
        }
    }

    /// Whether it would be the same in a second: there is no such image, or more of it than is looked at.
    pub fn is_definitive(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.is_definitive())
    }

    /// A sentence with what exactly happened.
    pub fn detail(&self) -> String {
        match self {
            Self::Fault(fault) => fault.to_string(),
            Self::Backend { why, .. } | Self::PullSecret { why, .. } => why.clone(),
            Self::Busy => {
                "as many images are being looked up as may be, of its registry or of all".to_owned()
            }
            Self::Deadline => "time was up".to_owned(),
            Self::Panic => "looking it up panicked, which is a fault of this program".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied() -> Known {
        let fault = Fault::Denied { host: "reg.test".to_owned(), what: "app".to_owned(), status: 401 };
        Known { digest: Some(Err(Missing::Fault(fault))), ..Known::default() }
    }

    fn outage(known: &Known) -> bool {
        matches!(&known.digest, Some(Err(missing)) if missing.is_outage())
    }

    #[test]
    fn a_registry_that_refuses_access_makes_no_outage_whatever_a_pod_names() {
        assert!(!outage(&denied().explained_by(None, false)));
        assert!(!outage(&denied().explained_by(None, true)));
        let secret = |outage| Missing::PullSecret { why: "none".to_owned(), outage };
        assert!(!outage(&denied().explained_by(Some(&secret(false)), false)));
        assert!(outage(&denied().explained_by(Some(&secret(true)), false)));
    }
}
