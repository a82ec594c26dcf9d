//! Starts and ends.

use super::*;

#[test]
fn a_container_of_50_ms_has_one_start_and_one_stop_in_order() {
    let mut script = Script::new(settings());
    let init = process(100, &[50, 1]);
    script.described(description(1));
    script.made(1, 7);
    script.pass(45 * MS);
    script.exec(1, 7, &init);
    script.fact(1, 7, &init, library("/lib/ld.so"));
    script.pass(50 * MS);
    script.fact(1, 7, &init, exit_of(3 << 8));
    script.stopped(1, 3, script.now);
    script.removed(1, 7);
    script.idle(2);
    assert_eq!(script.told(), "xlSXE");
    let (start, fact) = script.starts()[0];
    assert_eq!(
        (name(start), start.origin.process, start.origin.boot_ns),
        ("name-1", init.key, BEGIN + 45 * MS)
    );
    assert_eq!(fact.observed, Observed::Live);
    assert_eq!(fact.program.as_ref().unwrap().path, "/bin/a");
    assert_eq!(fact.libraries.iter().map(|library| &library.path).collect::<Vec<_>>(), ["/lib/ld.so"]);
    let (stop, fact) = script.stops()[0];
    assert_eq!((name(stop), stop.process.as_ref().unwrap().key), ("name-1", init.key));
    assert_eq!(fact.how, Known::Is(HowEnded::Status(3 << 8)));
    assert_eq!((&fact.duration_ns, &fact.oom), (&Known::Is(50 * MS), &Known::Is(false)));
    let losses: Vec<_> = fact.losses.iter().map(|loss| (loss.cgroup_id, loss.kind, loss.count)).collect();
    let none = |kind| (Some(7), kind, 0);
    assert_eq!(losses, ["exec", "exit", "mapping", "file", "listen"].map(none));
}

#[test]
fn a_container_that_is_over_at_once_has_the_libraries_that_are_told_later() {
    let mut script = Script::new(settings());
    let init = process(100, &[50, 1]);
    script.described(description(1));
    script.made(1, 7);
    script.exec(1, 7, &init);
    script.fact(1, 7, &init, exit_of(0));
    script.pass(40 * MS);
    script.fact(1, 7, &init, library("/lib/ld.so"));
    script.stopped(1, 0, BEGIN + MS);
    // As docker does: it stamps the start when it has heard of it.
    let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(BEGIN + 2 * MS);
    script.hear(News::Started { id: id(1), pid: None, at: Some(at) });
    script.removed(1, 7);
    script.idle(5);
    assert_eq!(script.told(), "xXlSE");
    assert_eq!(script.starts()[0].1.libraries.len(), 1);
}

#[test]
fn a_start_waits_for_the_first_libraries_and_no_longer() {
    let mut script = Script::new(settings());
    let init = process(100, &[50, 1]);
    script.described(description(1));
    script.made(1, 7);
    script.exec(1, 7, &init);
    script.pass(9 * MS);
    assert_eq!(script.told(), "x");
    assert_eq!(script.containers.list()[0].state, State::Starting);
    script.fact(1, 7, &init, library("/lib/a.so"));
    script.pass(MS);
    assert_eq!(script.told(), "xlS");
    script.fact(1, 7, &init, library("/lib/b.so"));
    script.pass(SECOND);
    assert_eq!(script.told(), "xlSl");
    assert_eq!(script.starts()[0].1.libraries.len(), 1);
    let listed = &script.containers.list()[0];
    assert_eq!(
        (listed.state, listed.libraries.overlay_lower, listed.executions.total()),
        (State::Running, 2, 1)
    );
}

#[test]
fn a_start_names_so_many_libraries_and_counts_the_rest() {
    let mut script = Script::new(Settings { max_libs: Some(2), ..settings() });
    let init = process(100, &[50, 1]);
    script.described(description(1));
    script.exec(1, 7, &init);
    for number in 0..5 {
        script.fact(1, 7, &init, library(&format!("/lib/{number}.so")));
    }
    script.fact(1, 7, &init, library("/lib/1.so"));
    script.pass(10 * MS);
    let (_, start) = script.starts()[0];
    assert_eq!((start.libraries.len(), start.left_out), (2, 3));
}

#[test]
fn what_the_first_process_has_mapped_is_named_beside_what_the_kernel_told() {
    let mut script = Script::new(settings());
    let init = process(100, &[50, 1]);
    script.described(description(1));
    script.exec(1, 7, &init);
    script.fact(1, 7, &init, library("/lib/a.so"));
    script.now += 10 * MS;
    script.containers.tick(script.now);
    let opening = script.containers.next_start().unwrap();
    assert_eq!(opening.process.as_ref().unwrap().0.key, init.key);
    assert_eq!((&opening.known[..], opening.most), (&["/lib/a.so".to_owned()][..], Some(256)));
    let sample = Sample {
        libraries: vec![artifact("/lib/a.so"), artifact("/lib/b.so")],
        left_out: 4,
        reason: Some("cut"),
    };
    script.containers.start(&opening.id, sample, script.now);
    script.settle();
    let (_, start) = script.starts()[0];
    let paths: Vec<_> = start.libraries.iter().map(|library| library.path.as_str()).collect();
    assert_eq!(
        (paths, start.left_out, start.libraries_reason),
        (vec!["/lib/a.so", "/lib/b.so"], 4, Some("cut"))
    );
}

#[test]
fn an_end_while_the_first_process_is_looked_at_is_the_containers() {
    let mut script = Script::new(settings());
    let init = process(100, &[50, 1]);
    script.made(1, 7);
    script.described(description(1));
    script.exec(1, 7, &init);
    script.now += 10 * MS;
    script.containers.tick(script.now);
    let opening = script.containers.next_start().unwrap();
    script.fact(1, 7, &init, exit_of(3 << 8));
    script.removed(1, 7);
    script.containers.start(&opening.id, Sample::default(), script.now);
    script.idle(5);
    assert_eq!(script.told(), "xXSE");
    assert_eq!(script.stops()[0].1.how, Known::Is(HowEnded::Status(3 << 8)));
}

#[test]
fn the_exit_of_a_process_that_was_not_the_first_after_all_is_no_end() {
    let mut script = Script::unconnected(settings());
    script.hear(News::Connected(engine()));
    script.described(description(1));
    script.hear(News::Searched);
    let child = process(301, &[100, 50, 1]);
    script.exec(1, 7, &child);
    script.fact(1, 7, &child, exit_of(0));
    script.pass(MS);
    // Found by the enumeration.
    let init = Arc::new(Process { existing: true, ..Process::clone(&process(100, &[50, 1])) });
    script.exec(1, 7, &init);
    script.containers.enumerated(script.now);
    script.settle();
    script.idle(5);
    assert_eq!(script.told(), "xXxS");
    script.fact(1, 7, &init, exit_of(9));
    script.idle(5);
    assert_eq!(script.stops()[0].1.how, Known::Is(HowEnded::Status(9)));
}

#[test]
fn what_ran_before_is_told_once_after_all_of_it_was_looked_at() {
    let mut script = Script::unconnected(settings());
    script.hear(News::Connected(engine()));
    script.described(Description { pid: Some(100), ..description(1) });
    script.hear(News::Searched);
    // It does this and that before the enumeration comes to it, and somebody looks into it.
    let probe = process(300, &[50, 1]);
    script.exec(1, 7, &probe);
    for tgid in 301..310 {
        script.exec(1, 7, &process(tgid, &[100, 50, 1]));
    }
    script.pass(SECOND);
    assert_eq!(script.told(), "x".repeat(10));
    script.out.clear();
    let existing = |tgid| Arc::new(Process { existing: true, ..Process::clone(&process(tgid, &[50, 1])) });
    let init = existing(100);
    script.exec(1, 7, &init);
    script.fact(1, 7, &init, library("/lib/a.so"));
    script.containers.enumerated(script.now);
    script.settle();
    assert_eq!(script.told(), "xlS");
    let (start, fact) = script.starts()[0];
    assert_eq!((name(start), start.origin.process, fact.observed), ("name-1", init.key, Observed::Existing));
    assert_eq!(start.origin.boot_ns, init.key.start_boot_ns);
    assert_eq!(probe.entered.get(), Some(&Entered::ByExec));
    // The runtime comes again with all that it has.
    script.hear(News::Disconnected { engine: engine(), reason: reason::RUNTIME_LOST });
    script.hear(News::Connected(engine()));
    script.described(Description { pid: Some(100), ..description(1) });
    script.hear(News::Listed { engine: engine() });
    script.idle(5);
    assert_eq!(script.told(), "xlS");
}

#[test]
fn without_a_runtime_starts_and_stops_are_told_with_the_reason() {
    let mut script = Script::unconnected(Settings { asked: false, ..settings() });
    script.containers.enumerated(script.now);
    let init = process(100, &[50, 1]);
    script.made(1, 7);
    script.exec(1, 7, &init);
    assert_eq!(script.told(), "x", "nothing waits");
    script.pass(20 * MS);
    script.removed(1, 7);
    script.idle(4);
    assert_eq!(script.told(), "xSE");
    assert_eq!(name(script.starts()[0].0), reason::NOT_ASKED);
    let (_, stop) = script.stops()[0];
    assert_eq!(stop.how, Known::Not("the exit of its first process was not told"));
    assert_eq!(stop.duration_ns, Known::Is(20 * MS));
}

#[test]
fn a_late_word_of_memory_is_not_the_next_lifes() {
    let mut script = Script::new(settings());
    script.described(description(1));
    script.made(1, 7);
    script.exec(1, 7, &process(100, &[50, 1]));
    script.pass(20 * MS);
    script.removed(1, 7);
    script.idle(3);
    assert_eq!(script.told(), "xSE");
    script.hear(News::OutOfMemory { id: id(1) });
    script.made(1, 8);
    script.exec(1, 8, &process(200, &[50, 1]));
    script.pass(20 * MS);
    script.stopped(1, 0, script.now);
    script.removed(1, 8);
    script.idle(3);
    assert_eq!(script.told(), "xSExSE");
    assert_eq!(script.stops()[1].1.oom, Known::Is(false));
}

#[test]
fn a_container_that_only_the_runtime_saw_is_told_by_its_word() {
    let mut script = Script::new(settings());
    let started = SystemTime::UNIX_EPOCH + Duration::from_nanos(BEGIN - 5 * SECOND);
    script.described(Description { pid: Some(100), started: Some(started), ..description(1) });
    script.pass(900 * MS);
    script.read_ledger();
    script.read_ledger();
    assert_eq!(script.told(), "", "the kernel may be slow");
    script.pass(200 * MS);
    let (start, fact) = script.starts()[0];
    assert_eq!((name(start), start.origin.process.tgid, fact.observed), ("name-1", 100, Observed::ByRuntime));
    assert!(start.process.is_none() && fact.program.is_none());
    script.hear(News::OutOfMemory { id: id(1) });
    let exit =
        Stopped { code: Some(137), signal: Some(9), reason: Some("Error".to_owned()), ..Stopped::default() };
    script.hear(News::Stopped { id: id(1), exit });
    script.idle(3);
    assert_eq!(script.told(), "SE");
    let (_, stop) = script.stops()[0];
    assert_eq!((&stop.how, &stop.oom), (&Known::Is(HowEnded::Signal(9)), &Known::Is(true)));
    assert_eq!(stop.word.as_deref(), Some("Error"));
    // Told once, however often the runtime repeats it.
    script.described(Description { state: Described::Exited, ..description(1) });
    script.hear(News::Stopped { id: id(1), exit: Stopped::default() });
    script.idle(3);
    assert_eq!(script.told(), "SE");
}

#[test]
fn a_container_whose_program_was_never_executed_has_no_start() {
    let mut script = Script::new(settings());
    script.described(Description { state: Described::Created, ..description(1) });
    script.made(1, 7);
    script.hear(News::Started { id: id(1), pid: Some(100), at: None });
    script.stopped(1, 127, script.now + MS);
    script.removed(1, 7);
    script.idle(5);
    assert_eq!(script.told(), "");
    assert!(script.containers.list().is_empty());
    // Where the kernel lost execs of it, the runtime is believed.
    let lost = Loss { cgroup_id: Some(8), kind: "exec", count: 1, first_boot_ns: 1, last_boot_ns: 1 };
    script.described(Description { state: Described::Created, ..description(2) });
    script.made(2, 8);
    script.fact(2, 8, &process(100, &[]), Fact::Loss(lost));
    script.hear(News::Started { id: id(2), pid: Some(100), at: None });
    script.stopped(2, 0, script.now + MS);
    script.removed(2, 8);
    script.idle(5);
    assert_eq!(script.told(), "oSE");
    assert_eq!(script.stops()[0].1.losses[0].count, 1);
}

#[test]
fn a_sandbox_is_no_workload() {
    let mut script = Script::new(settings());
    let pause = process(100, &[50, 1]);
    script.made(1, 7);
    script.exec(1, 7, &pause);
    script.pass(100 * MS);
    script.described(Description { role: Role::Sandbox, ..description(1) });
    assert_eq!(script.told(), "x");
    assert!(script.containers.list().is_empty());
    script.fact(1, 7, &pause, exit_of(0));
    script.removed(1, 7);
    script.idle(3);
    assert_eq!(script.told(), "xX");
    assert_eq!(name(&script.out[0]), "name-1");
}

#[test]
fn a_restarted_container_has_a_start_and_a_stop_for_each_life() {
    let mut script = Script::new(settings());
    script.described(description(1));
    for round in 0..3_u32 {
        let (cgroup_id, init) = (7 + u64::from(round), process(100 + round, &[50, 1]));
        script.made(1, cgroup_id);
        script.hear(News::Started { id: id(1), pid: Some(100 + round), at: None });
        script.exec(1, cgroup_id, &init);
        script.pass(100 * MS);
        script.fact(1, cgroup_id, &init, exit_of(round << 8));
        script.removed(1, cgroup_id);
        let ended = script.now;
        // The next life begins before the runtime told of the end.
        if round == 1 {
            continue;
        }
        script.stopped(1, round, ended);
        script.idle(2);
    }
    // Of the second life.
    script.stopped(1, 1, BEGIN + 3 * SECOND);
    script.idle(4);
    assert_eq!(script.told(), "xSXExSXExSXE");
    let how: Vec<_> = script.stops().iter().map(|(_, stop)| stop.how.clone()).collect();
    assert_eq!(how, [0, 1 << 8, 2 << 8].map(|status| Known::Is(HowEnded::Status(status))));
}

#[test]
fn losses_that_are_told_after_the_end_are_in_the_stop() {
    let mut script = Script::new(settings());
    let init = process(100, &[50, 1]);
    let loss = |cgroup_id, kind, count| {
        Fact::Loss(Loss { cgroup_id, kind, count, first_boot_ns: 5, last_boot_ns: 6 })
    };
    script.described(description(1));
    script.made(1, 7);
    // Before its time.
    script.seen(Where::Unknown(reason::PROCESS_GONE), 0, &init, BEGIN, loss(None, "exec", 9));
    script.exec(1, 7, &init);
    script.pass(20 * MS);
    script.fact(1, 7, &init, exit_of(0));
    script.stopped(1, 0, script.now);
    script.removed(1, 7);
    script.pass(700 * MS);
    assert!(script.stops().is_empty(), "the ledger was not read yet");
    script.fact(1, 7, &init, loss(Some(7), "mapping", 3));
    script.seen(Where::Unknown(reason::PROCESS_GONE), 0, &init, BEGIN, loss(None, "exec", 2));
    script.read_ledger();
    let losses: Vec<_> =
        script.stops()[0].1.losses.iter().map(|loss| (loss.cgroup_id, loss.kind, loss.count)).collect();
    assert_eq!(losses[2], (Some(7), "mapping", 3));
    assert_eq!(losses[5..], [(None, "exec", 2)]);
}

#[test]
fn when_the_sensor_ends_what_waits_goes_on_and_who_lives_has_no_stop() {
    let mut script = Script::new(settings());
    let (one, two) = (process(100, &[50, 1]), process(200, &[50, 1]));
    script.made(1, 7);
    script.exec(1, 7, &one);
    script.described(description(2));
    script.made(2, 8);
    script.exec(2, 8, &two);
    script.fact(2, 8, &two, exit_of(0));
    script.containers.close(script.now);
    script.settle();
    assert_eq!((script.starts().len(), script.stops().len()), (2, 1));
    assert_eq!(name(script.stops()[0].0), "name-2");
    assert_eq!(script.containers.counts().waiting, 0);
}
