//! `zastava-sensor containers`: what runs now, by the word of a running sensor.

#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::{Args, ValueEnum};
use comfy_table::{Table, presets::NOTHING};
use zastava_common::event::v1::{
    ContainerStatus, ContainersRequest, Origins, Workload, container_status::State, event::Observed,
};

use super::{exit, fail, watch::default_socket};
use crate::deliver::{FeedError, Shown, Tail, containers};

/// List the containers that run, as the sensor knows them.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct ContainersArgs {
    /// Unix socket of the sensor
    #[arg(long, value_name = "PATH", default_value_os_t = default_socket())]
    socket: PathBuf,
    /// This container alone, by its name, pod/name, namespace/pod/name, its id or at least four characters of its id's
    /// beginning. May be given several times
    #[arg(long, value_name = "CONTAINER")]
    container: Vec<String>,
    /// A table, or one JSON object per line with what CONTAINER_START tells, but counts in place of file and libraries
    #[arg(long, value_name = "FORM", default_value = "table")]
    output: Form,
}

const AFTER_HELP: &str = "\
Examples:
  zastava-sensor containers                          what runs here
  zastava-sensor containers --container web/nginx    one of them
  zastava-sensor containers --output json            with labels, mounts, layers and image ids

Columns: EXECS counts programs executed, LIBS files mapped executable. NOT OF IMAGE counts those of both that do not come
from a layer of the image: upper (the container's writable layer), tmpfs, memfd, mount (a bind mount or volume), and ?
where the kernel could not tell.

Exit codes: 0 told, also when none runs; 1 failed; 2 arguments cannot be used; 4 no sensor there, or not ready yet.";

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Form {
    Table,
    Json,
}

#[derive(Debug, thiserror::Error)]
enum ContainersError {
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

impl ContainersError {
    fn code(&self) -> u8 {
        match self {
            Self::Feed(FeedError::Refused(_)) => exit::USAGE,
            Self::Feed(_) => exit::SENSOR,
            Self::Write(_) => exit::FAILED,
        }
    }
}

pub(super) fn run(arguments: ContainersArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::FAILED, &format_args!("cannot start: {error}")),
    };
    match runtime.block_on(list(arguments, &mut io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has read enough.
        Err(ContainersError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(error.code(), &error),
    }
}

async fn list(arguments: ContainersArgs, out: &mut dyn Write) -> Result<(), ContainersError> {
    let ContainersArgs { socket, container, output } = arguments;
    let mut statuses = containers(&socket, ContainersRequest { containers: container }).await?;
    statuses.sort_by(|one, other| order(one).cmp(&order(other)));
    match output {
        Form::Table => writeln!(out, "{}", table(&statuses, SystemTime::now()))?,
        Form::Json => {
            for status in &statuses {
                serde_json::to_writer(&mut *out, status).map_err(io::Error::from)?;
                writeln!(out)?;
            }
        }
    }
    Ok(out.flush()?)
}

/// By name, as people look for it.
fn order(status: &ContainerStatus) -> Option<[&str; 4]> {
    let workload = status.workload.as_ref()?;
    Some([&workload.namespace, &workload.pod, &workload.container, &workload.container_id])
}

fn table(statuses: &[ContainerStatus], now: SystemTime) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header([
        "CONTAINER",
        "ID",
        "IMAGE",
        "DIGEST",
        "ENTRYPOINT",
        "EXECS",
        "LIBS",
        "NOT OF IMAGE",
        "LOST",
        "STATE",
    ]);
    for status in statuses {
        let workload = status.workload.clone().unwrap_or_default();
        let (executions, libraries) =
            (status.executions.unwrap_or_default(), status.libraries.unwrap_or_default());
        table.add_row([
            name(&workload),
            short(&workload.container_id).to_owned(),
            image(&workload),
            or(short(&workload.image_digest), &workload.image_digest_reason),
            entrypoint(status),
            total(executions).to_string(),
            total(libraries).to_string(),
            elsewhere(executions, libraries),
            status.lost.to_string(),
            state(status, now),
        ]);
    }
    table
}

fn name(workload: &Workload) -> String {
    let Workload { namespace, pod, container, names_reason, .. } = workload;
    match (pod.as_str(), container.as_str()) {
        (_, "") => format!("? ({})", Shown(names_reason)),
        ("", container) => Shown(container).to_string(),
        (pod, container) => Shown(&[namespace, "/", pod, "/", container].concat()).to_string(),
    }
}

/// Without prefix, the first characters.
fn short(id: &str) -> &str {
    let id = id.split_once("://").map_or(id, |(_, id)| id);
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

/// As it was asked for: the digest has a column of its own.
fn image(workload: &Workload) -> String {
    let image = workload.image_ref.split_once('@').map_or(&*workload.image_ref, |(name, _)| name);
    Tail(if image.is_empty() { "?" } else { image }, 48).to_string()
}

fn or(text: &str, reason: &str) -> String {
    if text.is_empty() && !reason.is_empty() {
        format!("- ({})", Shown(reason))
    } else {
        Shown(text).to_string()
    }
}

fn entrypoint(status: &ContainerStatus) -> String {
    let Some(process) = &status.process else { return "?".to_owned() };
    let words = process.entrypoint.join(" ");
    // Not told: what runs.
    Tail(if words.is_empty() { &process.exe } else { &words }, 48).to_string()
}

fn total(origins: Origins) -> u64 {
    let Origins { overlay_lower, overlay_upper, tmpfs, memory, plain, unknown } = origins;
    overlay_lower + overlay_upper + tmpfs + memory + plain + unknown
}

/// What does not come from a layer of the image, executed or mapped.
fn elsewhere(executions: Origins, libraries: Origins) -> String {
    let counts = [
        ("upper", executions.overlay_upper + libraries.overlay_upper),
        ("tmpfs", executions.tmpfs + libraries.tmpfs),
        ("memfd", executions.memory + libraries.memory),
        ("mount", executions.plain + libraries.plain),
        ("?", executions.unknown + libraries.unknown),
    ];
    let counts: Vec<_> =
        counts.iter().filter(|(_, count)| *count > 0).map(|(of, count)| format!("{count} {of}")).collect();
    if counts.is_empty() { "-".to_owned() } else { counts.join(", ") }
}

fn state(status: &ContainerStatus, now: SystemTime) -> String {
    let word = match status.state() {
        State::Starting => "starting",
        State::Running | State::Unspecified => "running",
        State::Ended => "ended",
    };
    let since = status.since.and_then(|since| SystemTime::try_from(since).ok());
    let ran = since.and_then(|since| now.duration_since(since).ok());
    let ran = ran.map_or_else(String::new, |ran| format!(" {}", span(ran)));
    let existing = if status.observed() == Observed::Existing { ", ran before" } else { "" };
    format!("{word}{ran}{existing}")
}

fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
