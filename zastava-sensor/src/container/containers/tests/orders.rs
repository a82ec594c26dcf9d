//! Whatever the order in which kernel and runtime tell of a container, it has one start and one stop.

use proptest::{prelude::*, sample::subsequence, test_runner::TestCaseError};

use super::*;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Mkdir,
    Described,
    Started,
    Exec,
    Library,
    Exit,
    Stopped,
    Rmdir,
    Removed,
}

const ALL: [Step; 9] = [
    Step::Mkdir,
    Step::Described,
    Step::Started,
    Step::Exec,
    Step::Library,
    Step::Exit,
    Step::Stopped,
    Step::Rmdir,
    Step::Removed,
];

const INIT: u32 = 100;
const CGROUP: u64 = 7;

/// When it happened; it is told whenever the script has it.
fn happened(step: Step) -> u64 {
    BEGIN
        + MS * match step {
            Step::Described => 1,
            Step::Mkdir => 10,
            Step::Started => 40,
            Step::Exec => 50,
            Step::Library => 51,
            Step::Exit | Step::Stopped => 100,
            Step::Rmdir => 101,
            Step::Removed => 110,
        }
}

fn play(script: &mut Script, step: Step, state: Described, pid: Option<u32>) {
    let (at, init) = (happened(step), process(INIT, &[50, 1]));
    let place = || Where::Container(kernel_id(1));
    match step {
        Step::Mkdir => {
            script.containers.made(&kernel_id(1), CGROUP, at);
        }
        Step::Rmdir => script.containers.removed(&kernel_id(1), CGROUP, at, script.now),
        Step::Described => script.described(Description { state, pid, ..description(1) }),
        Step::Started => script.hear(News::Started { id: id(1), pid, at: None }),
        Step::Stopped => script.stopped(1, 3, at),
        Step::Removed => script.hear(News::Removed { id: id(1) }),
        Step::Exec => {
            let exec = Fact::Exec { program: artifact("/bin/a"), script: None };
            script.seen(place(), CGROUP, &init, at, exec);
        }
        Step::Library => script.seen(place(), CGROUP, &init, at, library("/l")),
        Step::Exit => script.seen(place(), CGROUP, &init, at, exit_of(3 << 8)),
    }
    script.settle();
}

/// What must hold for these steps in this order.
fn check(steps: &[(Step, u64)], state: Described, pid: Option<u32>) -> Result<(), TestCaseError> {
    let mut script = Script::new(settings());
    script.now = BEGIN + 200 * MS;
    for (step, pause) in steps {
        script.pass(*pause);
        play(&mut script, *step, state, pid);
    }
    script.idle(10);
    let has = |step| steps.iter().any(|(played, _)| *played == step);
    let (starts, stops) = (script.starts(), script.stops());
    prop_assert_eq!(starts.len(), 1, "{}", script.told());
    prop_assert_eq!(stops.len(), 1, "{}", script.told());
    let told = script.told();
    prop_assert!(told.find('S') < told.find('E'), "{}", told);
    let is_it = |observation: &Observation| match &observation.container {
        Place::Container(container) => *container.id.id == *id(1),
        _ => false,
    };
    prop_assert!(script.out.iter().all(is_it));
    if has(Step::Described) {
        prop_assert_eq!(name(starts[0].0), "name-1");
        prop_assert_eq!(name(stops[0].0), "name-1");
    }
    prop_assert_eq!(starts[0].0.origin.process, key(INIT));
    prop_assert_eq!(starts[0].0.origin.boot_ns, happened(Step::Exec));
    prop_assert_eq!(starts[0].1.observed, Observed::Live);
    let (code, status) = (Known::Is(HowEnded::Code(3)), Known::Is(HowEnded::Status(3 << 8)));
    let how = match (has(Step::Exit), has(Step::Stopped)) {
        (true, _) => status,
        (false, true) => code,
        (false, false) => Known::Not("the exit of its first process was not told"),
    };
    prop_assert_eq!(&stops[0].1.how, &how);
    script.idle(70);
    let counts = script.containers.counts();
    prop_assert_eq!((counts.waiting, counts.waiting_bytes), (0, 0));
    if has(Step::Removed) || !has(Step::Described) {
        prop_assert_eq!(counts.entries, 0);
    }
    Ok(())
}

fn pauses(steps: Vec<Step>) -> impl Strategy<Value = Vec<(Step, u64)>> {
    let pauses = proptest::collection::vec(0..30 * MS, steps.len());
    pauses.prop_map(move |pauses| steps.iter().copied().zip(pauses).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn all_orders_give_one_start_and_one_stop(
        steps in Just(ALL.to_vec()).prop_shuffle().prop_flat_map(pauses),
        state in prop_oneof![Just(Described::Created), Just(Described::Running)],
        pid in prop_oneof![Just(None), Just(Some(INIT))],
    ) {
        check(&steps, state, pid)?;
    }

    #[test]
    fn with_pieces_missing_too(
        steps in subsequence(ALL.to_vec(), 0..=ALL.len())
            .prop_filter("a beginning and an end", |steps| {
                steps.contains(&Step::Exec) && (steps.contains(&Step::Exit) || steps.contains(&Step::Rmdir))
            })
            .prop_shuffle()
            .prop_flat_map(pauses),
    ) {
        check(&steps, Described::Running, Some(INIT))?;
    }
}

#[test]
fn every_order_of_the_six_that_matter() {
    let mut steps = [Step::Mkdir, Step::Described, Step::Exec, Step::Exit, Step::Stopped, Step::Rmdir]
        .map(|step| (step, 5 * MS));
    let mut orders = 0;
    permute(&mut steps, 0, &mut |steps| {
        orders += 1;
        check(steps, Described::Running, None).unwrap();
    });
    assert_eq!(orders, 720);
}

fn permute<T: Copy>(items: &mut [T], from: usize, each: &mut impl FnMut(&[T])) {
    if from == items.len() {
        return each(items);
    }
    for place in from..items.len() {
        items.swap(from, place);
        permute(items, from + 1, each);
        items.swap(from, place);
    }
}
