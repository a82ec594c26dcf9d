//! The waiting room.

use super::*;

#[test]
fn events_wait_for_their_names_and_others_go_on() {
    let mut script = Script::new(settings());
    let (init, other) = (process(100, &[50, 1]), process(200, &[50, 1]));
    script.described(description(2));
    script.exec(1, 7, &init);
    script.fact(1, 7, &init, listen());
    script.exec(2, 8, &other);
    script.seen(Where::Host, 1, &other, script.now, listen());
    assert_eq!(script.told(), "xn");
    assert_eq!(script.containers.take_asks(), [Ask { id: id(1), by_user: false }]);
    script.pass(300 * MS);
    script.described(description(1));
    script.fact(1, 7, &init, library("/l"));
    assert_eq!(script.told(), "xnSxnSl", "in their order, and the start behind them");
    assert!(script.out[3..].iter().all(|observation| name(observation) == "name-1"));
    let counts = script.containers.counts();
    assert_eq!((counts.held, counts.described, counts.waiting, counts.waiting_bytes), (2, 2, 0, 0));
}

#[test]
fn nobody_waits_longer_than_the_time_and_none_waits_again() {
    let mut script = Script::new(settings());
    let init = process(100, &[50, 1]);
    script.exec(1, 7, &init);
    script.pass(499 * MS);
    script.fact(1, 7, &init, listen());
    assert_eq!(script.told(), "");
    script.pass(MS);
    assert_eq!(script.told(), "xnS");
    script.fact(1, 7, &init, library("/l"));
    assert_eq!(script.told(), "xnSl");
    assert!(script.out.iter().all(|observation| name(observation) == reason::NOT_IN_TIME));
    let counts = script.containers.counts();
    assert_eq!((counts.held, counts.out_of_time), (2, 2));
    // Late is better than never.
    script.described(description(1));
    script.fact(1, 7, &init, listen());
    assert_eq!(name(script.out.last().unwrap()), "name-1");
}

#[test]
fn a_runtime_that_does_not_know_the_container_ends_the_waiting() {
    let mut script = Script::new(settings());
    script.exec(1, 7, &process(100, &[50, 1]));
    script.hear(News::Refused { id: id(1), reason: reason::RUNTIME_UNKNOWN });
    script.pass(10 * MS);
    assert_eq!(script.told(), "xS");
    assert!(script.out.iter().all(|observation| name(observation) == reason::RUNTIME_UNKNOWN));
    assert_eq!(script.containers.counts().undescribed, 1);
}

#[test]
fn a_question_that_finds_no_room_ends_the_waiting() {
    let mut script = Script::new(settings());
    script.exec(1, 7, &process(100, &[50, 1]));
    script.containers.not_asked(&id(1), script.now);
    script.settle();
    assert_eq!(name(&script.out[0]), reason::ASKS_EXHAUSTED);
}

#[test]
fn when_the_last_runtime_is_lost_nobody_waits() {
    let mut script = Script::new(settings());
    let init = process(100, &[50, 1]);
    script.exec(1, 7, &init);
    script.hear(News::Disconnected { engine: engine(), reason: reason::RUNTIME_LOST });
    script.exec(2, 8, &process(200, &[50, 1]));
    assert_eq!(script.told(), "xx");
    assert!(script.out.iter().all(|observation| name(observation) == reason::RUNTIME_LOST));
    script.hear(News::Connected(engine()));
    script.exec(3, 9, &process(300, &[50, 1]));
    assert_eq!(script.containers.counts().waiting, 1);
}

#[test]
fn what_finds_no_room_goes_on_behind_what_waits_of_its_container() {
    let mut script = Script::new(Settings { hold_events: 16, ..settings() });
    let init = process(100, &[50, 1]);
    script.exec(1, 7, &init);
    for _ in 0..3 {
        script.fact(1, 7, &init, listen());
    }
    // A quarter of the room is full.
    assert_eq!(script.told(), "");
    script.fact(1, 7, &init, library("/l"));
    assert_eq!(script.told(), "xnnnl");
    assert!(script.out.iter().all(|observation| name(observation) == reason::NO_ROOM));
    let counts = script.containers.counts();
    assert_eq!((counts.refused, counts.refused_waiting, counts.waiting), (1, 4, 0));
    // Others have theirs.
    script.exec(2, 8, &process(200, &[50, 1]));
    assert_eq!(script.containers.counts().waiting, 1);
}

#[test]
fn the_room_is_bounded_in_bytes_too() {
    let mut script = Script::new(Settings { hold_bytes: 64 << 10, ..settings() });
    let init = process(100, &[50, 1]);
    script.exec(1, 7, &init);
    script.fact(1, 7, &init, library(&"/x".repeat(7 << 10)));
    assert!(script.containers.counts().waiting_bytes > 14 << 10);
    script.fact(1, 7, &init, library(&"/y".repeat(7 << 10)));
    assert_eq!(script.told(), "xll");
    assert_eq!(script.containers.counts().waiting_bytes, 0);
}

#[test]
fn before_the_runtimes_were_searched_events_wait_for_them() {
    let mut script = Script::unconnected(settings());
    script.exec(1, 7, &process(100, &[50, 1]));
    assert_eq!(script.told(), "");
    script.hear(News::Searched);
    assert_eq!(script.told(), "x");
    assert_eq!(name(&script.out[0]), reason::NO_RUNTIME);
}
