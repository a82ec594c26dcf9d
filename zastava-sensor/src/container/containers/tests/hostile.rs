//! A runtime that says anything.

use proptest::prelude::*;

use super::*;

fn news() -> impl Strategy<Value = News> {
    let engines = prop_oneof![Just("/a.sock"), Just("/b.sock")].prop_map(|socket| {
        Arc::new(Engine {
            kind: EngineKind::Containerd,
            version: "\u{0}\"".to_owned(),
            socket: socket.into(),
        })
    });
    let ids = prop_oneof![(0..4_u64).prop_map(id), Just("".into()), Just("x\"\n\u{202e}".into())];
    let times =
        proptest::option::of(any::<u64>().prop_map(|ns| SystemTime::UNIX_EPOCH + Duration::from_nanos(ns)));
    let states = prop_oneof![Just(Described::Created), Just(Described::Running), Just(Described::Exited)];
    let roles = prop_oneof![Just(Role::Workload), Just(Role::Sandbox)];
    let pids = proptest::option::of(prop_oneof![Just(0), Just(100), any::<u32>()]);
    let described = (engines.clone(), ids.clone(), states, roles, pids.clone(), times.clone()).prop_map(
        |(engine, id, state, role, pid, started)| {
            let name = "\n\"\u{1b}[2J".repeat(400);
            let described = Description { engine, id, role, state, name, pid, started, ..description(0) };
            News::Described(Arc::new(described))
        },
    );
    prop_oneof![
        engines.clone().prop_map(News::Connected),
        described,
        (ids.clone(), pids, times.clone()).prop_map(|(id, pid, at)| News::Started { id, pid, at }),
        (ids.clone(), any::<Option<u32>>(), times).prop_map(|(id, code, at)| News::Stopped {
            id,
            exit: Stopped { code, at, ..Stopped::default() }
        }),
        ids.clone().prop_map(|id| News::Removed { id }),
        ids.clone().prop_map(|id| News::OutOfMemory { id }),
        ids.prop_map(|id| News::Refused { id, reason: reason::RUNTIME_REFUSED }),
        engines.clone().prop_map(|engine| News::Listed { engine }),
        engines.prop_map(|engine| News::Disconnected { engine, reason: reason::RUNTIME_LOST }),
        Just(News::Searched),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    News(News),
    Made(u64, u64),
    Removed(u64, u64),
    Exec(u64, u64, u32),
    Exit(u64, u64, u32),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (numbers, cgroups, pids) = (0..4_u64, 10..14_u64, 100..104_u32);
    let step = prop_oneof![
        4 => news().prop_map(Step::News),
        1 => (numbers.clone(), cgroups.clone()).prop_map(|(number, cgroup)| Step::Made(number, cgroup)),
        1 => (numbers.clone(), cgroups.clone()).prop_map(|(number, cgroup)| Step::Removed(number, cgroup)),
        2 => (numbers.clone(), cgroups.clone(), pids.clone()).prop_map(|(n, c, pid)| Step::Exec(n, c, pid)),
        1 => (numbers, cgroups, pids).prop_map(|(n, c, pid)| Step::Exit(n, c, pid)),
        2 => (0..3 * SECOND).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_that_is_told_panics_loses_an_event_or_tells_an_end_without_its_start(steps in steps()) {
        let mut script = Script::new(Settings { hold_events: 16, entries: 3, ..settings() });
        let mut sent = 0;
        for step in steps {
            match step {
                Step::News(news) => script.hear(news),
                Step::Made(number, cgroup) => script.made(number, cgroup),
                Step::Removed(number, cgroup) => script.removed(number, cgroup),
                Step::Exec(number, cgroup, pid) => { script.exec(number, cgroup, &process(pid, &[50, 1])); sent += 1; }
                Step::Exit(number, cgroup, pid) => { script.fact(number, cgroup, &process(pid, &[]), exit_of(0)); sent += 1; }
                Step::Pass(ns) => { script.pass(ns); script.read_ledger(); }
            }
            let counts = script.containers.counts();
            prop_assert!(counts.entries <= 3 && counts.waiting <= 16);
        }
        script.containers.close(script.now);
        script.settle();
        let told = script.told();
        prop_assert_eq!(told.chars().filter(|kind| matches!(kind, 'x' | 'X')).count(), sent);
        prop_assert_eq!(script.containers.counts().waiting_bytes, 0);
        for number in 0..4 {
            let mut open = 0_i32;
            for observation in &script.out {
                let Place::Container(container) = &observation.container else { continue };
                if *container.id.id != *id(number) {
                    continue;
                }
                match observation.fact {
                    Fact::Start(_) => open += 1,
                    Fact::Stop(_) => open -= 1,
                    _ => {}
                }
                prop_assert!(open >= 0, "{}", told);
            }
        }
    }
}
