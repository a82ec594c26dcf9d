//! One connection to a runtime: its list, then its changes, in the order of each container.
//!
//! A question about one container must not hold up the others' news, for a runtime may hang over one. So each container
//! has a lane: while it is being described, what else concerns it waits behind, and the rest goes on.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{self, Instant, MissedTickBehavior},
};

use super::{
    News, Stop,
    client::{Change, Client, Failure, Key, Told, What},
    counts::count,
    kubernetes::Facts,
    memory::Memory,
    shared::Shared,
};
use crate::container::{
    description::{Description, Pod, State},
    reason,
};

/// Changes that wait to be looked at; then the runtime's stream waits.
const CHANGES: usize = 256;
/// Containers being described at once.
const AT_ONCE: usize = 8;
/// Works that wait in all lanes, and questions under way; beyond, changes are not taken from the stream.
const WAITING: usize = 4096;
const JOBS: usize = 64;
/// Pods that wait for the API server; more than a node has.
const PODS: usize = 512;
/// Between two questions whether it still answers.
const ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// From the list to a second one, which finds what the stream of events began too late for: nothing says when it
/// begins.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// Between further looks, which should find nothing.
const LOOKS: Duration = Duration::from_mins(5);

/// Of the stage, about one container. The answer is whether it was described, else why not.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) id: Arc<str>,
    pub(super) answer: oneshot::Sender<Result<(), &'static str>>,
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum End {
    Failed(Failure),
    /// Nobody receives the news any more.
    Unheard,
}

pub(super) struct Session<'a, C> {
    client: C,
    shared: &'a Shared,
    memory: &'a mut Memory,
    jobs: JoinSet<Done>,
    /// Apart from the runtime's: an API server that hangs holds up no news.
    pods: JoinSet<OfPod>,
    /// What waits behind the description being made of a container.
    lanes: HashMap<Arc<str>, VecDeque<(Key, Work)>>,
    waiting: usize,
    /// Of the list, not yet begun.
    listed: VecDeque<Key>,
    /// Of the list, being described.
    listing: HashSet<Arc<str>>,
    /// Of the list, to be described once more: at first the runtime was silent.
    again: HashSet<Arc<str>>,
    /// The first list was told whole.
    complete: bool,
    /// The latest list was one that can be read: what is not in it is gone.
    is_listed: bool,
}

/// What is to be done for one container.
#[derive(Debug)]
enum Work {
    Listed,
    Asked(oneshot::Sender<Result<(), &'static str>>),
    Change(What),
}

#[derive(Debug)]
enum Done {
    Described { key: Key, work: Work, told: Result<Box<Told>, Failure> },
    Looked { began: Instant, keys: Result<Vec<Key>, Failure> },
    Alive(Result<(), Failure>),
}

/// The API server told of a pod, or has nothing to tell.
#[derive(Debug)]
struct OfPod {
    uid: String,
    facts: Option<Arc<Facts>>,
}

impl<'a, C: Client> Session<'a, C> {
    pub(super) fn new(client: C, shared: &'a Shared, memory: &'a mut Memory) -> Self {
        Self {
            client,
            shared,
            memory,
            jobs: JoinSet::new(),
            pods: JoinSet::new(),
            lanes: HashMap::new(),
            waiting: 0,
            listed: VecDeque::new(),
            listing: HashSet::new(),
            again: HashSet::new(),
            complete: false,
            is_listed: true,
        }
    }

    /// Until the connection is lost, or nobody listens. `complete` is called once, when the list was told.
    pub(super) async fn run(
        mut self,
        questions: &mut mpsc::Receiver<Question>,
        complete: impl FnOnce() + Send,
    ) -> End {
        match self.follow(questions, complete).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn follow(
        &mut self,
        questions: &mut mpsc::Receiver<Question>,
        complete: impl FnOnce() + Send,
    ) -> Result<std::convert::Infallible, End> {
        // The stream before the list, so that nothing falls in between; dropped with the session.
        let (sender, mut changes) = mpsc::channel(CHANGES);
        let mut watching = JoinSet::new();
        let client = self.client.clone();
        watching.spawn(async move { client.watch(sender).await });
        self.tell(News::Connected(Arc::clone(self.client.engine()))).await?;
        let keys = self.client.list().await;
        self.listed = self.readable(keys)?.unwrap_or_default().into();
        let mut complete = Some(complete);
        let mut alive = time::interval_at(Instant::now() + ALIVE_INTERVAL, ALIVE_INTERVAL);
        let mut looks = time::interval_at(Instant::now() + SECOND_LOOK, LOOKS);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.go_on_listing();
            if self.listed.is_empty() && self.listing.is_empty() && !self.complete {
                self.complete = true;
                if self.is_listed {
                    self.tell(News::Listed { engine: Arc::clone(self.client.engine()) }).await?;
                }
                if let Some(complete) = complete.take() {
                    complete();
                }
            }
            let room = self.waiting < WAITING && self.jobs.len() < JOBS;
            tokio::select! {
                Some(change) = changes.recv(), if room => {
                    count(&self.shared.counters.changes);
                    let Change { key, what } = change;
                    self.take(key, Work::Change(what)).await?;
                }
                Some(Question { id, answer }) = questions.recv(), if room => {
                    self.take(Key { id, namespace: None }, Work::Asked(answer)).await?;
                }
                Some(done) = self.jobs.join_next() => match done {
                    Ok(Done::Described { key, work, told }) => self.described(key, work, told).await?,
                    Ok(Done::Looked { began, keys }) => {
                        if let Some(keys) = self.readable(keys)? {
                            self.looked(began, keys).await?;
                        }
                    }
                    Ok(Done::Alive(answered)) => answered.map_err(End::Failed)?,
                    Err(error) => return Err(End::Failed(Failure::Lost(error.to_string()))),
                },
                Some(told) = self.pods.join_next() => match told {
                    Ok(OfPod { uid, facts }) => self.of_pod(&uid, facts).await?,
                    Err(error) => tracing::warn!(%error, "a question about a pod ended by itself"),
                },
                // What the stream brought before it broke is in `changes` and lost with it: the next list has it.
                Some(ended) = watching.join_next() => {
                    let lost = |error: tokio::task::JoinError| Failure::Lost(error.to_string());
                    return Err(End::Failed(ended.unwrap_or_else(lost)));
                }
                _ = alive.tick() => {
                    let client = self.client.clone();
                    self.jobs.spawn(async move { Done::Alive(client.alive().await) });
                    self.ask_of_passed_over();
                }
                _ = looks.tick(), if self.complete => {
                    let client = self.client.clone();
                    let began = Instant::now();
                    self.jobs.spawn(async move { Done::Looked { began, keys: client.list().await } });
                }
            }
        }
    }

    async fn tell(&self, news: News) -> Result<(), End> {
        match &news {
            News::Described(_) => count(&self.shared.counters.descriptions),
            News::Refused { .. } => count(&self.shared.counters.refusals),
            _ => {}
        }
        self.shared.news.send(news).await.map_err(|_| End::Unheard)
    }

    /// A list, or `None` where it is too large: one container with huge labels is not to take the names of all others,
    /// which are told as they change and when they are asked about.
    fn readable(&mut self, keys: Result<Vec<Key>, Failure>) -> Result<Option<Vec<Key>>, End> {
        match keys {
            Ok(keys) => {
                self.is_listed = true;
                Ok(Some(keys))
            }
            Err(failure @ Failure::TooLarge(_)) => {
                if std::mem::take(&mut self.is_listed) {
                    let engine = self.client.engine().kind.word();
                    tracing::warn!(
                        engine,
                        %failure,
                        "its list of containers cannot be read: each is asked about when it does something; remove \
                         containers with labels of megabytes, and those that ended"
                    );
                }
                Ok(None)
            }
            Err(failure) => Err(End::Failed(failure)),
        }
    }

    fn go_on_listing(&mut self) {
        while self.listing.len() < AT_ONCE
            && let Some(key) = self.listed.pop_front()
        {
            let id = Arc::clone(&key.id);
            // A change is describing it already, behind which it will be told once more.
            if self.lanes.contains_key(&id) {
                self.wait(key, Work::Listed);
            } else {
                self.describe(key, Work::Listed);
            }
            self.listing.insert(id);
        }
    }

    async fn take(&mut self, key: Key, work: Work) -> Result<(), End> {
        if self.lanes.contains_key(&key.id) {
            self.wait(key, work);
            return Ok(());
        }
        self.begin(key, work).await
    }

    fn wait(&mut self, key: Key, work: Work) {
        self.waiting += 1;
        self.lanes.entry(Arc::clone(&key.id)).or_default().push_back((key, work));
    }

    /// Does what can be done at once, and begins to describe where more has to be known.
    async fn begin(&mut self, key: Key, work: Work) -> Result<(), End> {
        let id = Arc::clone(&key.id);
        let known = self.memory.get(&id);
        match (work, known) {
            (Work::Asked(answer), Some(description)) => {
                self.tell(News::Described(description)).await?;
                // Whoever asked may have gone.
                let _ = answer.send(Ok(()));
                Ok(())
            }
            (Work::Change(What::Started { pid: Some(pid), rootfs, at }), Some(before)) => {
                let description = self.memory.started(&id, pid, rootfs, at);
                if let Some(description) = description.filter(|after| after.rootfs != before.rootfs) {
                    self.tell(News::Described(description)).await?;
                }
                self.tell(News::Started { id, pid: Some(pid), at }).await
            }
            (Work::Change(What::Stopped(Some(stop))), _) => self.stopped(id, stop).await,
            (Work::Change(What::Removed), _) => {
                self.memory.forget(&id);
                self.tell(News::Removed { id }).await
            }
            (Work::Change(What::OutOfMemory), _) => {
                self.memory.ran_out_of_memory(&id);
                self.tell(News::OutOfMemory { id }).await
            }
            (work, _) => {
                self.describe(key, work);
                Ok(())
            }
        }
    }

    fn describe(&mut self, key: Key, work: Work) {
        self.lanes.entry(Arc::clone(&key.id)).or_default();
        let client = self.client.clone();
        self.jobs.spawn(async move {
            let told = client.describe(&key).await.map(Box::new);
            Done::Described { key, work, told }
        });
    }

    async fn described(&mut self, key: Key, work: Work, told: Result<Box<Told>, Failure>) -> Result<(), End> {
        let id = Arc::clone(&key.id);
        let listed = matches!(work, Work::Listed);
        match told {
            Ok(told) => self.learned(&id, work, *told).await?,
            Err(failure @ Failure::Lost(_)) => return Err(End::Failed(failure)),
            // Nobody else will ask, and what it is busy with may be the others of the list.
            Err(Failure::Silent) if listed && self.again.insert(Arc::clone(&id)) => {
                self.listed.push_back(key);
            }
            Err(failure) => self.refused(&id, work, &failure).await?,
        }
        if listed {
            self.listing.remove(&id);
            if self.listed.is_empty() && self.listing.is_empty() {
                self.again.clear();
            }
        }
        // Whoever waited behind goes on, until one of them needs a description again.
        let mut behind = self.lanes.remove(&id).unwrap_or_default();
        while let Some((key, work)) = behind.pop_front() {
            self.waiting -= 1;
            self.begin(key, work).await?;
            if let Some(lane) = self.lanes.get_mut(&id) {
                *lane = behind;
                break;
            }
        }
        Ok(())
    }

    async fn learned(&mut self, id: &Arc<str>, work: Work, told: Told) -> Result<(), End> {
        let Told { mut description, stop } = told;
        let (pid, started) = (description.pid, description.started);
        self.complete(&mut description);
        let learned = self.memory.learn(description);
        if learned.forgot {
            count(&self.shared.counters.forgotten);
        }
        // Its task went while nobody looked.
        let ended = learned.description.state == State::Exited;
        let stop = stop.or_else(|| ended.then(Stop::default));
        let change = matches!(work, Work::Change(_));
        if !(change && learned.same) {
            self.tell(News::Described(learned.description)).await?;
        }
        match work {
            Work::Change(What::Started { pid: own, at, .. }) => {
                self.memory.starts(id);
                self.tell(News::Started { id: Arc::clone(id), pid: own.or(pid), at: at.or(started) }).await?;
            }
            Work::Change(What::Stopped(told)) if stop.is_none() => {
                self.stopped(Arc::clone(id), told.unwrap_or_default()).await?;
            }
            Work::Asked(answer) => {
                let _ = answer.send(Ok(()));
            }
            Work::Listed | Work::Change(_) => {}
        }
        match stop {
            Some(stop) => self.stopped(Arc::clone(id), stop).await,
            None => Ok(()),
        }
    }

    /// With what the API server says of its pod, as soon as that is known.
    fn complete(&mut self, description: &mut Description) {
        let (Some(kubernetes), Some(pod)) = (&self.shared.kubernetes, &description.pod) else { return };
        match kubernetes.known(pod) {
            Some(facts) => facts.complete(description),
            None => self.ask_of(pod),
        }
    }

    fn ask_of(&mut self, pod: &Pod) {
        let Some(kubernetes) = &self.shared.kubernetes else { return };
        if self.pods.len() < PODS
            && let Some(question) = kubernetes.question(pod)
        {
            let uid = pod.uid.clone();
            self.pods.spawn(async move { OfPod { uid, facts: question.put().await } });
        }
    }

    /// Asks of the pods that were passed over: while the API server had no answers, or for want of room.
    fn ask_of_passed_over(&mut self) {
        if self.shared.kubernetes.is_some() {
            for pod in self.memory.pods() {
                self.ask_of(&pod);
            }
        }
    }

    async fn of_pod(&mut self, uid: &str, facts: Option<Arc<Facts>>) -> Result<(), End> {
        let Some(facts) = facts else { return Ok(()) };
        for known in self.memory.of_pod(uid) {
            let mut description = (*known).clone();
            facts.complete(&mut description);
            let learned = self.memory.learn(description);
            if !learned.same {
                self.tell(News::Described(learned.description)).await?;
            }
        }
        Ok(())
    }

    async fn refused(&mut self, id: &Arc<str>, work: Work, failure: &Failure) -> Result<(), End> {
        let known = self.memory.get(id);
        tracing::debug!(%failure, %id, "a container cannot be described");
        match (work, known) {
            // Another runtime may know it: whoever asked them all decides.
            (Work::Asked(answer), _) => {
                let _ = answer.send(Err(failure.reason()));
                Ok(())
            }
            // Gone between list and look, or still there: then what was known stands.
            (Work::Listed, Some(known)) if *failure != Failure::Unknown => {
                self.tell(News::Described(known)).await
            }
            (Work::Listed, _) if *failure == Failure::Unknown => Ok(()),
            (Work::Change(what), Some(_)) => match what {
                What::Started { pid, at, .. } => {
                    self.tell(News::Started { id: Arc::clone(id), pid, at }).await
                }
                What::Stopped(stop) => self.stopped(Arc::clone(id), stop.unwrap_or_default()).await,
                What::Changed | What::Removed | What::OutOfMemory => Ok(()),
            },
            (work, None | Some(_)) => {
                let reason = failure.reason();
                self.tell(News::Refused { id: Arc::clone(id), reason }).await?;
                match work {
                    Work::Change(What::Stopped(stop)) => {
                        self.stopped(Arc::clone(id), stop.unwrap_or_default()).await
                    }
                    Work::Change(_) | Work::Listed | Work::Asked(_) => Ok(()),
                }
            }
        }
    }

    async fn stopped(&mut self, id: Arc<str>, stop: Stop) -> Result<(), End> {
        match self.memory.stopped(&id, stop) {
            Some(exit) => self.tell(News::Stopped { id, exit }).await,
            None => Ok(()),
        }
    }

    /// Compares a later list with what is known.
    async fn looked(&mut self, began: Instant, keys: Vec<Key>) -> Result<(), End> {
        let there: HashSet<&str> = keys.iter().map(|key| &*key.id).collect();
        let gone = self.memory.seen_before(began);
        let gone: Vec<_> = gone.into_iter().filter(|id| !there.contains(&**id)).collect();
        for id in gone {
            if !self.lanes.contains_key(&id) {
                self.memory.forget(&id);
                self.tell(News::Removed { id }).await?;
            }
        }
        let known = |memory: &mut Memory, key: &Key| memory.get(&key.id).is_some();
        for key in keys {
            if !known(self.memory, &key) && !self.lanes.contains_key(&key.id) {
                self.listed.push_back(key);
            }
        }
        Ok(())
    }
}

/// Why a container is not described while its runtime is away.
pub(super) fn away(end: &End) -> &'static str {
    match end {
        End::Failed(Failure::Silent) => reason::RUNTIME_SILENT,
        End::Failed(_) | End::Unheard => reason::RUNTIME_LOST,
    }
}
