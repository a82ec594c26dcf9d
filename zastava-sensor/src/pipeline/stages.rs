//! The stages' thread: start-up enumeration first, then whatever comes: the kernel's batches, what the runtimes tell,
//! questions of the command line, and the times at which something is due.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use metrics::counter;
use tokio::{sync::mpsc, time};
use zastava_common::metric;

use super::{figures, observer::Observer};
use crate::{
    container::{
        Now, Question,
        runtime::{Ask, Asker, News},
    },
    health::{Pulse, Readiness, Step},
    kernel::{
        source::{Batch, KernelCounters},
        sys::{clock::boot_ns, memory::give_back},
    },
    observation::Observation,
    process::{Existing, Scan},
};

/// Start-up only: how often to look for records while the first ones settle.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// Start-up only: how long to wait for what the runtimes have, so that what runs already is told with its names.
const FIRST_LIST: Duration = Duration::from_secs(3);
/// Start-up only: how long the files of what runs already may wait for a share of the bytes that may be hashed.
const FIRST_READ: Duration = Duration::from_secs(10);
/// News heard before the kernel's next batch is looked at.
const NEWS: usize = 256;

/// Counters of all stages.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) kernel: KernelCounters,
    pub(super) process: crate::process::Counts,
    pub(super) processes: usize,
    pub(super) cgroup: crate::container::Counts,
    pub(super) cgroups: usize,
    pub(super) container: crate::container::ContainerCounts,
    /// `None`: no runtime is asked.
    pub(super) runtimes: Option<crate::container::runtime::Counts>,
    pub(super) file: crate::file::Counters,
    pub(super) seen: usize,
    pub(super) seen_forgotten: u64,
}

/// The stages with what comes in and where it goes.
pub(super) struct Stages {
    pub(super) observer: Observer,
    pub(super) input: mpsc::Receiver<Batch>,
    /// `None`: no runtime is asked.
    pub(super) runtimes: Option<Heard>,
    /// Who asks what runs.
    pub(super) questions: mpsc::Receiver<Question>,
    pub(super) output: mpsc::Sender<Vec<Observation>>,
    /// Beats with each turn.
    pub(super) pulse: Pulse,
}

/// The runtimes' word, and the way to ask for it.
pub(super) struct Heard {
    pub(super) news: mpsc::Receiver<News>,
    pub(super) asker: Asker,
}

/// The stage behind has hung up.
struct Over;

/// What woke the stages.
enum Woken {
    Batch(Option<Batch>),
    News(Option<News>),
    Question(Option<Question>),
    Due,
}

impl Stages {
    /// Runs until the kernel stage is over or nobody receives. To be driven on a thread of its own, which it blocks
    /// while it reads files.
    ///
    /// The hooks are attached before `scan` looks: a process that executes in between is told by both, and the hooks'
    /// records, which wait in the rings for up to `flush`, are walked first so that the process stage can drop the
    /// double.
    pub(super) async fn run(mut self, scan: Scan, flush: Duration, readiness: Readiness) {
        // Nobody is left to tell why it ended.
        let _ = self.work(scan, flush, &readiness).await;
    }

    async fn work(&mut self, scan: Scan, flush: Duration, readiness: &Readiness) -> Result<(), Over> {
        self.enumerate(scan, flush).await?;
        give_back();
        readiness.reached(Step::Enumerated);
        tracing::info!("ready");
        loop {
            match self.wait().await {
                Woken::Batch(Some(batch)) => self.walk(batch),
                Woken::Batch(None) => break,
                Woken::News(Some(news)) => self.hear(news),
                Woken::News(None) => self.runtimes = None,
                Woken::Question(Some(question)) => {
                    // Who asked may have gone.
                    let _ = question.send(self.observer.containers.list());
                }
                Woken::Question(None) => self.questions.close(),
                Woken::Due => {}
            }
            self.hand_on().await?;
            self.pulse.beat();
        }
        self.observer.containers.close(boot_ns());
        self.hand_on().await
    }

    async fn wait(&mut self) -> Woken {
        let Self { observer, input, runtimes, questions, .. } = self;
        let due = observer.containers.due().map(|at| Duration::from_nanos(at.saturating_sub(boot_ns())));
        tokio::select! {
            biased;
            batch = input.recv() => Woken::Batch(batch),
            news = news(runtimes.as_mut()) => Woken::News(news),
            () = wait(due) => Woken::Due,
            question = questions.recv(), if !questions.is_closed() => Woken::Question(question),
        }
    }

    async fn enumerate(&mut self, scan: Scan, flush: Duration) -> Result<(), Over> {
        self.observer.cgroups.scan();
        let existing: Vec<Existing> = scan.collect();
        counter!(metric::PROC_MAPS_SAMPLES, "result" => "ok").increment(existing.len() as u64);
        let (settled, patience) = (Instant::now() + flush * 2, Instant::now() + FIRST_LIST);
        while Instant::now() < settled
            || (!self.observer.containers.is_searched() && Instant::now() < patience)
        {
            self.live().await?;
            time::sleep(BETWEEN_LOOKS).await;
        }
        self.observer.containers.searched(boot_ns());
        // Reading what runs takes its time; what happens meanwhile does not wait for it.
        let patience = Instant::now() + FIRST_READ;
        for Existing { exec, mappings } in existing {
            self.leave_to_read(patience).await?;
            if self.observer.observe(exec, boot_ns()) {
                for mapping in mappings {
                    self.leave_to_read(patience).await?;
                    self.observer.observe(mapping, boot_ns());
                }
            }
            self.live().await?;
        }
        self.observer.containers.enumerated(boot_ns());
        self.hand_on().await
    }

    /// Waits until files may be hashed again, or for as long as `patience` goes: nothing else will ask for what runs
    /// already.
    async fn leave_to_read(&mut self, patience: Instant) -> Result<(), Over> {
        while !self.observer.file.may_read() && Instant::now() < patience {
            self.live().await?;
            time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(())
    }

    /// Walks the batches that wait, and hears the news that do.
    async fn live(&mut self) -> Result<(), Over> {
        self.listen();
        while let Ok(batch) = self.input.try_recv() {
            self.walk(batch);
            self.hand_on().await?;
        }
        self.hand_on().await
    }

    fn walk(&mut self, batch: Batch) {
        // Who is described before its first event need not wait.
        self.listen();
        let now_ns = boot_ns();
        let Batch { records, counters } = batch;
        for record in records {
            self.observer.observe(record, now_ns);
        }
        if let Some(kernel) = counters {
            let now_ns = boot_ns();
            self.observer.containers.ledger_read(now_ns);
            let observer = &self.observer;
            figures::emit(&Figures {
                kernel,
                process: observer.process.counts(),
                processes: observer.process.len(),
                cgroup: observer.cgroups.counts(),
                cgroups: observer.cgroups.len(),
                container: observer.containers.counts(),
                runtimes: self.runtimes.as_ref().map(|heard| heard.asker.counts()),
                file: observer.file.counters(),
                seen: observer.told.len(),
                seen_forgotten: observer.told.forgotten(),
            });
        }
    }

    fn listen(&mut self) {
        for _ in 0..NEWS {
            let Some(Ok(news)) = self.runtimes.as_mut().map(|heard| heard.news.try_recv()) else { return };
            self.hear(news);
        }
    }

    fn hear(&mut self, news: News) {
        match &news {
            News::Described(description) => self.observer.cgroups.described(description),
            News::Removed { id } => self.observer.cgroups.forgotten(id),
            _ => {}
        }
        let now = Now { boot_ns: boot_ns(), system: SystemTime::now() };
        self.observer.containers.hear(news, now);
    }

    /// Does what is due, and hands on what came of everything.
    async fn hand_on(&mut self) -> Result<(), Over> {
        let now_ns = boot_ns();
        self.observer.containers.tick(now_ns);
        self.observer.tell_starts(now_ns);
        if let Some(heard) = &mut self.runtimes {
            for Ask { id, by_user } in self.observer.containers.take_asks() {
                let asker = &heard.asker;
                let own = Arc::clone(&id);
                if !(if by_user { asker.ask_of_claim(own) } else { asker.ask(own) }) {
                    self.observer.containers.not_asked(&id, now_ns);
                }
            }
        }
        let observations = self.observer.containers.take_out();
        if observations.is_empty() {
            return Ok(());
        }
        self.output.send(observations).await.map_err(|_| Over)
    }
}

async fn news(heard: Option<&mut Heard>) -> Option<News> {
    match heard {
        Some(heard) => heard.news.recv().await,
        None => std::future::pending().await,
    }
}

async fn wait(due: Option<Duration>) {
    match due {
        Some(due) => time::sleep(due).await,
        None => std::future::pending().await,
    }
}
