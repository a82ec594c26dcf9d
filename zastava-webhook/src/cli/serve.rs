//! `zastava-webhook serve`: answers the API server until SIGTERM.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use kube::Client;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use zastava_common::{
    config::{ConfigError, Fault, Server, What, Written},
    metric,
};

use super::{
    FAILED, USAGE, fail,
    log::{self, Form},
};
use crate::{
    assemble::Assembled,
    exposition::{Exposition, MetricsError},
    manifest::Check,
    policy::Disk,
    server::{App, Certificates, Health, Listener, ServerError, TlsError, router},
};

/// Connections of the plain port: a scraper, the kubelet's probes.
const MAX_PLAIN: usize = 64;

/// Answer the API server until SIGTERM.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Configuration; read anew when it changes, and when a file that it names does
    #[arg(long, value_name = "FILE", env = "ZASTAVA_CONFIG")]
    config: PathBuf,
    /// Form of the log
    #[arg(long, value_name = "FORM", default_value = "json")]
    log: Form,
}

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error("zastava.admission.pullSecrets is on, and there is no Kubernetes to read them from: {0}")]
    Kube(#[from] kube::Error),
    #[error("cannot run: {0}")]
    Io(#[from] io::Error),
}

pub(super) fn run(ServeArgs { config, log }: &ServeArgs) -> ExitCode {
    if let Err(error) = log::start(*log, "info") {
        return fail(USAGE, &error);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(FAILED, &error),
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ ServeError::Config(_)) => fail(USAGE, &error),
        Err(error) => fail(FAILED, &error),
    }
}

async fn serve(path: &Path) -> Result<(), ServeError> {
    let exposition = Exposition::install()?;
    let mut assembled = Assembled::load(path, &Disk, None)?;
    let client =
        if assembled.config.admission.pull_secrets { Some(Client::try_default().await?) } else { None };
    if client.is_some() {
        assembled = Assembled::load(path, &Disk, client.as_ref())?;
    }
    metrics::gauge!(metric::ADMISSION_POLICY_CURRENT).set(1.0);
    let server = assembled.config.admission.server.clone();
    let certificates = Certificates::load(&server, &Disk).map_err(|error| unusable(path, &server, &error))?;
    let health = Health::default();
    let app = App::new(assembled.engine.clone(), health.clone(), server.margin_milliseconds.milliseconds());
    let secure =
        Listener::bind(server.address.get(), router(app.clone()), server.max_connections.entries()).await?;
    let plain =
        Listener::bind(server.metrics_address.get(), health.router(exposition.clone()), MAX_PLAIN).await?;
    tracing::info!(
        address = %secure.address()?, metrics_address = %plain.address()?,
        policy = %assembled.engine.policy().hash(), version = env!("CARGO_PKG_VERSION"), "serving"
    );

    let stop = CancellationToken::new();
    let plain_stop = CancellationToken::new();
    let secure = tokio::spawn(secure.run(Some(certificates.clone()), stop.clone()));
    let plain = tokio::spawn(plain.run(None, plain_stop.clone()));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut reload = Reload { path, client, certificates, app: &app, assembled, told: String::new() };
    let mut told = Check::default();
    let mut ticks = interval(server.reload_seconds.seconds());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = ticks.tick() => {
                reload.refresh();
                if let Some(client) = &reload.client {
                    told.tick(client, &reload.assembled.config.admission);
                }
                exposition.upkeep();
                app.engine().gatherer().count_requests();
                #[expect(clippy::cast_precision_loss, reason = "a gauge of bytes")]
                metrics::gauge!(metric::ADMISSION_CACHE_BYTES).set(app.engine().gatherer().bytes() as f64);
            }
        }
    }
    // The cluster has to learn that nobody should come here any more, and until it has they are answered.
    let drain = server.drain_seconds.seconds();
    tracing::info!(seconds = drain.as_secs(), "ending: answering while the cluster learns of it");
    app.leave();
    wait(drain, &mut interrupt).await;
    stop.cancel();
    let _ = secure.await;
    plain_stop.cancel();
    let _ = plain.await;
    tracing::info!("ended");
    Ok(())
}

/// A file of the server's, told as the configuration tells its own faults.
fn unusable(path: &Path, server: &Server, error: &TlsError) -> ConfigError {
    let fault = Fault::new(error.key(server).to_owned(), What::Unusable { why: error.to_string() });
    Written::read(path).map_or_else(|unread| unread, |written| written.invalid(fault))
}

/// The time, or Ctrl-C by somebody who does not want to wait.
async fn wait(time: Duration, interrupt: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        () = sleep(time) => {}
        _ = interrupt.recv() => {}
    }
}

/// Looks for other files.
struct Reload<'a> {
    path: &'a Path,
    client: Option<Client>,
    certificates: Certificates,
    app: &'a App,
    assembled: Assembled,
    /// The last error, which is told once and not at every look.
    told: String,
}

impl Reload<'_> {
    fn refresh(&mut self) {
        match self.certificates.refresh(&Disk) {
            Ok(false) => {}
            Ok(true) => {
                count("certificate", "ok");
                tracing::info!("another certificate is in use");
            }
            Err(error) => {
                count("certificate", "error");
                tracing::error!("the old certificate stays in use: {error}");
            }
        }
        match self.assembled.again(self.path, &Disk, self.client.as_ref()) {
            Ok(None) => self.current(true, String::new()),
            Ok(Some(assembled)) => {
                let before = self.assembled.engine.policy().hash();
                let (old, new) = (&self.assembled.config.admission, &assembled.config.admission);
                if new.server != old.server || (new.pull_secrets && self.client.is_none()) {
                    tracing::warn!("what changed of server and pullSecrets counts from the next start on");
                }
                self.app.replace(assembled.engine.clone());
                tracing::info!(before = %before, policy = %assembled.engine.policy().hash(), "another policy is in force");
                self.assembled = assembled;
                count("policy", "ok");
                self.current(true, String::new());
            }
            Err(error) => self.current(false, error.to_string()),
        }
    }

    fn current(&mut self, is_current: bool, error: String) {
        metrics::gauge!(metric::ADMISSION_POLICY_CURRENT).set(if is_current { 1.0 } else { 0.0 });
        if !is_current && error != self.told {
            count("policy", "error");
            tracing::error!("the old policy stays in force: {error}");
        }
        self.told = error;
    }
}

fn count(what: &'static str, result: &'static str) {
    metrics::counter!(metric::ADMISSION_RELOADS, "what" => what, "result" => result).increment(1);
}
