//! What the start of a container must say: everything that the test knows of it from its own doing, beside its names.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use zastava_common::{
    abi::Tier,
    event::v1::{
        ContainerStatus, Event, File,
        container_status::State,
        event::{Kind as EventKind, Observed},
        file::Origin,
        process::Entered,
    },
};

use super::{
    images::{Images, Named},
    init::Init,
    made::Made,
    rootfs::Root,
    runtime::{Ran, Runtime},
    told::Told,
};
use crate::{
    expect::{Expected, file_of, id_of, process as process_of},
    fixture::on_tmpfs,
};

/// Between two clocks.
const SLACK: Duration = Duration::from_millis(200);
/// Why what the kernel told is all there is of the mappings of a container that ended soon.
const GONE: &str = "process gone before its mappings were read";

/// A container's start.
#[derive(Clone, Debug)]
pub struct Start {
    id: String,
    name: String,
    told: Told,
    made: Made,
    first: First,
    libraries: Vec<Executable>,
    root: Root,
    /// `None`: it was not looked at while it ran.
    init: Option<Init>,
    /// It runs until its start was told.
    lasts: bool,
}

/// Its first process.
#[derive(Clone, Debug, PartialEq)]
struct First {
    observed: Observed,
    entered: Entered,
    existing: bool,
    entrypoint: Vec<String>,
    truncated: bool,
    argc: Option<u32>,
    args_len: Option<u32>,
    ids: (Option<u32>, Option<u32>),
    exe: String,
    program: Executable,
    /// Of the process itself.
    build_id: String,
}

/// A program or library, as its bytes are.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Executable {
    path: String,
    sha256: String,
    build_id: String,
    size: Option<u64>,
    origin: String,
}

impl Start {
    /// Of a container of this image that began before the sensor's eyes.
    pub fn of(runtime: &Runtime, images: &Images, image: &Named, ran: &Ran) -> Result<Self> {
        let kind = runtime.kind();
        let entrypoint = if ran.wish.command.is_empty() {
            [&*images.content.entrypoint, &images.content.command].concat()
        } else {
            ran.wish.command.clone()
        };
        let exe = entrypoint.first().context("a container without an entrypoint")?.clone();
        let program = executable(images, ran, &exe)?;
        let libraries = Images::interpreter(&exe).map(|path| executable(images, ran, path)).transpose()?;
        Ok(Self {
            id: ran.id.clone(),
            name: ran.name.clone(),
            told: Told::of(kind, ran, image),
            made: Made::of(kind, runtime.version()?, ran, image),
            first: First {
                observed: Observed::Live,
                entered: Entered::ByEntrypoint,
                existing: false,
                truncated: false,
                argc: Some(entrypoint.len() as u32),
                args_len: Some(entrypoint.iter().map(|word| word.len() as u32 + 1).sum()),
                ids: (Some(0), Some(0)),
                entrypoint,
                exe,
                build_id: program.build_id.clone(),
                program,
            },
            libraries: libraries.into_iter().collect(),
            root: Root::of(kind, images, image),
            init: None,
            lasts: false,
        })
    }

    /// It runs on after its start was told, so that it can be looked at.
    #[must_use]
    pub fn lasting(self) -> Self {
        Self { lasts: true, ..self }
    }

    /// It ran before the sensor did: procfs knows its program, but no file below an overlay.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.first.observed = Observed::Existing;
        self.first.existing = true;
        if self.first.program.origin == Origin::OverlayLower.as_str_name() {
            Origin::Unspecified.as_str_name().clone_into(&mut self.first.program.origin);
        }
        self
    }

    /// What the kernel says of it while it runs.
    #[must_use]
    pub fn seen(self, init: Init) -> Self {
        Self { init: Some(init), ..self }
    }

    pub fn told(&self) -> &Told {
        &self.told
    }

    /// The event that must tell it.
    pub fn expected(&self, tier: Tier) -> Expected {
        let Self { id, name, told, made, first, libraries, root, init, lasts } = self.clone();
        let libraries: Vec<_> = libraries.into_iter().map(|library| library.mapped(tier)).collect();
        let expected = Expected::new(tier, EventKind::ContainerStart, &name, move |event| id_of(event) == id)
            .told(told)
            .check("how it was made", made, Made::by)
            .check("its first process", first, First::by)
            .check("loadedLibs", libraries, |event| {
                let mut libraries: Vec<_> = event.loaded_libs.iter().map(Executable::by).collect();
                libraries.sort();
                libraries
            })
            .check("loadedLibsLeftOut", 0, |event| event.loaded_libs_left_out)
            .that("every mapping was seen", move |event| match event.loaded_libs_reason.as_str() {
                "" => true,
                reason => !lasts && reason == GONE,
            })
            .holds(move |event| root.faults(event));
        match init {
            Some(init) => expected.holds(move |event| init.faults(event)),
            None => expected,
        }
    }

    /// Whether the list of what runs has it with the same values. It began after `since`.
    pub fn listed(&self, status: &ContainerStatus, since: SystemTime) -> Result<()> {
        let ContainerStatus { runtime, workload, process, .. } = status.clone();
        let event = Event { runtime, workload, process, ..Event::default() };
        let (told, made) = (Told::by(&event), Made::by(&event));
        ensure!(told == self.told, "what runs is {told:?}, not {:?}", self.told);
        ensure!(made == self.made, "what runs was made as {made:?}, not {:?}", self.made);
        let mut faults = self.root.faults(&event);
        faults.extend(self.init.as_ref().into_iter().flat_map(|init| init.faults(&event)));
        ensure!(faults.is_empty(), "what runs: {}", faults.join("; "));
        let First { observed, exe, entrypoint, .. } = &self.first;
        let process = process_of(&event);
        let found = (status.state(), status.observed(), &process.exe, &process.entrypoint);
        let expected = (State::Running, *observed, exe, entrypoint);
        ensure!(found == expected, "what runs is {found:?}, not {expected:?}");
        let began = SystemTime::try_from(status.since.context("no since")?)?;
        // The clocks of the kernel and of this process are read apart.
        ensure!(
            began + SLACK >= since && began <= SystemTime::now() + SLACK,
            "what runs began at {began:?}, not after {since:?}"
        );
        Ok(())
    }

    /// Whether an event tells it.
    pub fn compare(&self, tier: Tier, event: &Event) -> Result<()> {
        let faults = self.expected(tier).faults(event);
        ensure!(faults.is_empty(), "the start of {}: {}", self.name, faults.join("\n  "));
        Ok(())
    }
}

impl First {
    fn by(event: &Event) -> Self {
        let process = process_of(event);
        Self {
            observed: event.observed(),
            entered: process.entered(),
            existing: process.existing,
            truncated: process.entrypoint_truncated,
            argc: process.argc,
            args_len: process.args_len,
            ids: (process.uid, process.gid),
            entrypoint: process.entrypoint,
            exe: process.exe,
            build_id: process.build_id,
            program: Executable::by(&file_of(event)),
        }
    }
}

impl Executable {
    /// perf, which tells of mappings in these tiers, knows no file below an overlay.
    fn mapped(self, tier: Tier) -> Self {
        match tier {
            Tier::Tracepoint | Tier::Sideband => {
                Self { origin: Origin::Unspecified.as_str_name().to_owned(), ..self }
            }
            Tier::Kprobe | Tier::Trampoline => self,
        }
    }

    fn by(file: &File) -> Self {
        Self {
            path: file.path.clone(),
            sha256: if file.sha256.is_empty() { file.sha256_reason.clone() } else { file.sha256.clone() },
            build_id: file.build_id.clone(),
            size: file.size,
            origin: file.origin().as_str_name().to_owned(),
        }
    }
}

/// A file as the container sees it: of the image, or of what is mounted into it.
fn executable(images: &Images, ran: &Ran, path: &str) -> Result<Executable> {
    let mounts = ran.wish.mounts.iter().chain(&ran.wish.writable);
    let mounted = mounts
        .into_iter()
        .find_map(|(host, place)| Some(host.join(Path::new(path).strip_prefix(place).ok()?)));
    let (bytes, origin) = match mounted {
        Some(host) => {
            let bytes = std::fs::read(&host).with_context(|| format!("no {}", host.display()))?;
            (bytes, if on_tmpfs(&host)? { Origin::Tmpfs } else { Origin::Plain })
        }
        None => (images.file(path)?.to_vec(), Origin::OverlayLower),
    };
    let digest = crate::image::digest(&bytes);
    Ok(Executable {
        path: path.to_owned(),
        sha256: digest.trim_start_matches("sha256:").to_owned(),
        build_id: crate::elf::build_id(&bytes).unwrap_or_default(),
        size: Some(bytes.len() as u64),
        origin: origin.as_str_name().to_owned(),
    })
}
