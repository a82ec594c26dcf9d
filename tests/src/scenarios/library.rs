//! Files that become executable memory.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use zastava_common::{
    abi::Tier,
    event::v1::file::{Content, Op},
};

use super::exec::TRUE;
use crate::{
    expect::{Expected, file_of, process},
    fixture::Fixture,
    sight::Sight,
    stage::{Stage, Stop},
};

pub(super) fn mapped(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let library = stage.library("library.so")?;
    stage.tester(["map".as_ref(), library.path.as_os_str()])?;
    Ok(vec![
        Expected::library(stage.tier, &library)
            .check("file.op", Op::Map, |event| file_of(event).op())
            .check("file.content", Content::Elf, |event| file_of(event).content())
            .check("process.comm", "zastava-tester".to_owned(), |event| process(event).comm),
    ])
}

pub(super) fn mapped_twice(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let library = stage.library("library.so")?;
    let path = library.path.as_os_str();
    stage.tester(["map".as_ref(), path, path])?;
    // It is told once in each cgroup. Of a process that is gone before it is looked at, that is not always known.
    if Sight::Cgroup.sees(stage.tier) {
        stage.tester(["map".as_ref(), path])?;
    }
    Ok(vec![Expected::library(stage.tier, &library)])
}

pub(super) fn preloaded(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let library = stage.library("library.so")?;
    needs(TRUE)?;
    // The loader maps it, and then finds nothing in it that it could bind.
    run(stage.command(TRUE).env("LD_PRELOAD", &library.path))?;
    Ok(vec![Expected::library(stage.tier, &library)])
}

pub(super) fn dlopened(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    const BASH: &str = "/bin/bash";
    let library = stage.library("library.so")?;
    needs(BASH)?;
    // A builtin of that name is not in it, but to see that bash must load it.
    run(stage.command(BASH).args(["-c", "enable -f \"$0\" nothing"]).arg(&library.path))?;
    Ok(vec![Expected::library(stage.tier, &library)])
}

fn needs(program: &str) -> Result<(), Stop> {
    match fs::metadata(Path::new(program)) {
        Ok(_) => Ok(()),
        Err(error) => Err(Stop::Unable(format!("{program}: {error}"))),
    }
}

/// What it says of the library is of no interest.
fn run(command: &mut Command) -> std::io::Result<()> {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().map(drop)
}

pub(super) fn protected(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let library = stage.library("library.so")?;
    stage.tester(["protect".as_ref(), library.path.as_os_str()])?;
    let op = match stage.tier {
        Tier::Trampoline | Tier::Kprobe => Op::Protect,
        // perf tells that a mapping is executable now, not why.
        Tier::Tracepoint | Tier::Sideband => Op::Map,
    };
    Ok(vec![Expected::library(stage.tier, &library).check("file.op", op, |event| file_of(event).op())])
}

pub(super) fn text(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let text = Fixture::file(stage.at("text"), stage.unique("no program").as_bytes(), 0o644)?;
    stage.tester(["map".as_ref(), text.path.as_os_str()])?;
    Ok(vec![
        Expected::library(stage.tier, &text)
            .check("file.content", Content::Other, |event| file_of(event).content())
            .check("file.buildId", String::new(), |event| file_of(event).build_id)
            .that("file.buildIdReason says why", |event| !file_of(event).build_id_reason.is_empty()),
    ])
}
