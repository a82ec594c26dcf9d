use zastava_common::event::v1::Listen;

use super::*;

const SHA: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn plain(event: &Event) -> String {
    let mut out = String::new();
    Pretty { colour: false }.line(event, &mut out);
    out
}

fn event(kind: Kind) -> Event {
    Event {
        kind: kind as i32,
        when: Some(prost_types::Timestamp { seconds: 1_764_417_600 + 3723, nanos: 45_999_999 }),
        workload: Some(Workload {
            platform: "docker".to_owned(),
            container_id: format!("docker://{SHA}"),
            ..Workload::default()
        }),
        process: Some(Process {
            pid: 4321,
            comm: "python3".to_owned(),
            exe: "/usr/bin/python3.13".to_owned(),
            ..Process::default()
        }),
        ..Event::default()
    }
}

fn file(path: &str) -> File {
    File {
        path: path.to_owned(),
        build_id: "9f3a1cd4c0b7adfe91c0e3b51d2f45fb0f76a4c1".to_owned(),
        sha256: SHA.to_owned(),
        sha256_strength: Strength::ByInode as i32,
        ..File::default()
    }
}

#[test]
fn each_kind_has_a_line() {
    let exec = Event { file: Some(file("/usr/bin/python3.13")), ..event(Kind::ProcessExec) };
    let mut script = Event { file: Some(file("/usr/bin/dash")), ..event(Kind::ProcessExec) };
    if let Some(process) = &mut script.process {
        process.existing = true;
        process.script = Some(file("/entrypoint.sh"));
    }
    let exit = Exit { code: Some(3), duration_ns: Some(1_234_567_890), ..Exit::default() };
    let killed = Exit { signal: Some(11), core_dumped: true, ..Exit::default() };
    let listen = Listen { address: "::".to_owned(), port: 443, protocol: "tcp".to_owned() };
    let loss = Loss { kind: "exec".to_owned(), count: Some(12), cgroup_id: Some(77), ..Loss::default() };
    let events = vec![
        exec,
        script,
        Event { exit: Some(exit), ..event(Kind::ProcessExit) },
        Event { exit: Some(killed), ..event(Kind::ProcessExit) },
        Event { file: Some(file("/usr/lib/libssl.so.3")), ..event(Kind::LibraryLoad) },
        Event { file: Some(File { op: Op::Chmod as i32, ..file("/tmp/x") }), ..event(Kind::FileCreate) },
        Event { listen: Some(listen), ..event(Kind::Listen) },
        Event { loss: Some(loss), process: None, ..event(Kind::Loss) },
    ];
    let mut out = String::new();
    Pretty { colour: false }.header(&mut out);
    for event in &events {
        Pretty { colour: false }.line(event, &mut out);
    }
    insta::assert_snapshot!(out, @"
    TIME (UTC)   CONTAINER                PROCESS                  WHAT        BUILD-ID     SHA-256      PATH
    13:02:03.045 9f86d081884c             python3[4321]            exec        9f3a1cd4c0b7 9f86d081884c /usr/bin/python3.13
    13:02:03.045 9f86d081884c             python3[4321]            running     9f3a1cd4c0b7 9f86d081884c /usr/bin/dash runs /entrypoint.sh 9f86d081884c
    13:02:03.045 9f86d081884c             python3[4321]            exit        -            -            /usr/bin/python3.13 code 3 after 1.234s
    13:02:03.045 9f86d081884c             python3[4321]            exit        -            -            /usr/bin/python3.13 signal 11 (core dumped)
    13:02:03.045 9f86d081884c             python3[4321]            lib         9f3a1cd4c0b7 9f86d081884c /usr/lib/libssl.so.3
    13:02:03.045 9f86d081884c             python3[4321]            file chmod  9f3a1cd4c0b7 9f86d081884c /tmp/x
    13:02:03.045 9f86d081884c             python3[4321]            listen      -            -            [::]:443/tcp /usr/bin/python3.13
    13:02:03.045 9f86d081884c             -                        loss        -            -            12 exec lost in cgroup 77
    ");
}

#[test]
fn containers_have_their_names_and_their_beginnings_and_ends_a_line() {
    let named = |pod: &str, container: &str, event: Event| {
        let workload = Workload {
            pod: pod.to_owned(),
            container: container.to_owned(),
            image_ref: format!("lab.local/web:1@sha256:{SHA}"),
            ..event.workload.unwrap()
        };
        Event { workload: Some(workload), ..event }
    };
    let mut start = event(Kind::ContainerStart);
    start.file = Some(file("/usr/bin/python3.13"));
    start.loaded_libs = vec![file("/lib/a.so"), file("/lib/b.so")];
    start.loaded_libs_left_out = 1;
    start.process.as_mut().unwrap().entrypoint = vec!["/entrypoint.sh".to_owned(), "a\nb".to_owned()];
    let mut existing = event(Kind::ContainerStart);
    existing.set_observed(Observed::Existing);
    existing.workload.as_mut().unwrap().names_reason = "no container runtime answers".to_owned();
    let exit = Exit { signal: Some(9), duration_ns: Some(50_000_000), oom: Some(true), ..Exit::default() };
    let losses = [("exec", 0), ("mapping", 2)].map(|(kind, count)| Loss {
        kind: kind.to_owned(),
        count: Some(count),
        cgroup_id: Some(7),
        ..Loss::default()
    });
    let stop = Event { exit: Some(exit), losses: losses.to_vec(), ..event(Kind::ContainerStop) };
    let exec = Event { file: Some(file("/usr/bin/id")), ..event(Kind::ProcessExec) };
    let mut out = String::new();
    for event in [
        named("", "web", start),
        existing,
        named("", "web", stop),
        named("web-7c9f", "nginx", exec.clone()),
        named("a-deployment-with-a-name-7c9fbbd8b7-ktd84", "nginx", exec),
    ] {
        Pretty { colour: false }.line(&event, &mut out);
    }
    insta::assert_snapshot!(out, @r"
    13:02:03.045 web                      python3[4321]            start       9f3a1cd4c0b7 9f86d081884c lab.local/web:1@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 runs /usr/bin/python3.13 as /entrypoint.sh a\nb with 3 libraries
    13:02:03.045 9f86d081884c             python3[4321]            was started -            -            ? runs /usr/bin/python3.13 with 0 libraries (names: no container runtime answers)
    13:02:03.045 web                      python3[4321]            stop        -            -            lab.local/web:1@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 signal 9 after 0.050s (out of memory), 2 mapping lost in cgroup 7
    13:02:03.045 web-7c9f/nginx           python3[4321]            exec        9f3a1cd4c0b7 9f86d081884c /usr/bin/id
    13:02:03.045 ~-7c9fbbd8b7-ktd84/nginx python3[4321]            exec        9f3a1cd4c0b7 9f86d081884c /usr/bin/id
    ");
}

#[test]
fn what_is_missing_has_its_reason() {
    let unnamed = Event {
        workload: Some(Workload { unknown_reason: "cgroup gone".to_owned(), ..Workload::default() }),
        process: Some(Process {
            pid: 7,
            unknown_reason: "not seen to start".to_owned(),
            ..Process::default()
        }),
        file: Some(File {
            path: "cut/off/libx.so".to_owned(),
            path_truncated: true,
            build_id_reason: "file gone".to_owned(),
            sha256_reason: "file gone".to_owned(),
            ..File::default()
        }),
        when: None,
        ..event(Kind::LibraryLoad)
    };
    insta::assert_snapshot!(plain(&unnamed), @"-            ?                        ?[7]                     lib         -            -            .../cut/off/libx.so (build-id, sha256: file gone; container: cgroup gone; process: not seen to start)");
    let host = Event {
        workload: Some(Workload { platform: "host".to_owned(), ..Workload::default() }),
        file: Some(File {
            build_id: String::new(),
            build_id_reason: "not ELF".to_owned(),
            sha256_strength: Strength::ByPath as i32,
            nlink: Some(0),
            ..file("/memfd:x (deleted)")
        }),
        ..event(Kind::ProcessExec)
    };
    insta::assert_snapshot!(plain(&host), @"13:02:03.045 host                     python3[4321]            exec        -            9f86d081884c /memfd:x (deleted) (no name any more) (build-id: not ELF; sha256: by path alone)");
}

#[test]
fn hostile_text_stays_text_and_on_its_line() {
    let hostile = "\x1b[2J\x1b]0;x\x07\r\nhost fake[1] exec\u{202e}";
    let mut event = Event { file: Some(file(hostile)), ..event(Kind::ProcessExec) };
    if let (Some(workload), Some(process), Some(file)) =
        (&mut event.workload, &mut event.process, &mut event.file)
    {
        workload.container_id = format!("docker://{hostile}");
        workload.unknown_reason = hostile.to_owned();
        process.comm = hostile.to_owned();
        process.argv = vec![hostile.to_owned(), "x".repeat(5000)];
        process.script =
            Some(File { path: hostile.to_owned(), sha256: hostile.to_owned(), ..File::default() });
        file.build_id = hostile.to_owned();
        file.sha256_reason = hostile.to_owned();
    }
    let line = plain(&event);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(!line.trim_end().chars().any(|char| char.is_control() || char == '\u{202e}'));
    assert!(line.len() < 3000);
    insta::assert_snapshot!(line.chars().take(300).collect::<String>(), @r"13:02:03.045 \x1b[2J\x1b]0;x\x07\r\n  \x1b[2J\x1b]0;x\x07\r\nho~[4321] exec        \x1b[2J\x1b]0;x\x07\r\n 9f86d081884c \x1b[2J\x1b]0;x\x07\r\nhost fake[1] exec\u{202e} runs \x1b[2J\x1b]0;x\x07\r\nhost fake[1] exec\u{202e} \x1b[2J\x1b]0;x\x07\r\n : \x1b[2J\x1b]0;x\x07\r\nhost fake[1] exec\u{202e} xx");
}

#[test]
fn colours_are_there_on_demand_alone_and_leave_the_columns_in_place() {
    let event = Event { file: Some(file("/usr/bin/id")), ..event(Kind::ProcessExec) };
    let mut coloured = String::new();
    Pretty { colour: true }.line(&event, &mut coloured);
    assert!(coloured.contains("\x1b[32mexec\x1b[0m "));
    let mut stripped = String::new();
    for (number, part) in coloured.split('\x1b').enumerate() {
        stripped.push_str(if number == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(stripped, plain(&event));
}
