//! Leaves alone who fails again and again.

#[cfg(test)]
mod tests;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::error::BackendError;

/// Failures in a row before it is left alone.
const FAILURES: u32 = 5;

/// How long, the first time; each further failure doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);

const LONGEST_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    /// One may try whether it works again; the others wait for what it learns.
    trying: bool,
    last: BackendError,
}

/// Leave to ask, which must be answered by success or failure. Dropped, it counts as neither.
#[must_use]
#[derive(Debug)]
pub(super) struct Leave<'a> {
    breaker: &'a Breaker,
    trial: bool,
}

impl Breaker {
    pub(super) fn ask(&self, whom: &str) -> Result<Leave<'_>, BackendError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = state.failures;
        let Some(open) = &mut state.open else { return Ok(Leave { breaker: self, trial: false }) };
        let wait = open.until.saturating_duration_since(Instant::now());
        if wait.is_zero() && !open.trying {
            open.trying = true;
            return Ok(Leave { breaker: self, trial: true });
        }
        let last = Box::new(open.last.clone());
        Err(BackendError::LeftAlone { whom: whom.to_owned(), failures, wait, last })
    }
}

impl Leave<'_> {
    pub(super) fn succeeded(self) {
        *self.breaker.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    pub(super) fn failed(self, why: &BackendError) {
        let mut state = self.breaker.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that were under way when it opened do not open it wider.
        if state.open.is_some() && !self.trial {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures < FAILURES {
            return;
        }
        let doublings = state.failures.saturating_sub(FAILURES).min(8);
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        state.open = Some(Open { until: Instant::now() + wait, trying: false, last: why.clone() });
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if !self.trial {
            return;
        }
        let mut state = self.breaker.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &mut state.open {
            open.trying = false;
        }
    }
}
