//! Names and arguments at the borders of what there is.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::exec::{gone_from, length, run};
use crate::{
    elf::{Deed, Program},
    expect::Expected,
    fixture::Fixture,
    stage::{Stage, Stop, ended_with},
};

pub(super) fn deep(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    const COMPONENTS: usize = 30;
    // The root is one of the path's components, and the program another.
    let above = stage.directory.components().count();
    let directory: PathBuf = (above..COMPONENTS).map(|depth| format!("component-{depth}")).collect();
    fs::create_dir_all(stage.at(&directory))?;
    told_as_run(stage, &directory.join("program"))
}

pub(super) fn not_utf8(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    told_as_run(stage, Path::new(OsStr::from_bytes(b"program-\xff\xfe-\xc3\x28")))
}

pub(super) fn control_characters(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    told_as_run(stage, Path::new("a\nprogram\t\x1b[31m\"\\\x7f"))
}

fn told_as_run(stage: &Stage, name: &Path) -> Result<Vec<Expected>, Stop> {
    let code = Program::new(&stage.unique("program"), Deed::Exit(0));
    let program = Fixture::program(stage.at(name), &code)?;
    let pid = run(stage, &program, Some(0), None)?;
    Ok(vec![
        Expected::exec(stage.tier, &program).run_by_me(pid, 1, length(&[&program.path]), &stage.directory),
        Expected::exit(stage.tier, &program.path).with_code(0),
    ])
}

pub(super) fn many_arguments(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    const ARGUMENTS: u32 = 128;
    let argument = "x".repeat(1023);
    let program = stage.program("program", Deed::Exit(0))?;
    let child = stage.command(&program.path).args((0..ARGUMENTS).map(|_| &argument)).spawn()?;
    let pid = ended_with(child, Some(0), None)?;
    let bytes = length(&[&program.path]) + ARGUMENTS * 1024;
    Ok(vec![
        Expected::exec(stage.tier, &program).run_by_me(pid, 1 + ARGUMENTS, bytes, &stage.directory),
        Expected::exit(stage.tier, &program.path).with_code(0),
    ])
}

/// When the sensor looks, the program's path leads to another program, out of the process's root.
pub(super) fn link_out_of_root(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let (root, decoys) = (stage.at("root"), stage.at("decoys"));
    fs::create_dir_all(root.join("a"))?;
    fs::create_dir(&decoys)?;
    let name = &stage.token;
    let code = |name: &str| Program::new(&stage.unique(name), Deed::Exit(0));
    let program = Fixture::program(root.join("a").join(name), &code("program"))?;
    Fixture::program(decoys.join(name), &code("decoy"))?;
    stage.tester(["swap".as_ref(), root.as_os_str(), name.as_ref(), decoys.as_os_str()])?;
    let seen = Path::new("/a").join(name);
    Ok(vec![
        gone_from(stage, Expected::exec_of(stage.tier, &seen.to_string_lossy()), &program),
        Expected::exit(stage.tier, &seen).with_code(0),
    ])
}
