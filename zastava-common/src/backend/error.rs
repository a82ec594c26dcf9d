use std::time::Duration;

/// Why the backend gave no verdict. None of these is a verdict itself.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BackendError {
    #[error("cannot reach {whom}: {cause}")]
    Unreachable { whom: String, cause: String },
    #[error("no TLS with {whom}: {cause}")]
    Tls { whom: String, cause: String },
    #[error("{whom} did not answer within {}s", after.as_secs())]
    Timeout { whom: String, after: Duration },
    #[error("{whom} answers {status}{}", said(.detail))]
    Status { whom: String, status: u16, detail: String },
    /// Others' questions it may take.
    #[error("{whom} does not take the question: {status}")]
    Question { whom: String, status: u16 },
    #[error("what {whom} answers cannot be used: {cause}")]
    Answer { whom: String, cause: String },
    #[error("{whom} failed {failures} times in a row and is left alone for {}s: {last}", wait.as_secs())]
    LeftAlone { whom: String, failures: u32, wait: Duration, last: Box<Self> },
    #[error("the settings cannot be used: {0}")]
    Settings(String),
}

impl BackendError {
    /// A short word that stays.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Status { .. } => "status",
            Self::Question { .. } => "question",
            Self::Answer { .. } => "answer",
            Self::LeftAlone { .. } => "left_alone",
            Self::Settings(_) => "settings",
        }
    }

    /// Whether it may pass by itself, and is not the doing of whoever asked.
    pub fn is_outage(&self) -> bool {
        !matches!(self, Self::Question { .. })
    }
}

fn said(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}
