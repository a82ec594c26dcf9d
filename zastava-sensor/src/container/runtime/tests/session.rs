use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
    time::{self, Instant},
};
use zastava_common::config;

use super::{
    super::{
        Engine, News, Settings, Stop,
        client::{Change, Client, Failure, Key, Told, What},
        kubernetes::{
            Kubernetes,
            tests::{Hanging, Paused},
        },
        memory::Memory,
        session::{End, Question, Session},
        shared::Shared,
    },
    description, engine, next, short, until,
};
use crate::container::{
    description::{Description, Owner, Pod, State},
    reason,
};

/// A runtime that plays a script.
#[derive(Clone)]
struct Scripted(Arc<Script>);

struct Script {
    engine: Arc<Engine>,
    there: Mutex<Vec<Key>>,
    /// The list is larger than it may be.
    is_too_large: AtomicBool,
    answers: Mutex<HashMap<String, Failure>>,
    /// Those that are told otherwise than as running.
    told: Mutex<HashMap<String, Told>>,
    /// The first question about these has no answer.
    silent: Mutex<HashSet<String>>,
    /// Those asked about wait until they are let go.
    hanging: Mutex<HashMap<String, Arc<Notify>>>,
    changes: Mutex<Option<mpsc::Receiver<Change>>>,
}

impl Client for Scripted {
    fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    async fn alive(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn watch(&self, changes: mpsc::Sender<Change>) -> Failure {
        let script = lock(&self.0.changes).take();
        let Some(mut script) = script else { return Failure::Lost("watched twice".to_owned()) };
        while let Some(change) = script.recv().await {
            if changes.send(change).await.is_err() {
                break;
            }
        }
        Failure::Lost("the script ended".to_owned())
    }

    async fn list(&self) -> Result<Vec<Key>, Failure> {
        if self.0.is_too_large.load(Ordering::Relaxed) {
            return Err(Failure::TooLarge("a body"));
        }
        Ok(lock(&self.0.there).clone())
    }

    async fn describe(&self, key: &Key) -> Result<Told, Failure> {
        let hanging = lock(&self.0.hanging).get(&*key.id).cloned();
        if let Some(hanging) = hanging {
            hanging.notified().await;
        }
        if lock(&self.0.silent).remove(&*key.id) {
            return Err(Failure::Silent);
        }
        if let Some(told) = lock(&self.0.told).get(&*key.id) {
            return Ok(told.clone());
        }
        match lock(&self.0.answers).get(&*key.id) {
            Some(failure) => Err(failure.clone()),
            None => Ok(Told {
                description: Description {
                    owner: pod(&key.id).map(|_| Owner {
                        kind: "Deployment".to_owned(),
                        name: "by-its-name".to_owned(),
                        derived: true,
                    }),
                    pod: pod(&key.id),
                    ..description(&key.id)
                },
                stop: None,
            }),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of those whose name says so: each has its own.
fn pod(id: &str) -> Option<Pod> {
    id.starts_with("pod-").then(|| Pod {
        namespace: "production".to_owned(),
        name: id.to_owned(),
        uid: id.to_owned(),
        sandbox_id: "s".into(),
    })
}

fn key(id: &str) -> Key {
    Key { id: id.into(), namespace: None }
}

/// A session under way.
struct Playing {
    script: Arc<Script>,
    news: mpsc::Receiver<News>,
    changes: mpsc::Sender<Change>,
    questions: mpsc::Sender<Question>,
    session: JoinHandle<End>,
}

impl Playing {
    fn start(there: &[&str], hanging: &[&str]) -> Self {
        Self::asking(there, hanging, None)
    }

    fn asking(there: &[&str], hanging: &[&str], kubernetes: Option<Kubernetes>) -> Self {
        let (changes, script) = mpsc::channel(64);
        let (questions, mut asked) = mpsc::channel(8);
        let (sender, news) = mpsc::channel(64);
        let script = Arc::new(Script {
            engine: engine(),
            is_too_large: AtomicBool::new(false),
            there: Mutex::new(there.iter().map(|id| key(id)).collect()),
            answers: Mutex::default(),
            told: Mutex::default(),
            silent: Mutex::default(),
            hanging: Mutex::new(hanging.iter().map(|id| ((*id).to_owned(), Arc::default())).collect()),
            changes: Mutex::new(Some(script)),
        });
        let client = Scripted(Arc::clone(&script));
        let session = tokio::spawn(async move {
            let settings = Settings::from(&config::Runtime::default());
            let mut shared = Shared::new(settings, Arc::default(), sender);
            shared.kubernetes = kubernetes.map(Arc::new);
            Session::new(client, &shared, &mut Memory::new()).run(&mut asked, || {}).await
        });
        Self { script, news, changes, questions, session }
    }

    async fn change(&self, id: &str, what: What) {
        self.changes.send(Change { key: key(id), what }).await.unwrap();
    }

    fn let_go(&self, id: &str) {
        let hanging = lock(&self.script.hanging).remove(id).unwrap();
        hanging.notify_one();
    }

    async fn ask(&self, id: &str) -> Result<(), &'static str> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question { id: id.into(), answer }).await.unwrap();
        answered.await.unwrap()
    }
}

fn started(pid: u32) -> What {
    What::Started { pid: Some(pid), rootfs: None, at: None }
}

#[tokio::test]
async fn a_list_is_complete_when_all_of_it_was_told() {
    let mut playing = Playing::start(&["a", "b", "c"], &["b"]);
    let told = until(&mut playing.news, |news| matches!(news, News::Described(one) if &*one.id == "c")).await;
    assert_eq!(short(&told), ["connected", "described a", "described c"]);
    playing.let_go("b");
    let told = until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    assert_eq!(short(&told), ["described b", "listed"]);
}

#[tokio::test]
async fn a_container_of_the_list_is_asked_for_twice_where_the_runtime_is_silent() {
    let mut playing = Playing::start(&["a", "b", "c"], &["a", "b"]);
    lock(&playing.script.silent).insert("a".to_owned());
    lock(&playing.script.answers).insert("b".to_owned(), Failure::Silent);
    playing.let_go("a");
    let told = until(&mut playing.news, |news| matches!(news, News::Described(one) if &*one.id == "a")).await;
    assert_eq!(short(&told), ["connected", "described c", "described a"]);
    playing.let_go("b");
    let told = until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    assert_eq!(short(&told), [format!("refused b: {}", reason::RUNTIME_SILENT), "listed".to_owned()]);
}

#[tokio::test]
async fn a_runtime_that_hangs_over_one_container_holds_up_no_other_and_the_order_of_each_is_kept() {
    let mut playing = Playing::start(&[], &["a"]);
    playing.change("a", What::Changed).await;
    playing.change("a", started(5)).await;
    playing.change("a", What::Stopped(Some(Stop::with_code(3)))).await;
    playing.change("a", What::Removed).await;
    playing.change("b", What::Changed).await;
    playing.change("b", started(6)).await;
    let told = until(&mut playing.news, |news| matches!(news, News::Started { .. })).await;
    assert_eq!(short(&told), ["connected", "listed", "described b", "started b"]);
    playing.let_go("a");
    let told = until(&mut playing.news, |news| matches!(news, News::Removed { .. })).await;
    assert_eq!(short(&told), ["described a", "started a", "stopped a", "removed a"]);
}

#[tokio::test]
async fn an_api_server_that_hangs_holds_up_no_news() {
    let (_server, kubernetes) = Hanging::start();
    let ids: Vec<String> = (0..100).map(|number| format!("pod-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut playing = Playing::asking(&ids, &[], Some(kubernetes));
    until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    let began = Instant::now();
    playing.change("a", started(5)).await;
    until(&mut playing.news, |news| matches!(news, News::Started { .. })).await;
    // It is given up after five seconds.
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_pod_that_was_passed_over_is_asked_about_when_the_api_server_answers_again() {
    let (_server, kubernetes) = Paused::start(&pod("pod-1").unwrap()).await;
    let mut playing = Playing::asking(&["pod-1"], &[], Some(kubernetes));
    let told = until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    let owner = |news: &News| match news {
        News::Described(description) => description.owner.clone(),
        _ => None,
    };
    assert!(told.iter().any(|news| owner(news).is_some_and(|owner| owner.derived)), "until it is known");
    time::pause();
    time::advance(Duration::from_mins(1)).await;
    time::resume();
    let told = until(&mut playing.news, |news| matches!(news, News::Described(_))).await;
    assert_eq!(owner(told.last().unwrap()), None, "the API server has none");
}

#[tokio::test]
async fn a_container_of_the_list_that_changes_meanwhile_is_described_before_the_list_is_complete() {
    let mut playing = Playing::start(&["a"], &["a"]);
    playing.change("a", started(5)).await;
    assert_eq!(short(&[next(&mut playing.news).await]), ["connected"]);
    playing.let_go("a");
    let told = until(&mut playing.news, |news| matches!(news, News::Started { .. })).await;
    let listed = until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    let all = short(&[told, listed].concat());
    assert_eq!(all, ["described a", "started a", "listed"]);
}

#[tokio::test]
async fn what_cannot_be_described_is_refused_with_its_reason_and_its_end_is_told() {
    let mut playing = Playing::start(&["a"], &[]);
    until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    lock(&playing.script.answers).insert("b".to_owned(), Failure::TooLarge("a name"));
    playing.change("b", started(5)).await;
    playing.change("b", What::Stopped(None)).await;
    let told = until(&mut playing.news, |news| matches!(news, News::Stopped { .. })).await;
    let refused = format!("refused b: {}", reason::ANSWER_TOO_LARGE);
    assert_eq!(short(&told), [refused.as_str(), refused.as_str(), "stopped b"]);
}

/// As Podman does it: `died` is written, then the container begins anew while it is asked about.
#[tokio::test]
async fn an_end_that_is_told_when_the_next_life_runs_is_not_that_ones() {
    let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
    let ended = |code, at| Stop { at, ..Stop::with_code(code) };
    let runs = |pid, started| Description { pid: Some(pid), started, ..description("a") };
    let mut playing = Playing::start(&[], &[]);
    let tell = |description, stop| {
        lock(&playing.script.told).insert("a".to_owned(), Told { description, stop });
    };
    tell(runs(5, at(10)), None);
    playing.change("a", What::Started { pid: None, rootfs: None, at: at(10) }).await;
    until(&mut playing.news, |news| matches!(news, News::Started { .. })).await;
    tell(runs(6, at(30)), None);
    playing.change("a", What::Changed).await;
    playing.change("a", What::Stopped(Some(ended(3, at(20))))).await;
    playing.change("a", What::Changed).await;
    let told = until(&mut playing.news, |news| matches!(news, News::Stopped { .. })).await;
    assert_eq!(short(&told), ["described a", "stopped a"]);
    assert_eq!(told[1], News::Stopped { id: "a".into(), exit: ended(3, at(20)) });
    // And who asks is told of the one that runs.
    assert_eq!(playing.ask("a").await, Ok(()));
    assert_eq!(next(&mut playing.news).await, News::Described(Arc::new(runs(6, at(30)))));
    playing.change("a", What::Started { pid: None, rootfs: None, at: at(30) }).await;
    assert_eq!(short(&[next(&mut playing.news).await]), ["started a"]);
    // That one ends too, before the end of the first was told again.
    let exited = Description { state: State::Exited, pid: None, ..runs(6, at(30)) };
    tell(exited, Some(ended(4, at(40))));
    playing.change("a", What::Changed).await;
    playing.change("a", What::Stopped(Some(ended(3, at(20))))).await;
    playing.change("a", What::Stopped(Some(ended(4, at(41))))).await;
    playing.change("a", What::Removed).await;
    let told = until(&mut playing.news, |news| matches!(news, News::Removed { .. })).await;
    assert_eq!(short(&told), ["described a", "stopped a", "stopped a", "removed a"]);
    let exits = told.iter().filter_map(|news| match news {
        News::Stopped { exit, .. } => Some(exit.clone()),
        _ => None,
    });
    assert_eq!(exits.collect::<Vec<_>>(), [ended(4, at(40)), ended(3, at(20))]);
}

#[tokio::test]
async fn of_a_container_that_the_runtime_lost_sight_of_no_end_is_told() {
    let mut playing = Playing::start(&["a"], &[]);
    until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    // One that was seen to run, and one that was not.
    for (id, state) in [("a", State::Running), ("b", State::Unknown)] {
        let lost = Description { state: State::Unknown, ..description(id) };
        lock(&playing.script.told).insert(id.to_owned(), Told { description: lost.clone(), stop: None });
        playing.change(id, What::Changed).await;
        playing.change(id, What::Started { pid: None, rootfs: None, at: None }).await;
        let told = until(&mut playing.news, |news| matches!(news, News::Started { .. })).await;
        assert!(!told.iter().any(|news| matches!(news, News::Stopped { .. })), "{:?}", short(&told));
        assert_eq!(playing.ask(id).await, Ok(()));
        assert_eq!(next(&mut playing.news).await, News::Described(Arc::new(Description { state, ..lost })));
    }
}

#[tokio::test]
async fn a_question_is_answered_from_memory_or_by_the_runtime() {
    let mut playing = Playing::start(&["a"], &[]);
    until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    lock(&playing.script.answers).insert("a".to_owned(), Failure::Silent);
    lock(&playing.script.answers).insert("gone".to_owned(), Failure::Unknown);
    assert_eq!(playing.ask("a").await, Ok(()));
    assert_eq!(playing.ask("b").await, Ok(()));
    // Whoever asked several runtimes tells the stage.
    assert_eq!(playing.ask("gone").await, Err(reason::RUNTIME_UNKNOWN));
    assert_eq!(
        short(&[next(&mut playing.news).await, next(&mut playing.news).await]),
        ["described a", "described b"]
    );
    assert!(playing.news.is_empty());
}

#[tokio::test]
async fn a_second_look_finds_what_the_stream_began_too_late_for() {
    let mut playing = Playing::start(&["a", "b"], &[]);
    until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    *lock(&playing.script.there) = vec![key("b"), key("c")];
    let told = [next(&mut playing.news).await, next(&mut playing.news).await];
    assert_eq!(short(&told), ["removed a", "described c"]);
}

#[tokio::test]
async fn a_list_that_is_too_large_takes_nobodys_name() {
    let mut playing = Playing::start(&["a", "b"], &[]);
    // Set before the session has run: there is one thread.
    playing.script.is_too_large.store(true, Ordering::Relaxed);
    assert_eq!(playing.ask("b").await, Ok(()));
    playing.change("c", started(5)).await;
    let told = until(&mut playing.news, |news| matches!(news, News::Started { .. })).await;
    assert_eq!(
        short(&told),
        ["connected", "described b", "described c", "started c"],
        "no list, and none is gone"
    );
    // Nor by the second look, a second later; when the list can be read it counts again.
    time::pause();
    time::advance(Duration::from_secs(2)).await;
    time::resume();
    assert_eq!(playing.ask("b").await, Ok(()));
    assert_eq!(short(&[next(&mut playing.news).await]), ["described b"]);
    playing.script.is_too_large.store(false, Ordering::Relaxed);
    time::pause();
    time::advance(Duration::from_mins(5)).await;
    time::resume();
    let told = until(&mut playing.news, |news| matches!(news, News::Described(_))).await;
    assert_eq!(short(&told), ["removed c", "described a"]);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_the_session() {
    let mut playing = Playing::start(&[], &[]);
    until(&mut playing.news, |news| matches!(news, News::Listed { .. })).await;
    let began = Instant::now();
    drop(playing.changes);
    assert!(matches!(playing.session.await.unwrap(), End::Failed(Failure::Lost(_))));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_session_that_nobody_listens_to_ends() {
    let playing = Playing::start(&["a"], &[]);
    drop(playing.news);
    assert!(matches!(playing.session.await.unwrap(), End::Unheard));
}

#[tokio::test]
async fn a_stage_that_does_not_listen_is_waited_for_and_nothing_is_lost() {
    let mut playing = Playing::start(&[], &[]);
    let changes = playing.changes.clone();
    let flood = tokio::spawn(async move {
        for number in 0..2000 {
            let change = Change { key: key(&number.to_string()), what: started(number + 1) };
            changes.send(change).await.unwrap();
        }
    });
    // Long enough for every buffer in between to fill; a client that dropped would be through.
    time::sleep(Duration::from_millis(200)).await;
    assert!(!flood.is_finished());
    let mut begun = 0;
    while begun < 2000 {
        begun += usize::from(matches!(next(&mut playing.news).await, News::Started { .. }));
    }
    flood.await.unwrap();
}
