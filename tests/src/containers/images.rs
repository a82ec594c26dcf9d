//! The images that the tests run, in a registry of this machine.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{
    elf::{Deed, Program},
    image::{Content, Image, Packing, registry::Registry, tar::Tar},
    sensor::find,
};

/// What every test needs.
pub struct Images {
    pub registry: Registry,
    /// Reference of what sandboxes run.
    pub pause: String,
    pub main: Named,
    /// What `main` is made of.
    pub content: Content,
    /// Names without the leading slash, and contents.
    files: Vec<(&'static str, Vec<u8>)>,
}

/// An image and what to ask for to get it.
#[derive(Clone, Debug)]
pub struct Named {
    pub reference: String,
    pub image: Image,
}

impl Images {
    pub fn new() -> Result<Self> {
        let registry = Registry::start()?;
        let pause = Program::new("containers/pause", Deed::Pause);
        let pause = Content::default()
            .layer(Tar::default().file("pause", 0o755, &pause.bytes))
            .entrypoint(&["/pause"]);
        let pause = registry.push("pause", "1", &Image::new(&pause, Packing::Gzip));
        let files = files()?;
        let content = content(&files);
        let image = Image::new(&content, Packing::Gzip);
        let main = Named { reference: registry.push("team/main", "1", &image), image };
        Ok(Self { registry, pause, main, content, files })
    }

    /// Bytes of a file of `main`.
    pub(super) fn file(&self, path: &str) -> Result<&[u8]> {
        let found = self.files.iter().find(|(name, _)| path.strip_prefix('/') == Some(name));
        Ok(&found.with_context(|| format!("the image has no {path}"))?.1)
    }

    /// By what a program of `main` is started, if it does not start by itself.
    pub(super) fn interpreter(path: &str) -> Option<&'static str> {
        (path == DYNAMIC).then_some(LOADER)
    }

    /// The lowest first; only the uppermost has two.
    pub(super) fn one_of_each_layer(&self) -> Vec<&'static str> {
        self.files.iter().map(|(name, _)| *name).take(LAYERS).collect()
    }
}

/// Each in a layer of its own, the lowest first, but for those that belong together.
const LAYERS: usize = 3;
/// What stays until a signal ends it, and what does the same by way of its loader.
const STAY: &str = "/bin/stay";
pub const DYNAMIC: &str = "/bin/dynamic";
const LOADER: &str = "/lib/loader.so";

/// The tester, the program that runs when nothing else is asked for, and one with a library.
fn files() -> Result<Vec<(&'static str, Vec<u8>)>> {
    let tester = find("ZASTAVA_TESTER", "zastava-tester")?;
    let tester = fs::read(&tester).with_context(|| format!("cannot read {}", tester.display()))?;
    let name = |path: &'static str| path.trim_start_matches('/');
    Ok(vec![
        ("bin/tester", tester),
        (name(STAY), Program::new("containers/stay", Deed::Pause).bytes),
        (name(DYNAMIC), Program::dynamic("containers/dynamic", Deed::Exit(1), LOADER.as_ref()).bytes),
        (name(LOADER), Program::shared("containers/loader", Deed::Pause).bytes),
    ])
}

fn content(files: &[(&'static str, Vec<u8>)]) -> Content {
    let mut content = Content::default().command(&[STAY]).label("org.example.team", "main");
    let mut last = Tar::default();
    for (number, (name, bytes)) in files.iter().enumerate() {
        let directory = name.split('/').next().unwrap_or_default();
        if number + 1 < LAYERS {
            content = content.layer(Tar::default().directory(directory).file(name, 0o755, bytes));
        } else {
            last = last.directory(directory).file(name, 0o755, bytes);
        }
    }
    content.layer(last)
}
