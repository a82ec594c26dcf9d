//! Whether the sensor sees what it should see: what it still waits for, and what it does without.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

/// Things done without that are told one by one; of more, only the number is.
const MAX_DEGRADED: usize = 64;

/// What must have happened before the sensor is ready, in order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The kernel programs (or perf) are attached.
    Attached,
    /// What ran before is known.
    Enumerated,
    /// Consumers can connect.
    Serving,
}

impl Step {
    const ALL: [Self; 3] = [Self::Attached, Self::Enumerated, Self::Serving];
}

/// Shared by the stages that change it and the server that tells it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    reached: [bool; Step::ALL.len()],
    stopping: bool,
    degraded: BTreeMap<String, String>,
    untold: u64,
}

/// The state at one moment.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub ready: bool,
    /// Steps not reached yet.
    pub waiting_for: Vec<Step>,
    pub stopping: bool,
    /// Part to reason.
    pub degraded: BTreeMap<String, String>,
    /// Parts that found no room in `degraded`.
    pub degraded_untold: u64,
}

impl Readiness {
    pub fn reached(&self, step: Step) {
        self.state().reached[step as usize] = true;
    }

    /// The sensor works, but without `part`.
    pub fn degraded(&self, part: &str, reason: &str) {
        let mut state = self.state();
        if state.degraded.len() < MAX_DEGRADED || state.degraded.contains_key(part) {
            state.degraded.insert(part.to_owned(), reason.to_owned());
        } else {
            state.untold += 1;
        }
    }

    /// From here on the sensor is not ready any more.
    pub fn stopping(&self) {
        self.state().stopping = true;
    }

    pub fn report(&self) -> Report {
        let state = self.state();
        let waiting_for: Vec<_> =
            Step::ALL.into_iter().filter(|step| !state.reached[*step as usize]).collect();
        Report {
            ready: waiting_for.is_empty() && !state.stopping,
            waiting_for,
            stopping: state.stopping,
            degraded: state.degraded.clone(),
            degraded_untold: state.untold,
        }
    }

    /// A thread that panicked while it held the lock left whole values behind: each change is one assignment.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_is_ready_after_all_steps_and_not_while_it_stops() {
        let readiness = Readiness::default();
        assert_eq!(readiness.report().waiting_for, Step::ALL);
        readiness.reached(Step::Serving);
        readiness.reached(Step::Attached);
        assert_eq!(readiness.report().waiting_for, [Step::Enumerated]);
        readiness.reached(Step::Enumerated);
        assert!(readiness.report().ready);
        readiness.stopping();
        assert!(!readiness.report().ready);
    }

    #[test]
    fn a_degraded_sensor_is_ready_and_tells_what_it_does_without() {
        let readiness = Readiness::default();
        for step in Step::ALL {
            readiness.reached(step);
        }
        for part in 0..70 {
            readiness.degraded(&format!("hook {part:02}"), "the kernel has no such function");
        }
        let report = readiness.report();
        assert!(report.ready);
        assert_eq!((report.degraded.len(), report.degraded_untold), (64, 6));
    }
}
