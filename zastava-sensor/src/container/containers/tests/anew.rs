//! Containers that a policy starts anew, whatever of the two lives is told first.

use super::*;

#[derive(Clone, Copy, Debug)]
enum Kernel {
    Made(u64),
    Exec(u32),
    Exit(u32),
    Removed(u64),
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Runs(u32),
    Started(u32),
    Stopped(u32),
}

use Kernel::{Exec, Exit, Made, Removed};
use Word::{Runs, Started, Stopped as Ended};

const FIRST: u32 = 100;
const NEXT: u32 = 200;

fn begun(tgid: u32) -> u64 {
    BEGIN + if tgid == FIRST { 0 } else { 300 * MS }
}

/// Its code is its pid, made small.
fn code(tgid: u32) -> u32 {
    tgid / 100
}

fn clock(at: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(at)
}

impl Script {
    fn tell(&mut self, told: Kernel, cgroup_of: fn(u32) -> u64) {
        let place = || Where::Container(kernel_id(1));
        let of = |tgid| process(tgid, &[50, 1]);
        match told {
            Made(cgroup_id) => {
                let at = begun(if cgroup_id == cgroup_of(FIRST) { FIRST } else { NEXT });
                self.containers.made(&kernel_id(1), cgroup_id, at);
            }
            Removed(cgroup_id) => {
                let last = if cgroup_id == cgroup_of(NEXT) { NEXT } else { FIRST };
                self.containers.removed(&kernel_id(1), cgroup_id, begun(last) + 110 * MS, self.now);
            }
            Exec(tgid) => {
                let exec = Fact::Exec { program: artifact("/bin/a"), script: None };
                self.seen(place(), cgroup_of(tgid), &of(tgid), begun(tgid) + 10 * MS, exec);
            }
            Exit(tgid) => {
                let exit = exit_of(code(tgid) << 8);
                self.seen(place(), cgroup_of(tgid), &of(tgid), begun(tgid) + 100 * MS, exit);
            }
        }
        self.settle();
    }

    fn say(&mut self, word: Word) {
        match word {
            Runs(pid) => {
                let started = Some(clock(begun(pid) + 5 * MS));
                self.described(Description { pid: Some(pid), started, ..description(1) });
            }
            Started(pid) => {
                let at = Some(clock(begun(pid) + 12 * MS));
                self.hear(News::Started { id: id(1), pid: Some(pid), at });
            }
            Ended(pid) => self.stopped(1, code(pid), begun(pid) + 105 * MS),
        }
    }

    /// Of each life that was told: its first process, and how it ended.
    fn lives(&self) -> (Vec<u32>, Vec<Known<HowEnded>>) {
        let starts = self.starts().iter().map(|(start, _)| start.origin.process.tgid).collect();
        (starts, self.stops().iter().map(|(_, stop)| stop.how.clone()).collect())
    }
}

/// Every way to put the two together, each in its own order, of which some `true` is the kernel's.
fn merged(kernel: usize, words: usize, each: &mut impl FnMut(&[bool])) {
    fn go(kernel: usize, words: usize, so_far: &mut Vec<bool>, each: &mut impl FnMut(&[bool])) {
        if kernel + words == 0 {
            return each(so_far);
        }
        for (is_kernel, left) in [(true, kernel), (false, words)] {
            if left > 0 {
                so_far.push(is_kernel);
                go(kernel - usize::from(is_kernel), words - usize::from(!is_kernel), so_far, each);
                so_far.pop();
            }
        }
    }
    go(kernel, words, &mut Vec::new(), each);
}

/// A container that ran and was started anew while Podman was asked how it ended; after its first exec and this.
fn restarted(
    first: &[Kernel],
    pause: u64,
    order: &[bool],
    kernel: &[Kernel],
    cgroup_of: fn(u32) -> u64,
) -> Script {
    let mut script = Script::new(settings());
    script.now = BEGIN + 12 * MS;
    script.say(Runs(FIRST));
    script.tell(Made(7), cgroup_of);
    script.tell(Exec(FIRST), cgroup_of);
    script.pass(pause);
    for told in first {
        script.tell(*told, cgroup_of);
    }
    let (mut kernel, mut words) = (kernel.iter(), WORDS.iter());
    for is_kernel in order {
        script.pass(2 * MS);
        if *is_kernel {
            script.tell(*kernel.next().unwrap(), cgroup_of);
        } else {
            script.say(*words.next().unwrap());
        }
    }
    script.idle(5);
    script
}

/// What Podman's events and its answers say of the two.
const WORDS: [Word; 3] = [Runs(NEXT), Ended(FIRST), Started(NEXT)];

fn status(tgid: u32) -> Known<HowEnded> {
    Known::Is(HowEnded::Status(code(tgid) << 8))
}

#[test]
fn a_life_that_ended_and_one_that_began_in_a_new_cgroup_are_told_in_every_order() {
    let cgroup_of = |tgid| if tgid == FIRST { 7 } else { 8 };
    let mut orders = 0;
    // The first start was told, or its process is over before that.
    let told = (&[][..], 30 * MS, &[Exit(FIRST), Removed(7), Made(8), Exec(NEXT)][..]);
    let brief = (&[Exit(FIRST)][..], 0, &[Removed(7), Made(8), Exec(NEXT)][..]);
    for (first, pause, kernel) in [told, brief] {
        merged(kernel.len(), WORDS.len(), &mut |order| {
            let mut script = restarted(first, pause, order, kernel, cgroup_of);
            assert_eq!(script.lives(), (vec![FIRST, NEXT], vec![status(FIRST)]), "{order:?}");
            let programs = script.starts().iter().filter(|(_, start)| start.program.is_some()).count();
            assert_eq!(programs, 2, "{order:?}");
            for told in [Exit(NEXT), Removed(8)] {
                script.tell(told, cgroup_of);
            }
            script.say(Ended(NEXT));
            script.idle(5);
            assert_eq!(script.lives(), (vec![FIRST, NEXT], vec![status(FIRST), status(NEXT)]), "{order:?}");
            let (_, stop) = script.stops()[1];
            assert_eq!((&stop.oom, &stop.duration_ns), (&Known::Is(false), &Known::Is(90 * MS)), "{order:?}");
            orders += 1;
        });
    }
    assert_eq!(orders, 35 + 20);
}

#[test]
fn in_the_same_cgroup_the_life_that_ended_is_told_once_and_nothing_false() {
    let kernel = [Exit(FIRST), Exec(NEXT)];
    merged(kernel.len(), WORDS.len(), &mut |order| {
        let mut script = restarted(&[], 30 * MS, order, &kernel, |_| 7);
        for told in [Exit(NEXT), Removed(7)] {
            script.tell(told, |_| 7);
        }
        script.say(Ended(NEXT));
        script.idle(5);
        // A life belongs to a cgroup.
        assert_eq!(script.lives(), (vec![FIRST], vec![status(FIRST)]), "{order:?}");
    });
}

#[test]
fn where_nobody_tells_that_a_cgroup_is_made_another_one_is_the_next_life_s() {
    let cgroup_of = |tgid| if tgid == FIRST { 7 } else { 8 };
    let mut script = Script::new(settings());
    script.now = BEGIN + 12 * MS;
    script.say(Runs(FIRST));
    script.tell(Exec(FIRST), cgroup_of);
    script.pass(30 * MS);
    for told in [Exit(FIRST), Exec(NEXT), Exit(NEXT)] {
        script.tell(told, cgroup_of);
    }
    for word in [Ended(FIRST), Runs(NEXT), Ended(NEXT)] {
        script.say(word);
    }
    script.idle(5);
    assert_eq!(script.lives(), (vec![FIRST, NEXT], vec![status(FIRST), status(NEXT)]));
}

#[test]
fn a_late_word_of_the_life_before_is_not_taken_for_the_word_of_this_one() {
    let cgroup_of = |_| 8;
    let mut script = Script::new(settings());
    // Of the first life nothing was seen.
    script.now = BEGIN + 312 * MS;
    script.say(Runs(NEXT));
    script.say(Ended(FIRST));
    for told in [Made(8), Exec(NEXT)] {
        script.tell(told, cgroup_of);
    }
    script.pass(100 * MS);
    for told in [Exit(NEXT), Removed(8)] {
        script.tell(told, cgroup_of);
    }
    script.read_ledger();
    script.read_ledger();
    script.pass(100 * MS);
    assert!(script.stops().is_empty(), "the runtime may yet say how it ended");
    script.say(Ended(NEXT));
    script.idle(3);
    assert_eq!(script.lives(), (vec![NEXT], vec![status(NEXT)]));
    assert_eq!(script.stops()[0].1.oom, Known::Is(false));
}
