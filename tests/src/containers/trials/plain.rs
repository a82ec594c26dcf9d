//! A container that no kubelet asked for, with a name of its maker's choice: neither its cgroup's name nor the CRI says
//! what it is.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, time::Instant};

use anyhow::{Context as _, Result};
use zastava_common::event::v1::{event::Kind as EventKind, process::Entered};

use super::{Own, PATIENCE, Setting, came, execs, executed, only, whole};
use crate::{
    containers::{
        images::Named,
        runtime::{Ran, Runtime, Wish},
        told::End,
    },
    elf::Deed,
    expect::{file_of, process},
    runtimes::{Series, containerd::Containerd},
    stage::{Stop, ensure_that},
};

/// By `ctr`, in a namespace of the test's own.
struct Ctr<'a> {
    containerd: &'a Containerd,
    namespace: String,
    image: &'a Named,
}

impl Ctr<'_> {
    fn run(&self, id: &str, own: &Own, command: &[&str]) -> Result<Ran> {
        let begun = Instant::now();
        let runc = crate::runtimes::program("runc", "runc").context("no runc")?;
        let mount = format!("type=bind,src={},dst={},options=rbind:ro", own.here.display(), Setting::place());
        let mut words: Vec<OsString> =
            ["run", "--detach", "--null-io", "--runc-binary"].map(OsString::from).into();
        words.push(runc.into());
        words.extend(["--mount", &mount, "--label", "org.example/own=its own"].map(OsString::from));
        if self.containerd.series == Series::V1_6 {
            // Later ones take no such label.
            words.extend(["--label".into(), OsString::from_vec(b"org.example/odd=\xff\xfe".to_vec())]);
        }
        words.extend([self.image.reference.as_str(), id].map(OsString::from));
        words.extend(command.iter().map(OsString::from));
        self.containerd.ctr_in(&self.namespace, &words)?;
        let wish = Wish::default();
        let image = self.image.reference.clone();
        Ok(Ran { id: id.to_owned(), name: id.to_owned(), pod: None, image, wish, begun })
    }

    fn call(&self, words: &[&str]) -> Result<String> {
        self.containerd.ctr_in(&self.namespace, words)
    }
}

pub(super) fn plain(setting: &Setting<'_>) -> Result<(), Stop> {
    let runtime = setting.runtime()?;
    let Runtime::Containerd(containerd, _) = &runtime else {
        return Err(Stop::Unable("only containerd is told ids".to_owned()));
    };
    let named =
        Named { reference: "e2e.invalid/team/plain:1".to_owned(), image: setting.images.main.image.clone() };
    let namespace = format!("e2e-{}", std::process::id());
    containerd.import_in(&namespace, &named.image.oci_archive(&named.reference))?;
    let ctr = Ctr { containerd, namespace, image: &named };
    let own = setting.own("program", Deed::Exit(0))?;
    let ends = setting.own("ends", Deed::Sleep(50, 6))?;
    let mut sensor = setting.sensor(&runtime)?;
    let redis = ctr.run("redis", &own, &["/bin/stay"])?;
    let begun = sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStart, &redis))?;
    ensure_that(begun, "the start is not told")?;
    ctr.call(&["tasks", "exec", "--exec-id", "one", "redis", &own.there])?;
    let short = ctr.run("short.1", &ends, &[&ends.there])?;
    let ended = sensor.inbox.wait(PATIENCE, |events| {
        executed(events, &own.there) > 0 && came(events, EventKind::ContainerStop, &short)
    })?;
    ensure_that(ended, "an exec or the end of a short life is not told")?;
    ctr.call(&["tasks", "kill", "--signal", "SIGKILL", "redis"])?;
    let ended = sensor.inbox.wait(PATIENCE, |events| came(events, EventKind::ContainerStop, &redis))?;
    ensure_that(ended, "the end is not told")?;
    for id in ["redis", "short.1"] {
        ctr.call(&["tasks", "rm", "--force", id])?;
        ctr.call(&["containers", "rm", id])?;
    }
    containerd.forget_namespace(&ctr.namespace)?;
    let inbox = sensor.stop()?;
    let events = inbox.events();
    for (ran, own, entered, end) in [
        (&redis, &own, Entered::ByExec, End::Signal(9)),
        (&short, &ends, Entered::ByEntrypoint, End::Code(6)),
    ] {
        let told = setting.told_with(ran, &named);
        whole(events, &told, ran, end)?;
        ensure_that(execs(events, &own.there, &told)? == 1, "an exec was not told once")?;
        let exec = events.iter().find(|event| file_of(event).path == own.there).context("no exec")?;
        ensure_that(process(exec).entered() == entered, "it is not told how it came in")?;
        let start = only(events, EventKind::ContainerStart, &told, ran)?.workload.unwrap_or_default();
        let labels: Vec<_> = start.labels.iter().collect();
        ensure_that(
            labels == [(&"org.example/own".to_owned(), &"its own".to_owned())],
            format!("the labels are {labels:?}"),
        )?;
    }
    Ok(())
}
