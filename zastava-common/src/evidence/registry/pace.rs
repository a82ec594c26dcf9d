use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::evidence::Fault;

/// After a failure without a word about when to come back.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// After "too many requests" without such a word.
pub(super) const AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// However long a registry asks to wait.
const MOST: Duration = Duration::from_mins(1);

/// Leaves a registry alone that has trouble: what is asked meanwhile fails at once with the same answer. A registry has
/// one for itself and one for each kind of question, since some break down at a kind that they do not know.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rest: Mutex<Option<(Instant, Fault)>>,
}

impl Pace {
    /// Whether a request may be made now, else why not.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*rest {
            Some((until, fault)) if Instant::now() < *until => Err(fault.clone()),
            Some(_) => {
                *rest = None;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Remembers what the registry answered, where it is a reason to leave it alone, for as long as it `asked`.
    pub(super) fn heed(&self, fault: &Fault, asked: Option<Duration>) {
        let wait = match fault {
            Fault::RateLimited { .. } => asked.unwrap_or(AFTER_REFUSAL),
            Fault::Failing { .. } => asked.unwrap_or(AFTER_FAILURE),
            Fault::Unreachable { .. } | Fault::Tls { .. } | Fault::Timeout { .. } => AFTER_FAILURE,
            _ => return,
        };
        let until = Instant::now() + wait.min(MOST);
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, fault.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing() -> Fault {
        Fault::Failing { host: "reg.test".into(), status: 500 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_in_trouble_is_left_alone_for_a_second() {
        let pace = Pace::default();
        assert_eq!(pace.check(), Ok(()));
        pace.heed(&failing(), None);
        assert_eq!(pace.check(), Err(failing()));
        tokio::time::advance(AFTER_FAILURE).await;
        assert_eq!(pace.check(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_is_left_alone_as_long_as_it_asks_but_not_for_ever() {
        let pace = Pace::default();
        let limited = Fault::RateLimited { host: "reg.test".into(), wait: Duration::from_hours(2) };
        pace.heed(&limited, Some(Duration::from_hours(2)));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(pace.check(), Err(limited));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pace.check(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_about_one_image_says_nothing_about_the_registry() {
        let pace = Pace::default();
        pace.heed(&Fault::NotFound { host: "reg.test".into(), what: "app:1".into() }, None);
        assert_eq!(pace.check(), Ok(()));
    }
}
