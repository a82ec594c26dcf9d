//! Users of the host that make cgroups with a container's name.

use super::*;

const CGROUP: &str = "/user.slice/user-1000.slice/user@1000.service/app.slice/docker-";

/// A user's cgroup with the container's name.
fn user_id(number: u64) -> Arc<ContainerId> {
    match place(format!("{CGROUP}{}.scope", id(number)).as_bytes()) {
        Where::Container(id) => id,
        other => panic!("{other:?}"),
    }
}

/// As its runtime has it.
fn real(number: u64) -> Description {
    Description { cgroup: Some(kernel_id(number).cgroup.clone()), ..description(number) }
}

impl Script {
    fn exec_by_user(&mut self, number: u64, cgroup_id: u64, tgid: u32) {
        let process = process(tgid, &[40, 1]);
        let exec = Fact::Exec { program: artifact(&process.exe), script: None };
        self.seen(Where::Container(user_id(number)), cgroup_id, &process, self.now, exec);
    }

    /// Where the last thing that was told happened.
    fn last_place(&self) -> &Place {
        &self.out.last().unwrap().container
    }
}

#[test]
fn a_users_scope_is_not_the_container_that_runs_elsewhere() {
    let mut script = Script::new(settings());
    script.described(real(1));
    script.made(1, 7);
    script.exec(1, 7, &process(100, &[50, 1]));
    script.pass(20 * MS);
    script.containers.made(&user_id(1), 8, script.now);
    script.exec_by_user(1, 8, 200);
    assert_eq!(*script.last_place(), Place::Unknown(reason::CLAIMED_BY_USER));
    script.containers.removed(&user_id(1), 8, script.now, script.now);
    script.idle(3);
    assert_eq!((script.starts().len(), script.stops().len()), (1, 0));
    let place = reason::ALL.iter().position(|reason| *reason == reason::CLAIMED_BY_USER).unwrap();
    assert_eq!(script.containers.counts().unknown[place], 1);
}

#[test]
fn a_users_scope_is_not_the_container_that_ended_or_was_not_started() {
    for state in [Described::Created, Described::Exited] {
        let mut script = Script::new(settings());
        script.described(Description { state, ..description(1) });
        script.exec_by_user(1, 8, 200);
        assert_eq!(*script.last_place(), Place::Unknown(reason::CLAIMED_BY_USER), "{state:?}");
        script.idle(3);
        assert!(script.starts().is_empty());
    }
}

#[test]
fn what_waits_in_a_users_scope_goes_on_as_nobodys_when_the_runtime_says_where_the_container_is() {
    let mut script = Script::new(settings());
    script.containers.made(&user_id(1), 8, script.now);
    script.exec_by_user(1, 8, 200);
    assert!(script.out.is_empty(), "it waits");
    script.described(real(1));
    assert_eq!(*script.last_place(), Place::Unknown(reason::CLAIMED_BY_USER));
    script.idle(3);
    // The container that runs by its runtime's word, and no exec of it was told.
    assert_eq!(script.starts().len(), 1);
    assert_eq!(script.starts()[0].1.observed, Observed::ByRuntime);
}

#[test]
fn the_hosts_own_cgroup_takes_the_place_of_an_imitation() {
    let mut script = Script::new(settings());
    script.containers.made(&user_id(1), 8, script.now);
    script.exec_by_user(1, 8, 200);
    script.made(1, 7);
    assert_eq!(*script.last_place(), Place::Unknown(reason::CLAIMED_BY_USER));
    let init = process(100, &[50, 1]);
    script.exec(1, 7, &init);
    script.described(real(1));
    script.idle(1);
    assert_eq!(script.starts().len(), 1);
    assert_eq!(script.starts()[0].0.origin.process, init.key);
}

#[test]
fn the_container_is_asked_about_whatever_an_imitation_was_answered() {
    let mut script = Script::new(settings());
    script.exec_by_user(1, 8, 200);
    assert_eq!(script.containers.take_asks(), [Ask { id: id(1), by_user: true }]);
    script.hear(News::Refused { id: id(1), reason: reason::ASKS_EXHAUSTED });
    script.made(1, 7);
    script.exec(1, 7, &process(100, &[50, 1]));
    assert_eq!(script.containers.take_asks(), [Ask { id: id(1), by_user: false }]);
    script.described(real(1));
    assert_eq!(name(script.out.last().unwrap()), "name-1");
}

#[test]
fn a_rootless_runtimes_container_has_its_names() {
    let engine = Engine { socket: "/run/user/1000/docker.sock".into(), ..(*engine()).clone() };
    let created =
        Description { engine: Arc::new(engine), state: Described::Created, pid: None, ..description(1) };
    let cgroup = format!("{}/init", user_id(1).cgroup);
    let running = Description { state: Described::Running, cgroup: Some(cgroup), ..created.clone() };
    let mut script = Script::new(settings());
    script.hear(News::Connected(Arc::clone(&created.engine)));
    script.described(created);
    script.containers.made(&user_id(1), 8, script.now);
    script.exec_by_user(1, 8, 200);
    assert_eq!(name(script.out.last().unwrap()), "name-1");
    script.described(running);
    script.exec_by_user(1, 8, 201);
    assert_eq!(name(script.out.last().unwrap()), "name-1");
    script.idle(1);
    assert_eq!(script.starts().len(), 1);
}

#[test]
fn a_users_cgroups_push_out_no_container_that_lives() {
    let mut script = Script::new(Settings { entries: 8, ..settings() });
    script.described(real(1));
    script.made(1, 7);
    script.exec(1, 7, &process(100, &[50, 1]));
    script.pass(20 * MS);
    for number in 2..50 {
        script.containers.made(&user_id(number), number + 10, script.now);
        script.exec_by_user(number, number + 10, 200);
    }
    script.exec(1, 7, &process(101, &[100, 50, 1]));
    script.idle(1);
    let of_it = |observation: &&Observation| match &observation.container {
        Place::Container(container) => *container.id.id == *id(1),
        _ => false,
    };
    let starts = script.out.iter().filter(|one| matches!(one.fact, Fact::Start(_)));
    assert_eq!(starts.filter(of_it).count(), 1);
}
