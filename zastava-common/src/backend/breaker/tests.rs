use std::time::Duration;

use super::{Breaker, FAILURES};
use crate::backend::BackendError;

fn why() -> BackendError {
    BackendError::Status { whom: "backend".into(), status: 500, detail: String::new() }
}

fn fail(breaker: &Breaker) {
    breaker.ask("backend").unwrap().failed(&why());
}

fn open(breaker: &Breaker) -> Option<Duration> {
    match breaker.ask("backend") {
        Err(BackendError::LeftAlone { wait, last, .. }) => {
            assert_eq!(*last, why());
            Some(wait)
        }
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_failures_in_a_row_open_it_and_a_success_between_does_not() {
    let breaker = Breaker::default();
    for _ in 0..3 {
        for _ in 1..FAILURES {
            fail(&breaker);
        }
        breaker.ask("backend").unwrap().succeeded();
    }
    for _ in 0..FAILURES {
        fail(&breaker);
    }
    assert_eq!(open(&breaker), Some(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn one_tries_again_and_each_failure_doubles_the_wait() {
    let breaker = Breaker::default();
    for _ in 0..FAILURES {
        fail(&breaker);
    }
    for wait in [2, 4, 8, 16, 30, 30] {
        tokio::time::advance(open(&breaker).unwrap()).await;
        let trial = breaker.ask("backend").unwrap();
        assert!(open(&breaker).is_some(), "the others do not try");
        trial.failed(&why());
        assert_eq!(open(&breaker), Some(Duration::from_secs(wait)));
    }
    tokio::time::advance(Duration::from_secs(30)).await;
    breaker.ask("backend").unwrap().succeeded();
    assert_eq!(open(&breaker), None);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_given_up_lets_another_one_try() {
    let breaker = Breaker::default();
    for _ in 0..FAILURES {
        fail(&breaker);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    drop(breaker.ask("backend").unwrap());
    breaker.ask("backend").unwrap().succeeded();
}

#[tokio::test(start_paused = true)]
async fn those_under_way_when_it_opens_do_not_open_it_wider() {
    let breaker = Breaker::default();
    let many: Vec<_> = (0..100).map(|_| breaker.ask("backend").unwrap()).collect();
    for leave in many {
        leave.failed(&why());
    }
    assert_eq!(open(&breaker), Some(Duration::from_secs(1)));
}
