//! One line per event, for people.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use zastava_common::event::v1::{
    Event, Exit, File, Loss, Process, Workload,
    event::{Kind, Observed},
    file::{Op, Strength},
};

use super::{
    kind,
    text::{Short, Shown, Tail},
};

/// Characters of a container's id, and of a build-id and a digest, that are shown.
const ID: usize = 12;
/// A container's name with that of its pod, or the end of both.
const PLACE: usize = 24;
/// A name of 15 bytes and a pid of 7 digits in brackets.
const PROCESS: usize = 24;
const WHAT: usize = 11;
/// Characters of arguments that are shown, in diagnostics.
const MAX_ARGS: usize = 512;

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pretty {
    pub(super) colour: bool,
}

impl Pretty {
    /// What stands in which column, with a newline.
    pub(super) fn header(self, out: &mut String) {
        self.columns(out, DIM, ["TIME (UTC)", "CONTAINER", "PROCESS", "WHAT", "BUILD-ID", "SHA-256"]);
        self.styled(out, DIM, |out| out.push_str("PATH"));
        out.push('\n');
    }

    /// Appends the event's line, with a newline.
    pub(super) fn line(self, event: &Event, out: &mut String) {
        let kind = event.kind();
        self.column(out, DIM, 12, |out| time(event, out));
        self.column(out, place_style(event.workload.as_ref()), PLACE, |out| {
            place(event.workload.as_ref(), out);
        });
        self.column(out, Style::new(), PROCESS, |out| process(event.process.as_ref(), out));
        self.column(out, kind_style(kind), WHAT, |out| what(event, kind, out));
        let file = event.file.as_ref();
        self.column(out, Style::new(), ID, |out| hex(file.map_or("", |file| &file.build_id), out));
        self.column(out, Style::new(), ID, |out| hex(file.map_or("", |file| &file.sha256), out));
        details(event, kind, out);
        self.styled(out, DIM, |out| reasons(event, out));
        out.push('\n');
    }

    fn columns(self, out: &mut String, style: Style, names: [&str; 6]) {
        for (name, width) in names.into_iter().zip([12, PLACE, PROCESS, WHAT, ID, ID]) {
            self.column(out, style, width, |out| out.push_str(name));
        }
    }

    fn column(self, out: &mut String, style: Style, width: usize, write: impl FnOnce(&mut String)) {
        let written = self.styled(out, style, write);
        out.extend(std::iter::repeat_n(' ', width.saturating_sub(written) + 1));
    }

    /// Returns the characters written, without those of the style.
    fn styled(self, out: &mut String, style: Style, write: impl FnOnce(&mut String)) -> usize {
        let style = if self.colour { style } else { Style::new() };
        put(out, format_args!("{style}"));
        let begin = out.len();
        write(out);
        let written = out[begin..].chars().count();
        put(out, format_args!("{style:#}"));
        written
    }
}

const DIM: Style = Style::new().dimmed();

fn kind_style(kind: Kind) -> Style {
    let colour = match kind {
        Kind::ProcessExec | Kind::ContainerStart => AnsiColor::Green,
        Kind::LibraryLoad | Kind::AttestationStatus => AnsiColor::Blue,
        Kind::FileCreate => AnsiColor::Yellow,
        Kind::Listen => AnsiColor::Magenta,
        Kind::Loss | Kind::Drift | Kind::PolicyViolation => AnsiColor::Red,
        Kind::ProcessExit | Kind::ContainerStop | Kind::Unspecified => return DIM,
    };
    colour.on_default()
}

fn place_style(workload: Option<&Workload>) -> Style {
    match workload {
        Some(workload) if !workload.container_id.is_empty() => AnsiColor::Cyan.on_default(),
        _ => DIM,
    }
}

/// Writing to a string does not fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn time(event: &Event, out: &mut String) {
    let Some(when) = &event.when else { return out.push('-') };
    let second = when.seconds.rem_euclid(86_400);
    let ms = when.nanos / 1_000_000;
    put(out, format_args!("{:02}:{:02}:{:02}.{ms:03}", second / 3600, second / 60 % 60, second % 60));
}

fn place(workload: Option<&Workload>, out: &mut String) {
    let name = match workload {
        Some(Workload { container, pod, .. }) if !container.is_empty() && !pod.is_empty() => {
            return put(out, format_args!("{}", Tail(&[pod, "/", container].concat(), PLACE)));
        }
        Some(workload) if !workload.container.is_empty() => {
            return put(out, format_args!("{}", Tail(&workload.container, PLACE)));
        }
        Some(workload) if !workload.container_id.is_empty() => {
            let id = &workload.container_id;
            let id = id.split_once("://").map_or(id.as_str(), |(_, id)| id);
            // The beginning of an id is what people and commands call it.
            return put(
                out,
                format_args!("{}", Shown(id.char_indices().nth(ID).map_or(id, |(at, _)| &id[..at]))),
            );
        }
        Some(workload) if !workload.platform.is_empty() => workload.platform.as_str(),
        _ => "?",
    };
    put(out, format_args!("{}", Short(name, PLACE)));
}

fn process(process: Option<&Process>, out: &mut String) {
    let Some(process) = process else { return out.push('-') };
    let comm = if process.comm.is_empty() { "?" } else { &process.comm };
    put(out, format_args!("{}[{}]", Short(comm, 15), process.pid));
}

fn what(event: &Event, kind: Kind, out: &mut String) {
    let op = event.file.as_ref().map_or(Op::Unspecified, File::op);
    out.push_str(match (kind, op) {
        (Kind::ProcessExec, _) if event.process.as_ref().is_some_and(|process| process.existing) => "running",
        (Kind::ContainerStart, _) if event.observed() == Observed::Existing => "was started",
        (Kind::LibraryLoad, Op::Protect) => "lib protect",
        (Kind::FileCreate, Op::Create) => "file create",
        (Kind::FileCreate, Op::Write) => "file write",
        (Kind::FileCreate, Op::Rename) => "file rename",
        (Kind::FileCreate, Op::Link) => "file link",
        (Kind::FileCreate, Op::Chmod) => "file chmod",
        _ => kind::name(kind),
    });
}

fn hex(hex: &str, out: &mut String) {
    match hex.char_indices().nth(ID) {
        _ if hex.is_empty() => out.push('-'),
        Some((end, _)) => put(out, format_args!("{}", Shown(&hex[..end]))),
        None => put(out, format_args!("{}", Shown(hex))),
    }
}

fn details(event: &Event, kind: Kind, out: &mut String) {
    let process = event.process.as_ref();
    let exe = process.map_or("", |process| &process.exe);
    match kind {
        Kind::ProcessExec => {
            path(event.file.as_ref(), exe, out);
            if let Some(process) = process {
                script(process, out);
                arguments(process, out);
            }
        }
        Kind::ProcessExit => {
            path(None, exe, out);
            if let Some(exit) = &event.exit {
                ended(exit, out);
            }
        }
        Kind::LibraryLoad | Kind::FileCreate => path(event.file.as_ref(), "", out),
        Kind::Listen => {
            if let Some(listen) = &event.listen {
                let address: &dyn std::fmt::Display = &Shown(&listen.address);
                let (open, close) = if listen.address.contains(':') { ("[", "]") } else { ("", "") };
                put(out, format_args!("{open}{address}{close}:{}/{} ", listen.port, Shown(&listen.protocol)));
            }
            path(None, exe, out);
        }
        Kind::Loss => {
            if let Some(loss) = &event.loss {
                lost(loss, out);
            }
        }
        Kind::ContainerStart => started(event, out),
        Kind::ContainerStop => {
            image(event.workload.as_ref(), out);
            if let Some(exit) = &event.exit {
                ended(exit, out);
                if exit.oom == Some(true) {
                    out.push_str(" (out of memory)");
                }
            }
            for loss in event.losses.iter().filter(|loss| loss.count != Some(0)) {
                out.push_str(", ");
                lost(loss, out);
            }
        }
        Kind::Drift | Kind::PolicyViolation | Kind::AttestationStatus | Kind::Unspecified => {
            image(event.workload.as_ref(), out);
        }
    }
}

fn image(workload: Option<&Workload>, out: &mut String) {
    let image = workload.map_or("", |workload| &workload.image_ref);
    put(out, format_args!("{}", Shown(if image.is_empty() { "?" } else { image })));
}

fn started(event: &Event, out: &mut String) {
    image(event.workload.as_ref(), out);
    let Some(process) = &event.process else { return };
    out.push_str(" runs ");
    path(event.file.as_ref(), &process.exe, out);
    if !process.entrypoint.is_empty() {
        out.push_str(" as");
        let mut left = MAX_ARGS;
        for word in &process.entrypoint {
            if left == 0 {
                out.push_str(" ...");
                break;
            }
            put(out, format_args!(" {}", Short(word, left)));
            left = left.saturating_sub(word.chars().count());
        }
    }
    let libraries = event.loaded_libs.len() + event.loaded_libs_left_out as usize;
    put(out, format_args!(" with {libraries} {}", if libraries == 1 { "library" } else { "libraries" }));
}

fn path(file: Option<&File>, or: &str, out: &mut String) {
    let (path, truncated) = file.map_or((or, false), |file| (&file.path, file.path_truncated));
    let shown = if path.is_empty() { "?" } else { path };
    put(out, format_args!("{}{}", if truncated { ".../" } else { "" }, Shown(shown)));
    if file.is_some_and(|file| file.nlink == Some(0)) {
        out.push_str(" (no name any more)");
    }
}

fn script(process: &Process, out: &mut String) {
    if let Some(script) = &process.script {
        out.push_str(" runs ");
        path(Some(script), "", out);
        if !script.sha256.is_empty() {
            out.push(' ');
            hex(&script.sha256, out);
        }
    }
}

fn arguments(process: &Process, out: &mut String) {
    let mut left = MAX_ARGS;
    for (number, argument) in process.argv.iter().enumerate() {
        if left == 0 {
            put(out, format_args!(" and {} more arguments", process.argv.len() - number));
            return;
        }
        out.push_str(if number == 0 { " : " } else { " " });
        put(out, format_args!("{}", Short(argument, left)));
        left = left.saturating_sub(argument.chars().count());
    }
}

fn ended(exit: &Exit, out: &mut String) {
    match (exit.code, exit.signal) {
        (_, Some(signal)) => put(out, format_args!(" signal {signal}")),
        (Some(code), None) => put(out, format_args!(" code {code}")),
        (None, None) => {}
    }
    if exit.core_dumped {
        out.push_str(" (core dumped)");
    }
    if let Some(ns) = exit.duration_ns {
        put(out, format_args!(" after {}.{:03}s", ns / 1_000_000_000, ns / 1_000_000 % 1000));
    }
}

fn lost(loss: &Loss, out: &mut String) {
    put(out, format_args!("{} {} lost", loss.count.unwrap_or(0), Shown(&loss.kind)));
    if let Some(cgroup) = loss.cgroup_id {
        put(out, format_args!(" in cgroup {cgroup}"));
    }
}

/// Why something is missing, and how sure the digest is where it is not the very file's.
fn reasons(event: &Event, out: &mut String) {
    let mut first = true;
    let mut add = |what: &str, reason: &str| {
        if !reason.is_empty() {
            out.push_str(if std::mem::take(&mut first) { " (" } else { "; " });
            put(out, format_args!("{what}{}", Shown(reason)));
        }
    };
    if let Some(file) = &event.file {
        add("", &file.path_reason);
        if file.build_id_reason == file.sha256_reason {
            add("build-id, sha256: ", &file.sha256_reason);
        } else {
            add("build-id: ", &file.build_id_reason);
            add("sha256: ", &file.sha256_reason);
        }
        if file.sha256_strength() == Strength::ByPath {
            add("sha256: ", "by path alone");
        }
    }
    if let Some(workload) = &event.workload {
        add("container: ", &workload.unknown_reason);
        // Once for a container is enough.
        if matches!(event.kind(), Kind::ContainerStart) {
            add("names: ", &workload.names_reason);
            add("image digest: ", &workload.image_digest_reason);
        }
    }
    add("libraries: ", &event.loaded_libs_reason);
    add("process: ", event.process.as_ref().map_or("", |process| &process.unknown_reason));
    add("", event.exit.as_ref().map_or("", |exit| &exit.reason));
    add("", event.violation.as_ref().map_or("", |violation| &violation.reason));
    if !first {
        out.push(')');
    }
}
