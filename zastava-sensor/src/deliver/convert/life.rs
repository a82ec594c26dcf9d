//! A container's start and end, in the envelope's words.

use zastava_common::event::v1::{
    self, Event, Exit,
    event::{Kind, Observed},
    file::Op,
};

use super::{Converter, artifact, place, text};
use crate::{
    container::description::Description,
    observation::{self, HowEnded, Known, Start, Stop},
};

/// Bytes of JSON that a start's libraries may have: their paths are the container's choice, and an event has a bound
/// ([`zastava_common::event::json::MAX_JSON`]).
const LIBRARY_BYTES: usize = 2 << 20;
const EXEC_NOT_TOLD: &str = "the exec of the entrypoint was not told";

/// The process is as it stood in the event; `None`: its exec was not told.
pub(super) fn start(
    event: &mut Event,
    start: Start,
    pid: u32,
    process: Option<v1::Process>,
    description: Option<&Description>,
) {
    let Start { observed, program, script, libraries, left_out, libraries_reason } = start;
    event.set_kind(Kind::ContainerStart);
    event.set_observed(self::observed(observed));
    event.file = program.map(|program| artifact::file(program, Op::Unspecified));
    let mut process = process.unwrap_or_else(|| not_told(pid));
    process.build_id = event.file.as_ref().map(|file| file.build_id.clone()).unwrap_or_default();
    process.script = script.map(|script| artifact::file(script, Op::Unspecified));
    if let Some(description) = description {
        process.entrypoint.clone_from(&description.entrypoint.words);
        process.entrypoint_truncated = description.entrypoint.truncated;
        if let Some(workload) = &mut event.workload {
            place::extend(workload, description);
        }
    }
    event.process = Some(process);
    let libraries = libraries.into_iter().map(|library| artifact::file(library, Op::Unspecified));
    let (libraries, too_much) = text::within(libraries, LIBRARY_BYTES);
    event.loaded_libs = libraries;
    event.loaded_libs_left_out = left_out.saturating_add(too_much);
    event.loaded_libs_reason = text::reason(libraries_reason);
}

pub(super) fn stop(
    converter: &Converter,
    event: &mut Event,
    stop: Stop,
    pid: u32,
    process: Option<v1::Process>,
) {
    let Stop { how, oom, duration_ns, losses, word } = stop;
    event.set_kind(Kind::ContainerStop);
    event.process = Some(process.unwrap_or_else(|| not_told(pid)));
    let (code, signal, core_dumped) = match how {
        Known::Is(HowEnded::Status(status)) => super::status(status),
        Known::Is(HowEnded::Code(code)) => (Some(code), None, false),
        Known::Is(HowEnded::Signal(signal)) => (None, Some(signal), false),
        Known::Not(_) => (None, None, false),
    };
    event.exit = Some(Exit {
        code,
        signal,
        core_dumped,
        reason: how.reason().map(str::to_owned).or(word).unwrap_or_default(),
        duration_ns: duration_ns.value().copied(),
        duration_reason: text::reason(duration_ns.reason()),
        oom: oom.value().copied(),
        oom_reason: text::reason(oom.reason()),
    });
    event.losses = losses.iter().map(|loss| converter.loss(loss)).collect();
}

pub(super) fn observed(observed: observation::Observed) -> Observed {
    match observed {
        observation::Observed::Live => Observed::Live,
        observation::Observed::Existing => Observed::Existing,
        observation::Observed::ByRuntime => Observed::ByRuntime,
    }
}

fn not_told(pid: u32) -> v1::Process {
    v1::Process { pid, unknown_reason: EXEC_NOT_TOLD.to_owned(), ..v1::Process::default() }
}
