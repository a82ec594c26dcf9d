//! Files that become programs.

use zastava_common::event::v1::file::Op;

use crate::{
    elf::{Deed, Program},
    expect::{Expected, process},
    fixture::Fixture,
    stage::{Stage, Stop},
};

pub(super) fn openat(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    made(stage, "openat", Op::Create)
}

pub(super) fn openat2(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    made(stage, "openat2", Op::Create)
}

pub(super) fn creat(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    made(stage, "creat", Op::Create)
}

pub(super) fn io_uring(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    made(stage, "io_uring", Op::Create)
}

pub(super) fn tmpfile(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    made(stage, "tmpfile", Op::Link)
}

pub(super) fn overwritten(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    Fixture::file(stage.at("made"), b"nothing yet", 0o755)?;
    made(stage, "overwrite", Op::Write)
}

/// The tester makes a program in this way.
fn made(stage: &Stage, way: &str, op: Op) -> Result<Vec<Expected>, Stop> {
    stage.needs_file_changes()?;
    let content = stage.program("content", Deed::Exit(0))?;
    let to = stage.at("made");
    stage.tester(["create".as_ref(), way.as_ref(), content.path.as_os_str(), to.as_os_str()])?;
    Ok(vec![by_tester(stage, op, &content.bytes_at(&to)?)])
}

pub(super) fn renamed(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    moved(stage, "rename", Op::Rename)
}

pub(super) fn linked(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    moved(stage, "link", Op::Link)
}

pub(super) fn exchanged(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    stage.needs_file_changes()?;
    let [one, other] = ["one", "other"].map(|name| stage.program(name, Deed::Exit(0)));
    let (one, other) = (one?, other?);
    stage.tester(["exchange".as_ref(), one.path.as_os_str(), other.path.as_os_str()])?;
    let swapped = [one.at(other.path.clone()), other.at(one.path.clone())];
    Ok(swapped.iter().map(|program| by_tester(stage, Op::Rename, program)).collect())
}

/// A program that is there gets a name in this way.
fn moved(stage: &Stage, way: &str, op: Op) -> Result<Vec<Expected>, Stop> {
    stage.needs_file_changes()?;
    let program = stage.program("before", Deed::Exit(0))?;
    let to = stage.at("after");
    stage.tester([way.as_ref(), program.path.as_os_str(), to.as_os_str()])?;
    Ok(vec![by_tester(stage, op, &program.at(to))])
}

pub(super) fn made_executable(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    stage.needs_file_changes()?;
    let code = Program::new(&stage.unique("program"), Deed::Exit(0));
    let file = Fixture::file(stage.at("program"), &code.bytes, 0o644)?;
    stage.tester(["chmod".as_ref(), file.path.as_os_str()])?;
    let program = Fixture { build_id: Some(code.build_id), ..file };
    Ok(vec![by_tester(stage, Op::Chmod, &program)])
}

pub(super) fn text(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    stage.needs_file_changes()?;
    let text = Fixture::file(stage.at("content"), b"no program", 0o644)?;
    let to = Fixture::file(stage.at("text"), b"nothing yet", 0o644)?;
    stage.tester(["create".as_ref(), "overwrite".as_ref(), text.path.as_os_str(), to.path.as_os_str()])?;
    Ok(Vec::new())
}

fn by_tester(stage: &Stage, op: Op, made: &Fixture) -> Expected {
    Expected::created(stage.tier, op, made)
        .check("process.comm", "zastava-tester".to_owned(), |event| process(event).comm)
}
