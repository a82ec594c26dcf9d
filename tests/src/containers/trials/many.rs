//! Many short-lived containers at once: each is told as it was, and nothing of it as another's.

use std::{
    collections::{HashMap, HashSet},
    fs,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use zastava_common::event::v1::{Event, event::Kind as EventKind, workload::Role};

use super::Setting;
use crate::{
    containers::{
        runtime::{InPod, Kind, Ran, Runtime, Wish, in_pod},
        told::{End, Told},
    },
    elf::{Deed, Program},
    expect::{file_of, id_of, process},
    fixture::Fixture,
    runtimes::cri::{Cri, PodWish},
    stage::Stop,
};

const WORKERS: usize = 8;
const FEW: usize = 64;
const ALL: usize = 1000;
/// Containers that share a pod.
const IN_POD: usize = 20;
const PATIENCE: Duration = Duration::from_mins(1);
/// Faults that a failure shows.
const MOST: usize = 12;

/// What was done: the oracle.
pub(super) struct Done {
    ran: Ran,
    /// Where its own program stands, in the container.
    path: String,
    code: u32,
}

pub(super) fn many(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let mut sensor = setting.sensor(&runtime)?;
    let count = if setting.choice.full { ALL } else { FEW };
    let done = run(setting, &runtime, 0, count)?;
    sensor.inbox.wait(PATIENCE, |events| ended(events, &done))?;
    let inbox = sensor.stop()?;
    Ok(compare(setting, &done, inbox.events())?)
}

/// Whether the end of each was told.
pub(super) fn ended(events: &[Event], done: &[Done]) -> bool {
    let stops = events.iter().filter(|event| event.kind() == EventKind::ContainerStop);
    let ended: HashSet<_> = stops.map(id_of).collect();
    done.iter().all(|one| ended.contains(&one.ran.id))
}

/// Runs so many containers, each with a program of its own that no other container can see. They are numbered from
/// `first`.
pub(super) fn run(setting: &Setting<'_>, runtime: &Runtime, first: usize, count: usize) -> Result<Vec<Done>> {
    let Runtime::Containerd(containerd, _) = runtime else { bail!("pods are containerd's here") };
    let (next, done) = (AtomicUsize::new(first), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (next, done) = (&next, &done);
                scope.spawn(move || -> Result<()> {
                    let cri = containerd.cri()?;
                    let mut pod = None;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= first + count {
                            break;
                        }
                        if (number / WORKERS).is_multiple_of(IN_POD) {
                            remove(&cri, pod.take())?;
                        }
                        let inside = match &pod {
                            Some(pod) => pod,
                            None => pod.insert(new_pod(&cri, worker, number, containerd.logs())?),
                        };
                        let one = one(setting, &cri, inside, number)?;
                        done.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                    }
                    remove(&cri, pod)
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
    })?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn new_pod(cri: &Cri, worker: usize, number: usize, logs: std::path::PathBuf) -> Result<InPod> {
    let wish = PodWish {
        name: format!("many-{worker}-{number}"),
        namespace: format!("team-{worker}"),
        uid: format!("00000000-0000-4000-8000-{number:012}"),
        cgroup_parent: format!("/kubepods/burstable/pod00000000-0000-4000-8000-{number:012}"),
        logs,
        ..PodWish::default()
    };
    Ok(InPod { pod: cri.run_pod(&wish)?, wish })
}

fn remove(cri: &Cri, pod: Option<InPod>) -> Result<()> {
    pod.map_or(Ok(()), |pod| cri.remove_pod(&pod.pod))
}

/// Every other one lives for less than 100 ms; of each sort half are their own program, half execute it.
fn one(setting: &Setting<'_>, cri: &Cri, pod: &InPod, number: usize) -> Result<Done> {
    let life = if number.is_multiple_of(2) { number as u32 * 7 % 90 } else { 150 };
    let code = (number % 120) as u8;
    let name = format!("m-{number}");
    let own = setting.directory.join(&name);
    fs::create_dir(&own)?;
    let program = Program::new(&format!("many/{number}"), Deed::Sleep(life, code));
    Fixture::program(own.join(&name), &program)?;
    let place = format!("/own-{}-{number}", std::process::id());
    let path = format!("{place}/{name}");
    let command = if (number / 2).is_multiple_of(2) {
        vec![path.clone()]
    } else {
        ["/bin/tester", "live", "0", &code.to_string(), &path].map(str::to_owned).to_vec()
    };
    let wish = Wish {
        name,
        image: setting.images.main.reference.clone(),
        command,
        mounts: vec![(own, place)],
        ..Wish::default()
    };
    let ran = in_pod(cri, pod, &wish)?;
    let status = cri.ended(&ran.id)?;
    ensure!(status.exit_code == i32::from(code), "container {number} ended with {}", status.exit_code);
    cri.remove(&ran.id)?;
    Ok(Done { ran, path, code: code.into() })
}

fn compare(setting: &Setting<'_>, done: &[Done], events: &[Event]) -> Result<()> {
    let mut starts: HashMap<String, Vec<&Event>> = HashMap::new();
    let mut stops: HashMap<String, Vec<&Event>> = HashMap::new();
    let mut execs: HashMap<String, Vec<&Event>> = HashMap::new();
    let mut faults = Vec::new();
    for event in events {
        match event.kind() {
            EventKind::ContainerStart => starts.entry(id_of(event)).or_default().push(event),
            EventKind::ContainerStop => stops.entry(id_of(event)).or_default().push(event),
            EventKind::ProcessExec => execs.entry(file_of(event).path).or_default().push(event),
            EventKind::Loss => faults.push(format!("something was lost: {:?}", event.loss)),
            _ => {}
        }
    }
    let known: HashMap<&str, &Done> = done.iter().map(|done| (done.ran.id.as_str(), done)).collect();
    for one in done {
        let told = setting.told(&one.ran);
        let name = &one.ran.name;
        let mut check = |what: &str, found: Option<&Vec<&Event>>| match found.map_or(&[][..], Vec::as_slice) {
            [event] if Told::by(event) == told => {}
            [event] => faults.push(format!("{name}: {what} says {:?}, not {told:?}", Told::by(event))),
            others => faults.push(format!("{name}: {what} told {} times", others.len())),
        };
        check("CONTAINER_START", starts.get(&one.ran.id));
        check("CONTAINER_STOP", stops.get(&one.ran.id));
        check("the exec of its program", execs.get(&one.path));
        if let Some([stop]) = stops.get(&one.ran.id).map(Vec::as_slice) {
            let end = End::of(stop);
            if end != End::Code(one.code) {
                faults.push(format!("{name}: ended with {end:?}, not {}", one.code));
            }
        }
    }
    // What else ran in them is the tester's.
    for event in execs.get("/bin/tester").into_iter().flatten() {
        if !known.contains_key(id_of(event).as_str()) {
            faults.push(format!("an exec of {} in {:?}", process(event).exe, Told::by(event)));
        }
    }
    for (id, events) in starts.iter().chain(&stops).filter(|(id, _)| !known.contains_key(id.as_str())) {
        if events.iter().all(|event| may_be_sandbox(setting, event)) {
            continue;
        }
        let told: Vec<_> = events.iter().map(|event| Told::by(event)).collect();
        faults.push(format!("container {id} is none of ours, or a sandbox: {told:?}"));
    }
    if faults.is_empty() {
        return Ok(());
    }
    let count = faults.len();
    faults.truncate(MOST);
    Err(anyhow!("{count} faults of {} containers:\n  {}", done.len(), faults.join("\n  "))).context("oracle")
}

/// The CRI of containerd knows a sandbox only when it is ready. One that takes longer than events wait for their names
/// begins as a container that nobody knows, and ends as what it is.
fn may_be_sandbox(setting: &Setting<'_>, event: &Event) -> bool {
    let workload = event.workload.clone().unwrap_or_default();
    let unnamed = workload.container.is_empty() && !workload.names_reason.is_empty();
    matches!(setting.kind, Kind::Cri(_))
        && process(event).exe == "/pause"
        && (unnamed || (event.kind() == EventKind::ContainerStop && workload.role() == Role::Sandbox))
}
