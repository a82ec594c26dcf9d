//! Names that break what reads them carelessly: each is told as it is, or not told for a reason that is.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use zastava_common::event::v1::{Event, event::Kind as EventKind};

use super::{PATIENCE, Setting, came};
use crate::{
    containers::runtime::{InPod, Ran, Runtime, Wish, in_pod},
    expect::{id_of, process},
    runtimes::cri::PodWish,
    stage::{Stop, ensure_that},
};

/// Bytes of the longest label that containerd takes, its key included.
const LONG: usize = 4096;
/// Bytes of the longest name that the sensor takes (docs/runtimes.md).
const NAME: usize = 4096;

fn values() -> Vec<(String, String)> {
    let long = "x".repeat(LONG - "org.example/long".len());
    [
        ("quotes", "\"'`\\ ${HOME} $(id) {{.}}"),
        ("lines", "one\ntwo\r\nthree\ttab"),
        ("controls", "\u{1b}[2J\u{7}\u{0}\u{7f}\u{85}"),
        ("unicode", "\u{202e}txt.exe\u{feff} \u{1f600}"),
        ("json", "\"},\"kind\":\"LOSS\",\"x\":{\"y\":\""),
        ("empty", ""),
        ("long", long.as_str()),
    ]
    .into_iter()
    .map(|(key, value)| (format!("org.example/{key}"), value.to_owned()))
    .collect()
}

/// What a program may be told to do.
fn words() -> Vec<String> {
    ["/bin/stay", "\"quoted\" 'twice'", "one\ntwo", "", "$(id)", "\u{1b}[2J\u{202e}", "--name=other"]
        .map(str::to_owned)
        .into()
}

/// A pod and a container whose own names hold them, too: containerd does not mind.
pub(super) fn in_pods(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let Runtime::Containerd(containerd, cri) = &runtime else {
        return Err(Stop::Unable("only containerd takes such names".to_owned()));
    };
    let mut sensor = setting.sensor(&runtime)?;
    let pod = PodWish {
        name: "po\"d\nwith 'names' \u{202e}".to_owned(),
        namespace: "name\\space\t\u{1b}[31m".to_owned(),
        uid: "not-a-uid {}".to_owned(),
        labels: values().into_iter().collect(),
        annotations: values().into_iter().collect(),
        logs: containerd.logs(),
        ..PodWish::default()
    };
    let pod = InPod { pod: cri.run_pod(&pod)?, wish: pod };
    let wish = Wish {
        name: "ma\"in\n'1' \u{1b}[0m".to_owned(),
        image: setting.images.main.reference.clone(),
        labels: values(),
        command: words(),
        ..Wish::default()
    };
    let ran = in_pod(cri, &pod, &wish)?;
    let start = start_of(setting, &mut sensor, &ran)?;
    let told = start.workload.clone().unwrap_or_default();
    let names = [
        (&told.pod, &pod.wish.name),
        (&told.namespace, &pod.wish.namespace),
        (&told.pod_uid, &pod.wish.uid),
        (&told.container, &ran.name),
    ];
    for (found, name) in names {
        as_it_is_or_reason(found, name, &told.names_reason)?;
    }
    entrypoint_as_it_is(&start)?;
    labels_as_they_are(&told.labels.into_iter().collect(), told.labels_omitted)?;
    cri.remove_pod(&pod.pod)?;
    sensor.stop()?;
    Ok(())
}

/// A name as long as it may be is told, and of one that is longer why it is not.
pub(super) fn long(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let mut sensor = setting.sensor(&runtime)?;
    for (len, reason) in [(NAME, ""), (NAME + 1, "container runtime's answer too large")] {
        let wish =
            Wish { name: "n".repeat(len), image: setting.images.main.reference.clone(), ..Wish::default() };
        let ran = match &runtime {
            // The pod's name is not what is asked for here, and the longest is made of the container's.
            Runtime::Containerd(containerd, cri) => {
                let pod = PodWish {
                    name: "pod".to_owned(),
                    uid: len.to_string(),
                    logs: containerd.logs(),
                    ..PodWish::default()
                };
                in_pod(cri, &InPod { pod: cri.run_pod(&pod)?, wish: pod }, &wish)?
            }
            Runtime::Docker(_) | Runtime::Podman(_) => runtime.run(&wish)?,
        };
        let told = start_of(setting, &mut sensor, &ran)?.workload.unwrap_or_default();
        let name = if reason.is_empty() { wish.name.as_str() } else { "" };
        ensure_that(
            told.container == name && told.names_reason == reason,
            format!(
                "a name of {len} bytes is told as one of {}, for {:?}",
                told.container.len(),
                told.names_reason
            ),
        )?;
        runtime.remove(&ran)?;
    }
    sensor.stop()?;
    Ok(())
}

/// Docker takes them in labels and words alone, and writes U+FFFD for what is no UTF-8.
pub(super) fn in_engine(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let mut sensor = setting.sensor(&runtime)?;
    // An argument of a program cannot hold a zero.
    let labels = values().into_iter().map(|(key, value)| (key, value.replace('\0', ""))).collect();
    let image = setting.images.main.reference.clone();
    let wish = Wish { image, labels, command: words(), ..Wish::default() };
    let ran = runtime.run(&wish)?;
    let start = start_of(setting, &mut sensor, &ran)?;
    entrypoint_as_it_is(&start)?;
    let told = start.workload.unwrap_or_default();
    labels_as_they_are(&told.labels.into_iter().collect(), told.labels_omitted)?;
    runtime.remove(&ran)?;
    sensor.stop()?;
    Ok(())
}

fn start_of(setting: &Setting<'_>, sensor: &mut crate::sensor::Sensor, ran: &Ran) -> Result<Event> {
    let came = sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStart, ran))?;
    ensure!(came, "the start of {} on {} is not told", ran.id, setting.kind);
    let start = |event: &&Event| event.kind() == EventKind::ContainerStart && id_of(event) == ran.id;
    Ok(sensor.inbox.events().iter().find(start).context("it came")?.clone())
}

fn entrypoint_as_it_is(start: &Event) -> Result<()> {
    let found = process(start).entrypoint;
    ensure!(found == words(), "the entrypoint is {found:?}");
    Ok(())
}

fn as_it_is_or_reason(found: &str, name: &str, reason: &str) -> Result<()> {
    ensure!(found == name || (found.is_empty() && !reason.is_empty()), "{name:?} is told as {found:?}");
    Ok(())
}

/// Those that are told are whole, and those that are not are counted.
fn labels_as_they_are(told: &HashMap<String, String>, omitted: u32) -> Result<()> {
    let values = values();
    let mut missing = 0;
    for (key, value) in &values {
        match told.get(key) {
            Some(found) => {
                let same = found == value || *found == value.replace('\0', "");
                ensure!(same, "label {key} is {found:?}, not {value:?}");
            }
            None => missing += 1,
        }
    }
    ensure!(missing <= omitted, "{missing} labels are missing, but only {omitted} are said to be");
    ensure!(missing < values.len() as u32, "no label is told");
    Ok(())
}
