//! Memory does not grow with what comes and goes.

use super::*;
use crate::container::flat::stays_flat;

const LIFETIMES: u64 = 200_000;

#[test]
fn two_hundred_thousand_lifetimes_leave_what_is_kept_within_its_bounds() {
    let mut script = Script::new(settings());
    let (mut starts, mut stops) = (0_u64, 0_u64);
    let mut told = vec![false; usize::try_from(LIFETIMES).unwrap()];
    let alone = stays_flat(LIFETIMES, |number| {
        let cgroup_id = 10_000 + number;
        let init = process(100 + u32::try_from(number % 50_000).unwrap(), &[50, 1]);
        script.made(number, cgroup_id);
        // Of ten, one is described late and one never.
        if number % 10 > 1 {
            script.described(description(number));
        }
        script.exec(number, cgroup_id, &init);
        script.fact(number, cgroup_id, &init, library("/lib/a.so"));
        script.pass(10 * MS);
        if number % 10 == 1 {
            script.described(description(number));
        }
        script.fact(number, cgroup_id, &init, exit_of(0));
        script.stopped(number, 0, script.now);
        script.removed(number, cgroup_id);
        if number % 4 != 0 {
            script.hear(News::Removed { id: id(number) });
        }
        if number % 100 == 99 {
            script.read_ledger();
        }
        starts += script.starts().len() as u64;
        stops += script.stops().len() as u64;
        for (start, _) in script.starts() {
            let number = usize::try_from(start.origin.cgroup_id.unwrap() - 10_000).unwrap();
            assert!(!std::mem::replace(&mut told[number], true), "a start told twice");
        }
        script.out.clear();
        let asks = script.containers.take_asks();
        assert!(asks.len() <= 1);
        let Containers { table, shared } = &script.containers;
        assert!(table.len() <= 1024 && table.tombstones() <= 1024);
        assert!(shared.deadlines.len() <= 4 * 1024, "{}", shared.deadlines.len());
        assert!(shared.room.waiting() <= 64 && shared.opening.is_empty());
    });
    if !alone {
        return;
    }
    script.idle(70);
    stops += script.stops().len() as u64;
    starts += script.starts().len() as u64;
    let counts = script.containers.counts();
    // What ended and was not told yet when its place was needed is told too.
    assert_eq!((starts, stops), (LIFETIMES, LIFETIMES), "{counts:?}");
    assert_eq!((counts.entries, counts.waiting, script.containers.shared.deadlines.len()), (0, 0, 0));
    assert!(counts.tombstones_cut > 0, "{counts:?}");
}

#[test]
fn ten_thousand_stale_containers_cost_no_event_and_make_room() {
    let mut script = Script::new(settings());
    script.described(description(1));
    script.made(1, 7);
    script.exec(1, 7, &process(100, &[50, 1]));
    for number in 10..10_010 {
        script.described(Description { state: Described::Exited, ..description(number) });
        script.hear(News::Stopped { id: id(number), exit: Stopped::default() });
    }
    for number in 20_000..30_000 {
        script.described(Description { state: Described::Created, ..description(number) });
    }
    script.pass(SECOND);
    assert_eq!(script.told(), "xS");
    assert!(script.containers.counts().entries <= 1024);
    assert_eq!(script.containers.list().len(), 1, "who lives is not forgotten for who does not");
}

#[test]
fn a_container_that_is_restarted_for_ever_keeps_its_place_alone() {
    let mut script = Script::new(settings());
    script.described(description(1));
    for round in 0..5000_u64 {
        let init = process(100 + u32::try_from(round).unwrap(), &[50, 1]);
        script.made(1, 7 + round);
        script.exec(1, 7 + round, &init);
        script.pass(20 * MS);
        script.fact(1, 7 + round, &init, exit_of(0));
        script.removed(1, 7 + round);
        script.read_ledger();
        script.read_ledger();
        script.pass(SECOND);
    }
    assert_eq!((script.starts().len(), script.stops().len()), (5000, 5000));
    let Containers { table, shared } = &script.containers;
    assert_eq!(table.len(), 1);
    assert!(table.tombstones() <= 1024 && shared.deadlines.len() < 16);
}
