//! The wiring of the stages, and their ordered end.
//!
//! Five threads: the kernel stage reads the rings; the clients of the container runtimes talk with those; the stages
//! process, container and file walk each batch, and hear what the runtimes tell; the deliver stage writes, and waits for
//! whoever reads; the main thread serves watchers and metrics. Channels hold a few batches
//! each: when the last is full the stage before waits, and in the end the kernel's ring fills, where a loss is counted
//! and named.
//!
//! The end begins at the front: the kernel stage reads what is left and hangs up, each stage behind it finishes what
//! it has and hangs up in turn.
#![forbid(unsafe_code)]

mod figures;
mod first_seen;
mod observer;
mod stages;
mod starts;

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time,
};
use tokio_util::sync::CancellationToken;
use zastava_common::{
    abi::Tier,
    config::{self, Config},
    event::id::{EventIdError, EventIdSource},
};

use self::{
    first_seen::FirstSeen,
    observer::Observer,
    stages::{Heard, Stages},
};
use crate::{
    cli::run::RunOptions,
    container::{
        CgroupInventory, Containers, DEFAULT_CAPACITY, Settings,
        runtime::{Runtimes, RuntimesError},
    },
    deliver::{
        BootClock, Converter, Deliver, Hub, OutputError, ServeError, Socket, SocketError, Summary, serve,
    },
    file::{FileStage, Limits},
    health::{Exposition, HealthServer, MetricsError, Pulse, Readiness, ServerError, Step, attend},
    kernel::{
        load::Sizes,
        source::{KernelConfig, KernelError, Source},
        sys::clock::boot_ns,
    },
    process::{
        Mapped, ProcessTable,
        proc::{ProcRoot, cgroupfs::Cgroupfs, cgroupns},
        scan,
    },
};

/// Batches that wait between two stages.
const BATCHES: usize = 4;
/// Who may wait to be told what runs.
const QUESTIONS: usize = 16;
/// How long the end may take.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Health(#[from] ServerError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Ids(#[from] EventIdError),
    #[error(transparent)]
    Runtimes(#[from] RuntimesError),
    #[error("cannot start the sensor's threads: {0}")]
    Thread(io::Error),
    #[error("events could not be handed on within {} s of the end; some are lost", DRAIN.as_secs())]
    Drain,
}

/// What the kernel stage needs of the configuration.
pub fn kernel_config(config: &Config) -> KernelConfig {
    let sensor = &config.sensor;
    KernelConfig {
        tier: sensor.tier.tier(),
        sizes: Sizes {
            process_ring: sensor.rings.process_bytes.get(),
            files_ring: sensor.rings.files_bytes.get(),
            seen_entries: u32::try_from(sensor.first_seen_entries.get()).unwrap_or(u32::MAX),
            loss_entries: u32::try_from(sensor.loss_entries.get()).unwrap_or(u32::MAX),
        },
        flush: sensor.flush_interval_ms.milliseconds(),
        proc_root: config.runtime.procfs.as_path().to_path_buf(),
        sys_root: PathBuf::from("/sys"),
        process_entries: sensor.process_table_entries.entries(),
    }
}

/// Observes until the time is over, the reader of the output is gone, or a signal asks for the end.
pub fn run(options: &RunOptions) -> Result<Summary, PipelineError> {
    enter_hosts_cgroups(options);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PipelineError::Thread)?;
    runtime.block_on(observe(options))
}

/// Before any thread is started: each has the cgroup namespace of the one that started it.
fn enter_hosts_cgroups(options: &RunOptions) {
    match cgroupns::enter_hosts(&ProcRoot::new(options.config.runtime.procfs.as_path())) {
        Ok(true) => tracing::info!("entered the host's cgroup namespace"),
        Ok(false) => {}
        Err(error) => tracing::warn!(
            %error,
            "the host's cgroup namespace cannot be entered: what runs already may be in no known container"
        ),
    }
}

async fn observe(options: &RunOptions) -> Result<Summary, PipelineError> {
    let sensor = &options.config.sensor;
    let stop = CancellationToken::new();
    let readiness = Readiness::default();
    // Before anything attaches: a second sensor is told here.
    let socket = Socket::bind(sensor.watch_socket.as_path())?;
    let health =
        HealthServer::bind(sensor.metrics_address.get(), readiness.clone(), Exposition::install()?).await?;
    let hub = Arc::new(Hub::new(sensor.watch_queue.entries(), sensor.max_watchers.entries()));
    let deliver = deliver(options, &hub)?;
    // First of all: what they have is listed while the hooks are attached.
    let (runtimes, heard) = runtimes(&options.config.runtime)?;

    let kernel = kernel_config(&options.config);
    let source = Source::open(&kernel)?;
    announce(&source, &readiness);
    let scan = scan(proc_root(&kernel), unified(options), source.tier(), kernel.process_entries);
    let (batches, input) = mpsc::channel(BATCHES);
    let tier = source.tier();
    let reader = source.run(batches)?;
    readiness.reached(Step::Attached);

    let (output, observed) = mpsc::channel(BATCHES);
    let (asking, questions) = mpsc::channel(QUESTIONS);
    let pulse = Pulse::default();
    let stages = Stages {
        observer: observer(options, &kernel, tier),
        input,
        runtimes: heard,
        questions,
        output,
        pulse: pulse.clone(),
    };
    let (flush, told) = (kernel.flush, readiness.clone());
    // A runtime of its own, for its channels and times: the stages block it while they read files.
    let driver =
        tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(PipelineError::Thread)?;
    let stages = spawn("stages", move || driver.block_on(stages.run(scan, flush, told)))?;
    let (delivered, over) = oneshot::channel();
    spawn("deliver", move || {
        // The receiver is gone only when the end took too long.
        let _ = delivered.send(deliver.run(observed));
    })?;

    let serving = tokio::spawn(serve(socket, hub, asking, stop.clone()));
    let pages = tokio::spawn(health.run(stop.clone()));
    let ending = CancellationToken::new();
    let service = tokio::spawn(attend(readiness.clone(), pulse, ending.clone()));
    readiness.reached(Step::Serving);

    let stop_reader = reader.stopper();
    tokio::pin!(over);
    let over = tokio::select! {
        over = &mut over => over.ok(),
        () = end(options.limit) => {
            readiness.stopping();
            ending.cancel();
            stop_reader();
            match time::timeout(DRAIN, &mut over).await {
                Ok(over) => over.ok(),
                Err(_) => return Err(PipelineError::Drain),
            }
        }
    };
    ending.cancel();
    stop_reader();
    reader.join();
    if stages.join().is_err() {
        tracing::error!("the stages ended by a panic; what they held is lost");
    }
    if let Some(runtimes) = runtimes {
        runtimes.stop();
    }
    stop.cancel();
    if let Ok(Err(error)) = serving.await {
        tracing::warn!(%error, "watchers were not served to the end");
    }
    pages.abort();
    // It had only to say that the end began.
    let _ = service.await;
    let (summary, written) = over.ok_or(PipelineError::Drain)?;
    match written {
        // A reader that has read enough is no failure.
        Ok(()) | Err(OutputError::ReaderGone) => Ok(summary),
        Err(error) => Err(error.into()),
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, PipelineError> {
    Builder::new().name(name.to_owned()).spawn(body).map_err(PipelineError::Thread)
}

fn deliver(options: &RunOptions, hub: &Arc<Hub>) -> Result<Deliver, PipelineError> {
    let converter = Converter::new(
        options.config.runtime.tenant.as_str().to_owned(),
        node(),
        BootClock::read(),
        EventIdSource::new()?,
        options.diagnostics,
    );
    let ledger = options.config.sensor.loss_entries.entries();
    Ok(Deliver::new(converter, options.output()?, options.kinds, Arc::clone(hub), ledger))
}

fn observer(options: &RunOptions, kernel: &KernelConfig, tier: Tier) -> Observer {
    let sensor = &options.config.sensor;
    let containers = settings(options, tier);
    let limits = Limits {
        cache_entries: sensor.file_cache_entries.entries(),
        hash_bytes_per_second: sensor.hash_bytes_per_second.get(),
        max_hash_file_bytes: sensor.max_hash_file_bytes.get(),
        max_hash_bytes_per_container: options.config.runtime.collect.max_hash_bytes_per_container.get(),
    };
    Observer {
        told: FirstSeen::new(sensor.first_seen_entries.entries()),
        process: ProcessTable::new(proc_root(kernel), unified(options), kernel.process_entries),
        cgroups: CgroupInventory::new(
            proc_root(kernel),
            unified(options),
            DEFAULT_CAPACITY,
            containers.tombstone_ns,
        ),
        containers: Containers::new(containers),
        mapped: Mapped::new(proc_root(kernel)),
        file: FileStage::new(limits, proc_root(kernel), boot_ns),
        diagnostics: options.diagnostics,
    }
}

/// The clients of the container runtimes, and what they tell; none where none is wanted.
fn runtimes(config: &config::Runtime) -> Result<(Option<Runtimes>, Option<Heard>), PipelineError> {
    if config.engine == config::Engine::None {
        return Ok((None, None));
    }
    let (runtimes, news) = Runtimes::start(config.into())?;
    let asker = runtimes.asker();
    Ok((Some(runtimes), Some(Heard { news, asker })))
}

fn settings(options: &RunOptions, tier: Tier) -> Settings {
    let config::Containers { hold_ms, hold_events, hold_bytes, tombstone_seconds, entries, start_settle_ms } =
        options.config.sensor.containers;
    let collect = &options.config.runtime.collect;
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Settings {
        hold_ns: ns(hold_ms.milliseconds()),
        hold_events: hold_events.entries(),
        hold_bytes: hold_bytes.entries(),
        tombstone_ns: ns(tombstone_seconds.seconds()),
        entries: entries.entries(),
        settle_ns: ns(start_settle_ms.milliseconds()),
        max_libs: collect.loaded_libs.then(|| collect.max_libs.entries()),
        asked: options.config.runtime.engine != config::Engine::None,
        tier,
    }
}

fn proc_root(kernel: &KernelConfig) -> ProcRoot {
    ProcRoot::new(kernel.proc_root.clone())
}

/// The cgroup v2 file system: the configured place if it is one, else wherever it is mounted.
fn unified(options: &RunOptions) -> Option<Cgroupfs> {
    let configured = options.config.sensor.cgroup_root.as_path();
    if configured.join("cgroup.controllers").exists() {
        return Some(Cgroupfs::at(configured));
    }
    Cgroupfs::find(&ProcRoot::new(options.config.runtime.procfs.as_path()))
        .inspect_err(
            |error| tracing::warn!(%error, "containers are told by what processes say of themselves"),
        )
        .ok()
}

/// Says which tier it is and what it does without.
fn announce(source: &Source, readiness: &Readiness) {
    for refused in source.refused() {
        tracing::info!(
            tier = refused.tier.name(),
            reason = refused.reason,
            "a better tier does not work here"
        );
    }
    for missing in source.missing() {
        readiness.degraded(&missing.hook, &format!("without {}: {}", missing.gives.name(), missing.reason));
        tracing::warn!(hook = missing.hook, reason = missing.reason, "without {}", missing.gives.name());
    }
    tracing::info!(tier = source.tier().name(), "attached");
}

/// The node's name: Kubernetes' if it gave one, else the machine's.
fn node() -> String {
    std::env::var("NODE_NAME")
        .unwrap_or_else(|_| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// Ends with the time limit, SIGINT or SIGTERM.
async fn end(limit: Option<Duration>) {
    let over = async {
        match limit {
            Some(limit) => time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        () = arrives(SignalKind::interrupt()) => {}
        () = arrives(SignalKind::terminate()) => {}
    }
}

async fn arrives(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "a signal cannot be waited for");
            std::future::pending::<()>().await;
        }
    }
}
