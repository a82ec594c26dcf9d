use std::{error::Error, io, net::IpAddr, time::Duration};

use super::connect::ConnectError;

/// Why there is no answer. Whoever asked knows whom.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NetError {
    #[error("its address {0} is not allowed")]
    AddressRefused(IpAddr),
    #[error("{0}")]
    Connect(String),
    #[error("{0}")]
    Tls(String),
    #[error("no answer within {}s", .0.as_secs())]
    Timeout(Duration),
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// Too much of other answers is in memory.
    #[error("no room for the answer")]
    NoRoom,
    #[error("{0}")]
    Malformed(String),
}

impl NetError {
    /// Finds what it was among the causes.
    pub(super) fn classify(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        let mut innermost = error.to_string();
        while let Some(error) = cause {
            match error.downcast_ref() {
                Some(ConnectError::Refused(address)) => return Self::AddressRefused(*address),
                Some(other) => return Self::Connect(other.to_string()),
                None => {}
            }
            if let Some(error) = error.downcast_ref::<rustls::Error>() {
                return Self::Tls(error.to_string());
            }
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(inner) = inner
                && let Some(error) = find_tls(inner)
            {
                return Self::Tls(error);
            }
            if let Some(error) = error.downcast_ref::<hyper::Error>()
                && error.is_parse()
            {
                return Self::Malformed(error.to_string());
            }
            innermost = error.to_string();
            cause = error.source();
        }
        Self::Connect(innermost)
    }
}

/// An I/O error does not tell what it holds as its source.
fn find_tls(error: &(dyn Error + Send + Sync + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(error.to_string());
    }
    find_tls(error.downcast_ref::<io::Error>()?.get_ref()?)
}
