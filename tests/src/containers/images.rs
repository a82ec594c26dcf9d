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
        let content = content()?;
        let image = Image::new(&content, Packing::Gzip);
        let main = Named { reference: registry.push("team/main", "1", &image), image };
        Ok(Self { registry, pause, main, content })
    }
}

/// Two layers: the tester, and the program that runs when nothing else is asked for.
fn content() -> Result<Content> {
    let tester = find("ZASTAVA_TESTER", "zastava-tester")?;
    let tester = fs::read(&tester).with_context(|| format!("cannot read {}", tester.display()))?;
    let stay = Program::new("containers/stay", Deed::Pause);
    Ok(Content::default()
        .layer(Tar::default().directory("bin").file("bin/tester", 0o755, &tester))
        .layer(Tar::default().directory("bin").file("bin/stay", 0o755, &stay.bytes))
        .command(&["/bin/stay"])
        .label("org.example.team", "main"))
}
