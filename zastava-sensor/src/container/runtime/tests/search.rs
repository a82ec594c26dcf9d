use std::{path::PathBuf, time::Duration};

use tokio::{net::UnixListener, sync::mpsc, time::Instant};
use zastava_common::config;

use super::{
    super::{
        News, Runtimes, Settings,
        cri::fake::{CONTAINER, FakeCri, SANDBOX},
    },
    next, short, until,
};
use crate::container::reason;

/// With sockets of our own, and of the usual ones CRI-O's alone, which no machine that tests has.
fn search(sockets: Vec<PathBuf>) -> (Runtimes, mpsc::Receiver<News>) {
    let runtime = config::Runtime::default();
    let settings = Settings { engine: config::Engine::CriO, sockets, ..Settings::from(&runtime) };
    Runtimes::start(settings).unwrap()
}

/// Stops them while somebody waits for the news, and tells how long that took.
async fn stop(runtimes: Runtimes) -> Duration {
    let began = Instant::now();
    tokio::task::spawn_blocking(|| runtimes.stop()).await.unwrap();
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_runtime_that_is_killed_is_found_again_and_what_happened_meanwhile_is_told() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("crio.sock");
    let fake = FakeCri::new();
    fake.create(CONTAINER, "api");
    fake.create("old", "old");
    let serving = fake.serve(&socket);
    let (runtimes, mut news) = search(vec![socket.clone()]);
    let told = until(&mut news, |news| *news == News::Searched).await;
    let mut told = short(&told);
    assert_eq!((told.remove(0).as_str(), told.pop().as_deref()), ("connected", Some("searched")));
    assert_eq!(told.pop().as_deref(), Some("listed"));
    told.sort();
    let described = |id: &str| format!("described {id}");
    assert_eq!(told, [described(SANDBOX), described(CONTAINER), described("old")]);

    drop(serving);
    let told = short(&until(&mut news, |news| matches!(news, News::Disconnected { .. })).await);
    assert_eq!(told, [format!("disconnected: {}", reason::RUNTIME_LOST)]);
    fake.forget("old");
    fake.create("new", "new");
    let serving = fake.serve(&socket);
    let mut told = short(&until(&mut news, |news| matches!(news, News::Listed { .. })).await);
    assert_eq!((told.remove(0).as_str(), told.pop().as_deref()), ("connected", Some("listed")));
    told.sort();
    assert_eq!(told, [described(SANDBOX), described(CONTAINER), described("new")]);
    // And by the second look, for who does not count what was listed.
    assert_eq!(short(&until(&mut news, |news| matches!(news, News::Removed { .. })).await), ["removed old"]);
    assert_eq!((runtimes.counts().connections, runtimes.counts().disconnections), (2, 1));
    assert!(stop(runtimes).await < Duration::from_secs(2));
    assert_eq!(news.recv().await, None);
    drop(serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_runtime_that_comes_up_late_is_found() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("crio.sock");
    let (runtimes, mut news) = search(vec![socket.clone()]);
    assert_eq!(next(&mut news).await, News::Searched);
    assert!(runtimes.asker().ask(CONTAINER.into()));
    assert_eq!(short(&[next(&mut news).await]), [format!("refused {CONTAINER}: {}", reason::NO_RUNTIME)]);
    let fake = FakeCri::new();
    let serving = fake.serve(&socket);
    until(&mut news, |news| matches!(news, News::Listed { .. })).await;
    stop(runtimes).await;
    drop(serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_container_that_nobody_told_is_found_by_a_question() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("crio.sock");
    let fake = FakeCri::new().without_events();
    let serving = fake.serve(&socket);
    let (runtimes, mut news) = search(vec![socket]);
    until(&mut news, |news| *news == News::Searched).await;
    assert!(runtimes.asker().ask("unknown".into()));
    let refused = format!("refused unknown: {}", reason::RUNTIME_UNKNOWN);
    assert_eq!(short(&[next(&mut news).await]), [refused]);
    // Known to the runtime only some time after the kernel saw it.
    fake.create_late(CONTAINER, "api");
    assert!(runtimes.asker().ask(CONTAINER.into()));
    let told = until(&mut news, |news| matches!(news, News::Described(one) if &*one.id == CONTAINER)).await;
    assert!(told.iter().all(|news| matches!(news, News::Described(_))), "{told:?}");
    assert_eq!(runtimes.counts().asks, 2);
    stop(runtimes).await;
    drop(serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn questions_wait_for_a_runtime_that_takes_its_time_to_say_who_it_is() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("crio.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let fake = FakeCri::new();
    fake.create(CONTAINER, "api");
    let (runtimes, mut news) = search(vec![socket.clone()]);
    // More than are asked at once.
    for other in 0..200 {
        assert!(runtimes.asker().ask(format!("other-{other}").into()));
    }
    assert!(runtimes.asker().ask(CONTAINER.into()));
    // Longer than about a container that nobody knows, and much less than the search.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(news.try_recv().ok(), None);
    let serving = fake.serve_on(listener, &socket);
    let told = until(&mut news, |news| *news == News::Searched).await;
    let refused =
        |news: &News| matches!(news, News::Refused { reason, .. } if *reason != reason::RUNTIME_UNKNOWN);
    assert!(!told.iter().any(refused), "{:?}", short(&told));
    assert!(told.iter().any(|news| matches!(news, News::Described(one) if &*one.id == CONTAINER)));
    stop(runtimes).await;
    drop(serving);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_socket_that_takes_connections_and_never_answers_holds_up_neither_start_nor_end() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("hung.sock");
    let hung = UnixListener::bind(&socket).unwrap();
    let fake = FakeCri::new();
    let serving = fake.serve(&root.path().join("crio.sock"));
    let began = Instant::now();
    let (runtimes, mut news) = search(vec![socket.clone(), serving.socket.clone()]);
    let told = short(&until(&mut news, |news| *news == News::Searched).await);
    assert_eq!(told, ["connected", "listed", "searched"]);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(stop(runtimes).await < Duration::from_secs(2));

    // Alone, it is the reason why there are no names.
    let (runtimes, mut news) = search(vec![socket]);
    assert_eq!(next(&mut news).await, News::Searched);
    assert!(runtimes.asker().ask(CONTAINER.into()));
    assert_eq!(short(&[next(&mut news).await]), [format!("refused {CONTAINER}: {}", reason::RUNTIME_SILENT)]);
    assert!(stop(runtimes).await < Duration::from_secs(2));
    drop(hung);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_socket_with_two_paths_is_told_once() {
    let root = tempfile::tempdir().unwrap();
    let fake = FakeCri::new();
    let serving = fake.serve(&root.path().join("crio.sock"));
    let link = root.path().join("link.sock");
    std::os::unix::fs::symlink(&serving.socket, &link).unwrap();
    let (runtimes, mut news) = search(vec![serving.socket.clone(), link]);
    assert_eq!(
        short(&until(&mut news, |news| *news == News::Searched).await),
        ["connected", "listed", "searched"]
    );
    stop(runtimes).await;
}
