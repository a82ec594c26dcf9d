//! Who is who: containers, their processes, and what pretends to be one.

use super::*;

#[test]
fn who_was_brought_in_from_outside_is_told_from_the_entrypoints_own() {
    let mut script = Script::new(settings());
    script.described(description(1));
    script.made(1, 7);
    let init = process(100, &[50, 1]);
    let child = process(101, &[100, 50, 1]);
    let grandchild = process(102, &[101, 100, 50, 1]);
    let exec = process(200, &[60, 50, 1]);
    let below_exec = process(201, &[200, 60, 50, 1]);
    for process in [&init, &child, &grandchild, &exec, &below_exec] {
        script.exec(1, 7, process);
        script.pass(20 * MS);
    }
    let entered =
        [&init, &child, &grandchild, &exec, &below_exec].map(|process| process.entered.get().copied());
    let (entrypoint, exec) = (Some(Entered::ByEntrypoint), Some(Entered::ByExec));
    assert_eq!(entered, [entrypoint, entrypoint, entrypoint, exec, exec]);
}

#[test]
fn a_chain_that_was_cut_says_nothing_of_its_beginning() {
    let mut script = Script::new(settings());
    script.described(description(1));
    script.made(1, 7);
    script.exec(1, 7, &process(100, &[50, 1]));
    let parents: Vec<u32> = (110..).take(MAX_ANCESTORS).collect();
    let deep = process(200, &parents);
    script.exec(1, 7, &deep);
    assert_eq!(deep.entered.get(), None);
}

#[test]
fn the_runtimes_pid_decides_which_process_is_the_first() {
    let mut script = Script::new(settings());
    script.made(1, 7);
    // A hook that the runtime executes in the container before the entrypoint.
    script.exec(1, 7, &process(99, &[50, 1]));
    let init = process(100, &[50, 1]);
    script.exec(1, 7, &init);
    script.described(Description { pid: Some(100), ..description(1) });
    script.pass(20 * MS);
    assert_eq!(script.starts()[0].0.origin.process, init.key);
    script.fact(1, 7, &process(99, &[]), exit_of(0));
    script.idle(3);
    assert!(script.stops().is_empty(), "the hook's end is not the container's");
}

#[test]
fn a_runtime_that_executes_itself_in_the_new_cgroup_is_not_the_entrypoint() {
    let named = |process: &Arc<Process>, comm: &str, parent: &str| {
        let mut process = Process::clone(process);
        let exe = (comm == "exe").then(|| process.exe.clone());
        process.comm = comm.to_owned();
        process.ancestors = process
            .ancestors
            .iter()
            .enumerate()
            .map(|(place, of)| AncestorName {
                comm: if place == 0 { parent } else { "systemd" }.to_owned(),
                exe: exe.clone(),
                ..of.clone()
            })
            .collect();
        Arc::new(process)
    };
    let mut script = Script::new(settings());
    script.described(description(1));
    script.made(1, 7);
    // `/proc/self/exe init`, then its copy: as Linux 6.12 was seen to name it, and as others do.
    script.exec(1, 7, &named(&process(98, &[60, 50, 1]), "exe", "runc"));
    let mut copy = Process::clone(&named(&process(98, &[60, 50, 1]), "memfd:runc_clon", "runc"));
    copy.exe = "/memfd:runc_cloned:/proc/self/exe".to_owned();
    script.exec(1, 7, &Arc::new(copy));
    let runc = named(&process(98, &[60, 50, 1]), "runc", "runc");
    script.exec(1, 7, &runc);
    script.pass(30 * MS);
    script.fact(1, 7, &runc, exit_of(0));
    script.pass(10 * MS);
    // An image may well have a program of that name.
    let init = named(&process(100, &[50, 1]), "runc", "containerd-shim");
    script.exec(1, 7, &init);
    script.pass(SECOND);
    script.fact(1, 7, &init, exit_of(3 << 8));
    script.removed(1, 7);
    script.idle(3);
    assert_eq!(script.told(), "xxxXxSXE");
    assert_eq!(script.starts()[0].0.origin.process, init.key);
    assert_eq!(script.stops()[0].1.how, Known::Is(HowEnded::Status(3 << 8)));
    assert_eq!((runc.entered.get(), init.entered.get()), (None, Some(&Entered::ByEntrypoint)));
}

#[test]
fn an_entrypoint_whose_exec_was_lost_is_not_another_process() {
    let mut script = Script::new(settings());
    script.made(1, 7);
    script.described(Description { pid: Some(100), ..description(1) });
    script.exec(1, 7, &process(101, &[100, 50, 1]));
    script.pass(20 * MS);
    let (start, fact) = script.starts()[0];
    assert!(start.process.is_none() && fact.program.is_none());
    assert_eq!(start.origin.process.tgid, 100);
    script.fact(1, 7, &process(100, &[]), exit_of(9));
    script.idle(3);
    assert_eq!(script.stops()[0].1.how, Known::Is(HowEnded::Status(9)));
}

#[test]
fn a_runtimes_word_moves_nothing_to_another_container() {
    let mut script = Script::new(settings());
    // Says of both containers that their init is 100; the kernel saw it in the first.
    script.described(Description { pid: Some(100), ..description(1) });
    script.described(Description { pid: Some(100), ..description(2) });
    script.made(1, 7);
    script.made(2, 8);
    script.exec(1, 7, &process(100, &[50, 1]));
    script.exec(2, 8, &process(200, &[50, 1]));
    script.pass(20 * MS);
    let names: Vec<_> =
        script.out.iter().map(|observation| (name(observation), observation.origin.cgroup_id)).collect();
    assert!(
        names.iter().all(|(name, cgroup)| *cgroup == Some(if *name == "name-1" { 7 } else { 8 })),
        "{names:?}"
    );
}

#[test]
fn a_cgroup_made_inside_a_container_with_anothers_name_is_still_that_container() {
    let mut script = Script::new(settings());
    script.described(description(1));
    script.described(description(2));
    script.made(1, 7);
    script.exec(1, 7, &process(100, &[50, 1]));
    let forged = format!("/docker/{}/docker/{}", id(1), id(2));
    let place = place(forged.as_bytes());
    let liar = Arc::new(Process { comm: id(2).to_string(), ..Process::clone(&process(101, &[100, 50, 1])) });
    script.seen(place, 9, &liar, script.now, Fact::Exec { program: artifact("/x"), script: None });
    script.pass(20 * MS);
    assert!(script.out.iter().all(|observation| name(observation) == "name-1"));
    assert_eq!(script.starts().len(), 1);
    let Place::Container(container) = &script.out[1].container else { panic!() };
    assert_eq!(container.id.nested_claim.as_deref(), Some(&*id(2)));
}

#[test]
fn late_events_of_a_container_that_is_gone_have_its_name_for_a_while() {
    let mut script = Script::new(settings());
    let init = process(100, &[50, 1]);
    script.described(description(1));
    script.made(1, 7);
    script.exec(1, 7, &init);
    script.fact(1, 7, &init, exit_of(0));
    script.stopped(1, 0, script.now);
    script.removed(1, 7);
    script.hear(News::Removed { id: id(1) });
    script.idle(59);
    script.fact(1, 7, &process(101, &[]), exit_of(0));
    assert_eq!(name(script.out.last().unwrap()), "name-1");
    script.idle(3);
    assert_eq!(script.containers.counts().entries, 0);
    assert_eq!((script.starts().len(), script.stops().len()), (1, 1));
}

#[test]
fn what_the_runtime_has_no_more_when_it_comes_back_is_forgotten() {
    let mut script = Script::new(settings());
    for number in 1..=3 {
        script.described(Description { state: Described::Created, ..description(number) });
    }
    script.made(3, 7);
    script.exec(3, 7, &process(100, &[50, 1]));
    script.hear(News::Disconnected { engine: engine(), reason: reason::RUNTIME_LOST });
    script.hear(News::Connected(engine()));
    script.described(Description { state: Described::Created, ..description(1) });
    script.hear(News::Listed { engine: engine() });
    script.idle(62);
    let mut left: Vec<_> = script.containers.table.iter().map(|entry| Arc::clone(&entry.id)).collect();
    left.sort();
    // The kernel knows better of the third.
    assert_eq!(left, [id(1), id(3)]);
    assert!(script.stops().is_empty());
}
