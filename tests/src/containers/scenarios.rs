//! One thing that happens in a container, and which events must come of it.

use std::time::Duration;

use rustix::process::Signal;
use zastava_common::event::v1::{Exit, event::Kind as EventKind, process::Entered};

use super::{
    images::{DYNAMIC, Images},
    init::Init,
    runtime::{Kind, Ran, Runtime, Wish},
    start::Start,
    told::{End, Told},
    trials::came,
};
use crate::{
    elf::Deed,
    expect::{Expected, process},
    fixture::Fixture,
    runtimes::Series,
    sensor::Sensor,
    stage::{PATIENCE, Stage, Stop},
};

/// Bytes: enough for the tester, and soon full.
const MEMORY: u64 = 48 << 20;
/// Milliseconds.
const SHORT: u32 = 50;
const LONGER: u32 = 300;

#[derive(Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) act: fn(&mut Scene<'_>) -> Result<Vec<Expected>, Stop>,
}

/// Where it happens, and who looks.
pub(super) struct Scene<'a> {
    pub(super) stage: &'a Stage,
    pub(super) runtime: &'a Runtime,
    pub(super) images: &'a Images,
    pub(super) sensor: &'a mut Sensor,
}

impl Scene<'_> {
    /// What does not come is missed when all is compared.
    fn await_told(&mut self, kind: EventKind, ran: &Ran) -> Result<(), Stop> {
        self.sensor.inbox.wait(PATIENCE, |events| came(events, kind, ran))?;
        Ok(())
    }
}

const fn scenario(name: &'static str, act: fn(&mut Scene<'_>) -> Result<Vec<Expected>, Stop>) -> Scenario {
    Scenario { name, act }
}

pub(super) const ALL: &[Scenario] = &[
    scenario("the entrypoint and what it executes", entrypoint),
    scenario("an entrypoint with a library of the image", library),
    scenario("a program executed by way of the runtime", executed),
    scenario("a container that a signal ends", killed),
    scenario("a container that wants too much memory", out_of_memory),
];

/// A program of the scenario, as containers see it: they have the scenario's directory at a path with its token.
struct Own {
    there: Fixture,
}

impl Own {
    fn new(stage: &Stage, name: &str, deed: Deed) -> Result<Self, Stop> {
        let here = stage.program(name, deed)?;
        Ok(Self { there: here.at(format!("/{}/{name}", stage.token).into()) })
    }

    fn path(&self) -> String {
        self.there.path.to_string_lossy().into_owned()
    }
}

/// What the scenarios say of one container.
struct Life<'a> {
    stage: &'a Stage,
    ran: &'a Ran,
    start: Start,
    /// From before it was begun until its end was noticed.
    most: Duration,
}

impl<'a> Life<'a> {
    /// Of one that has ended.
    fn of(stage: &'a Stage, runtime: &Runtime, images: &Images, ran: &'a Ran) -> Result<Self, Stop> {
        let most = ran.begun.elapsed();
        stage.owns(&ran.id);
        Ok(Self { stage, ran, start: Start::of(runtime, images, &images.main, ran)?, most })
    }

    fn seen(self, init: Init) -> Self {
        Self { start: self.start.seen(init), ..self }
    }

    fn told(&self) -> Told {
        self.start.told().clone()
    }

    /// It began once, lived for so long at least, and ended once.
    fn whole(&self, end: End, least: Duration) -> [Expected; 2] {
        let tier = self.stage.tier;
        let life = least..=self.most;
        [self.start.expected(tier), Expected::container_stopped(tier, self.ran, self.told(), end, life)]
    }

    /// A program ran in it, and ended by itself.
    fn ran(&self, program: &Own, code: u32, entered: Entered) -> [Expected; 2] {
        let tier = self.stage.tier;
        [
            Expected::exec(tier, &program.there).told(self.told()).check(
                "process.entered",
                entered,
                |event| process(event).entered(),
            ),
            Expected::exit(tier, &program.there.path).with_code(code).told(self.told()),
        ]
    }
}

fn wish(stage: &Stage, images: &Images, command: &[&str]) -> Wish {
    Wish {
        image: images.main.reference.clone(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        mounts: vec![(stage.directory.clone(), format!("/{}", stage.token))],
        ..Wish::default()
    }
}

fn entrypoint(scene: &mut Scene<'_>) -> Result<Vec<Expected>, Stop> {
    let Scene { stage, runtime, images, .. } = *scene;
    let child = Own::new(stage, "child", Deed::Exit(0))?;
    let last = Own::new(stage, "last", Deed::Sleep(SHORT, 7))?;
    let words = ["/bin/tester", "live", &LONGER.to_string(), "3", &child.path()];
    let first = runtime.run(&wish(stage, images, &words))?;
    let second = runtime.run(&wish(stage, images, &[&last.path()]))?;
    let mut expected = Vec::new();
    for (ran, program, of_program, code, least) in
        [(&first, &child, 0, 3, LONGER), (&second, &last, 7, 7, SHORT)]
    {
        ends_with(runtime, ran, code)?;
        let life = Life::of(stage, runtime, images, ran)?;
        expected.extend(life.whole(End::Code(code), Duration::from_millis(least.into())));
        expected.extend(life.ran(program, of_program, Entered::ByEntrypoint));
        runtime.remove(ran)?;
    }
    Ok(expected)
}

fn executed(scene: &mut Scene<'_>) -> Result<Vec<Expected>, Stop> {
    let Scene { stage, runtime, images, .. } = *scene;
    let program = Own::new(stage, "executed", Deed::Exit(0))?;
    let ran = runtime.run(&wish(stage, images, &[]))?;
    runtime.exec(&ran, &[&program.path()])?;
    let init = Init::look(runtime, &ran)?;
    runtime.remove(&ran)?;
    let life = Life::of(stage, runtime, images, &ran)?.seen(init);
    let mut expected: Vec<Expected> = life.ran(&program, 0, Entered::ByExec).into();
    expected.extend(life.whole(End::Signal(9), Duration::ZERO));
    Ok(expected)
}

fn library(scene: &mut Scene<'_>) -> Result<Vec<Expected>, Stop> {
    let Scene { stage, runtime, images, .. } = *scene;
    let ran = runtime.run(&wish(stage, images, &[DYNAMIC]))?;
    let init = Init::look(runtime, &ran)?;
    // A library of a process that is gone has no digest.
    scene.await_told(EventKind::ContainerStart, &ran)?;
    runtime.remove(&ran)?;
    let life = Life::of(stage, runtime, images, &ran)?.seen(init);
    Ok(life.whole(End::Signal(9), Duration::ZERO).into())
}

fn killed(scene: &mut Scene<'_>) -> Result<Vec<Expected>, Stop> {
    let Scene { stage, runtime, images, .. } = *scene;
    let ran = runtime.run(&wish(stage, images, &[]))?;
    let init = Init::look(runtime, &ran)?;
    // Runtimes say that it runs before it has executed its program.
    scene.await_told(EventKind::ContainerStart, &ran)?;
    runtime.signal(&ran, Signal::KILL)?;
    ends_with(runtime, &ran, 137)?;
    runtime.remove(&ran)?;
    let life = Life::of(stage, runtime, images, &ran)?.seen(init);
    Ok(life.whole(End::Signal(9), Duration::ZERO).into())
}

fn out_of_memory(scene: &mut Scene<'_>) -> Result<Vec<Expected>, Stop> {
    let Scene { stage, runtime, images, .. } = *scene;
    let fill = Wish { memory: Some(MEMORY), ..wish(stage, images, &["/bin/tester", "fill"]) };
    let ran = runtime.run(&fill)?;
    ends_with(runtime, &ran, 137)?;
    // Until then the runtime may not have noticed either.
    scene.await_told(EventKind::ContainerStop, &ran)?;
    // On cgroup v1 Podman does not notice.
    let noticed = runtime.was_out_of_memory(&ran)?;
    runtime.remove(&ran)?;
    let life = Life::of(stage, runtime, images, &ran)?;
    let [started, stopped] = life.whole(End::Signal(9), Duration::ZERO);
    // A list that is looked at once a second may have lost it by then.
    let may_miss = runtime.kind() == Kind::Cri(Series::V1_6);
    let stopped = stopped.that("exit.oom is the runtime's word", move |event| {
        let Exit { oom, oom_reason, .. } = event.exit.clone().unwrap_or_default();
        oom == Some(noticed) || (may_miss && oom.is_none() && !oom_reason.is_empty())
    });
    Ok(vec![started, stopped])
}

fn ends_with(runtime: &Runtime, ran: &Ran, code: u32) -> anyhow::Result<()> {
    let found = runtime.wait(ran)?;
    anyhow::ensure!(found == code.cast_signed(), "the container ended with {found}, not {code}");
    Ok(())
}
