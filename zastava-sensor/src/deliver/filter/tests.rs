use zastava_common::event::v1::{File, Process};

use super::*;

const ID: &str = "4f5e6d7c8b9a00112233445566778899aabbccddeeff00112233445566778899";

fn filter(kinds: &[Kind], containers: &[&str], path_prefixes: &[&str]) -> Filter {
    Filter::try_from(WatchRequest {
        kinds: kinds.iter().map(|kind| *kind as i32).collect(),
        containers: containers.iter().map(ToString::to_string).collect(),
        path_prefixes: path_prefixes.iter().map(ToString::to_string).collect(),
    })
    .unwrap()
}

fn in_container(kind: Kind, path: &str) -> Event {
    Event {
        kind: kind as i32,
        workload: Some(Workload {
            container: "api".to_owned(),
            container_id: format!("containerd://{ID}"),
            ..Workload::default()
        }),
        process: Some(Process { exe: "/usr/bin/python3".to_owned(), ..Process::default() }),
        file: Some(File { path: path.to_owned(), ..File::default() }),
        ..Event::default()
    }
}

fn on_host(kind: Kind, path: &str) -> Event {
    Event {
        workload: Some(Workload { platform: "host".to_owned(), ..Workload::default() }),
        ..in_container(kind, path)
    }
}

fn loss(kind: &str, workload: Option<Workload>) -> Event {
    Event {
        kind: Kind::Loss as i32,
        workload,
        loss: Some(Loss { kind: kind.to_owned(), ..Loss::default() }),
        ..Event::default()
    }
}

#[test]
fn without_filters_everything_matches() {
    for event in [in_container(Kind::ProcessExec, "/a"), loss("exec", None), Event::default()] {
        assert!(Filter::default().matches(&event));
    }
}

#[test]
fn all_filters_have_to_match_and_of_each_any_value() {
    let both = filter(&[Kind::ProcessExec, Kind::LibraryLoad], &["api", "other"], &["/opt", "/srv"]);
    assert!(both.matches(&in_container(Kind::LibraryLoad, "/srv/x.so")));
    assert!(!both.matches(&in_container(Kind::FileCreate, "/srv/x.so")));
    assert!(!both.matches(&in_container(Kind::LibraryLoad, "/usr/x.so")));
    assert!(!both.matches(&on_host(Kind::LibraryLoad, "/srv/x.so")));
}

#[test]
fn a_container_is_known_by_name_id_and_beginning_of_its_id() {
    let event = in_container(Kind::ProcessExec, "/a");
    for yes in ["api", ID, &ID[..12], &ID[..4], &format!("containerd://{ID}")] {
        assert!(filter(&[], &[yes], &[]).matches(&event), "{yes}");
    }
    for no in ["ap", "apis", &ID[..3], &ID[1..], "host"] {
        assert!(!filter(&[], &[no], &[]).matches(&event), "{no}");
    }
    assert!(filter(&[], &["host"], &[]).matches(&on_host(Kind::ProcessExec, "/a")));
}

#[test]
fn a_container_of_a_pod_is_known_by_both_their_names() {
    let mut event = in_container(Kind::ProcessExec, "/a");
    let workload = event.workload.as_mut().unwrap();
    (workload.namespace, workload.pod) = ("shop".to_owned(), "web-7c9f".to_owned());
    for yes in ["api", "web-7c9f/api", "shop/web-7c9f/api"] {
        assert!(filter(&[], &[yes], &[]).matches(&event), "{yes}");
    }
    for no in
        ["web/api", "web-7c9f/ap", "web-7c9f", "shop/api", "/web-7c9f/api", "/api", "other/web-7c9f/api"]
    {
        assert!(!filter(&[], &[no], &[]).matches(&event), "{no}");
    }
}

#[test]
fn a_path_prefix_ends_at_a_component() {
    for (prefix, path, matches) in [
        ("/usr/lib", "/usr/lib/x.so", true),
        ("/usr/lib/", "/usr/lib/x.so", true),
        ("/usr/lib/x.so", "/usr/lib/x.so", true),
        ("/usr/lib", "/usr/lib64/x.so", false),
        ("/", "/anything", true),
        // The program.
        ("/usr/bin", "/opt/x.so", true),
    ] {
        assert_eq!(
            filter(&[], &[], &[prefix]).matches(&in_container(Kind::LibraryLoad, path)),
            matches,
            "{path}"
        );
    }
}

#[test]
fn a_script_is_found_by_its_own_path() {
    let mut event = in_container(Kind::ProcessExec, "/usr/bin/dash");
    let script = File { path: "/opt/start.sh".to_owned(), ..File::default() };
    event.process.as_mut().unwrap().script = Some(script);
    assert!(filter(&[], &[], &["/opt"]).matches(&event));
}

#[test]
fn a_path_that_lacks_its_beginning_is_not_kept_back() {
    let mut event = in_container(Kind::LibraryLoad, "deep/down/x.so");
    assert!(!filter(&[], &[], &["/srv"]).matches(&event));
    event.file.as_mut().unwrap().path_truncated = true;
    assert!(filter(&[], &[], &["/srv"]).matches(&event));
}

#[test]
fn a_loss_reaches_whom_it_may_concern() {
    let other = in_container(Kind::Loss, "").workload;
    let exec = filter(&[Kind::ProcessExec], &["db"], &["/srv"]);
    assert!(exec.matches(&loss("exec", None)));
    assert!(exec.matches(&loss("unknown", None)));
    assert!(!exec.matches(&loss("listen", None)));
    assert!(!exec.matches(&loss("exec", other.clone())));
    assert!(filter(&[Kind::Loss], &["api"], &[]).matches(&loss("listen", other)));
}

#[test]
fn a_request_that_cannot_be_met_is_refused() {
    let request = WatchRequest::default();
    let refused = |request| Filter::try_from(request).unwrap_err();
    assert_eq!(refused(WatchRequest { kinds: vec![0], ..request.clone() }), FilterError::Kind(0));
    assert_eq!(refused(WatchRequest { kinds: vec![99], ..request.clone() }), FilterError::Kind(99));
    assert_eq!(refused(WatchRequest { kinds: vec![6; 65], ..request.clone() }), FilterError::TooMany("kind"));
    for container in [String::new(), "x".repeat(257)] {
        assert_eq!(
            refused(WatchRequest { containers: vec![container], ..request.clone() }),
            FilterError::Container
        );
    }
    for path in ["usr/bin".to_owned(), String::new(), "/".repeat(4097)] {
        assert_eq!(refused(WatchRequest { path_prefixes: vec![path], ..request.clone() }), FilterError::Path);
    }
}
