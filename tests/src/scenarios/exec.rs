//! Programs, however they are executed.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};
use rustix::fs::StatVfsMountFlags;
use zastava_common::event::v1::file::{Content, Origin};

use crate::{
    elf::{Deed, Program},
    expect::{Expected, file_of, lossy, process},
    fixture::Fixture,
    sensor::find,
    sight::Sight,
    stage::{Stage, Stop, ended_with},
};

/// The dynamic loader of this machine, and a program for it.
pub(super) const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
pub(super) const TRUE: &str = "/bin/true";

pub(super) fn static_program(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let program = stage.program("program", Deed::Exit(7))?;
    let pid = run(stage, &program, Some(7), None)?;
    let bytes = length(&[&program.path]);
    Ok(vec![
        Expected::exec(stage.tier, &program)
            .run_by_me(pid, 1, bytes, &stage.directory)
            .check("process.comm", "program".to_owned(), |event| process(event).comm)
            .check("process.buildId", program.build_id.clone().unwrap_or_default(), |event| {
                process(event).build_id
            })
            .check("file.content", Content::Elf, |event| file_of(event).content()),
        Expected::exit(stage.tier, &program.path).with_code(7),
    ])
}

pub(super) fn dynamic_program(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let interpreter = stage.library("interpreter")?;
    let code = Program::dynamic(&stage.unique("program"), Deed::Exit(1), &interpreter.path);
    let program = Fixture::program(stage.at("program"), &code)?;
    let pid = run(stage, &program, Some(0), None)?;
    Ok(vec![
        Expected::exec(stage.tier, &program).run_by_me(pid, 1, length(&[&program.path]), &stage.directory),
        Expected::library(stage.tier, &interpreter),
        Expected::exit(stage.tier, &program.path).with_code(0),
    ])
}

pub(super) fn script(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let interpreter = stage.program("interpreter", Deed::Exit(0))?;
    let script = script_for(stage, "script", &interpreter.path)?;
    let pid = run(stage, &script, Some(0), None)?;
    let bytes = length(&[&interpreter.path, &script.path]);
    Ok(vec![
        of_script(
            stage,
            Expected::exec(stage.tier, &interpreter).run_by_me(pid, 2, bytes, &stage.directory),
            &script,
        ),
        Expected::exit(stage.tier, &interpreter.path).with_code(0),
    ])
}

pub(super) fn nested_script(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let interpreter = stage.program("interpreter", Deed::Exit(0))?;
    let inner = script_for(stage, "inner", &interpreter.path)?;
    let outer = script_for(stage, "outer", &inner.path)?;
    let pid = run(stage, &outer, Some(0), None)?;
    let bytes = length(&[&interpreter.path, &inner.path, &outer.path]);
    Ok(vec![
        of_script(
            stage,
            Expected::exec(stage.tier, &interpreter).run_by_me(pid, 3, bytes, &stage.directory),
            &outer,
        ),
        Expected::exit(stage.tier, &interpreter.path).with_code(0),
    ])
}

/// The thread takes its process's number on the way.
pub(super) fn script_by_thread(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let interpreter = stage.program("interpreter", Deed::Exit(0))?;
    let script = script_for(stage, "script", &interpreter.path)?;
    stage.tester(["threaded".as_ref(), script.path.as_os_str()])?;
    Ok(vec![
        of_script(stage, Expected::exec(stage.tier, &interpreter), &script),
        Expected::exit(stage.tier, &interpreter.path).with_code(0),
    ])
}

/// The event tells who the program acts as, not who ran it.
pub(super) fn set_user(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    const USER: u32 = 4711;
    const GROUP: u32 = 4712;
    if rustix::fs::statvfs(&stage.directory)?.f_flag.contains(StatVfsMountFlags::NOSUID) {
        return Err(Stop::Unable(format!("{} is mounted nosuid", stage.directory.display())));
    }
    let program = stage.program("program", Deed::Exit(0))?;
    chown(&program.path, Some(USER), Some(GROUP))?;
    fs::set_permissions(&program.path, Permissions::from_mode(0o6755))?;
    run(stage, &program, Some(0), None)?;
    let exec = Expected::exec(stage.tier, &program);
    let exec = if Sight::Details.sees(stage.tier) {
        exec.check("process.uid", Some(USER), |event| process(event).uid).check(
            "process.gid",
            Some(GROUP),
            |event| process(event).gid,
        )
    } else {
        exec
    };
    Ok(vec![exec, Expected::exit(stage.tier, &program.path).with_code(0)])
}

fn script_for(stage: &Stage, name: &str, interpreter: &Path) -> Result<Fixture> {
    Fixture::file(stage.at(name), format!("#!{}\n", interpreter.display()).as_bytes(), 0o755)
}

fn of_script(stage: &Stage, exec: Expected, script: &Fixture) -> Expected {
    let (path, sha256, inode) = (lossy(&script.path), script.sha256.clone(), script.inode);
    let told = |event: &_| process(event).script.unwrap_or_default();
    if !Sight::Script.sees(stage.tier) {
        return exec.check("process.script", None, |event| process(event).script);
    }
    let exec = exec.check("process.script.path", path, move |event| told(event).path).that(
        "process.script.sha256 is right, or says why it is not known",
        move |event| {
            let script = told(event);
            script.sha256 == sha256 || (script.sha256.is_empty() && !script.sha256_reason.is_empty())
        },
    );
    if Sight::ScriptInode.sees(stage.tier) {
        exec.check("process.script.inode", Some(inode), move |event| told(event).inode)
            .that("process.script.sha256 is known", move |event| !told(event).sha256.is_empty())
    } else {
        exec.check("process.script.identityReason", false, move |event| {
            told(event).identity_reason.is_empty()
        })
    }
}

pub(super) fn loader(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let loader = copy(stage, LOADER, "loader")?;
    let program = copy(stage, TRUE, "program")?;
    let child = stage.command(&loader.path).arg(&program.path).spawn()?;
    let pid = ended_with(child, Some(0), None)?;
    let bytes = length(&[&loader.path, &program.path]);
    Ok(vec![
        Expected::exec(stage.tier, &loader).run_by_me(pid, 2, bytes, &stage.directory),
        Expected::library(stage.tier, &program),
        Expected::exit(stage.tier, &loader.path).with_code(0),
    ])
}

/// A copy of a file of this machine, which may have none.
pub(super) fn copy(stage: &Stage, from: &str, name: &str) -> Result<Fixture, Stop> {
    if let Err(error) = fs::metadata(from) {
        return Err(Stop::Unable(format!("{from}: {error}")));
    }
    Ok(Fixture::copy(Path::new(from), stage.at(name))?)
}

pub(super) fn memfd(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let program = stage.program("program", Deed::Wait)?;
    let tester = find("ZASTAVA_TESTER", "zastava-tester")?;
    let arguments = ["memfd".as_ref(), stage.token.as_ref(), program.path.as_os_str()];
    keep_once_running(stage, stage.command(tester).args(arguments), &stage.token)?;
    Ok(vec![
        in_memory(stage)
            .contents(&program)
            .check("file.origin", Origin::Memory, |event| file_of(event).origin()),
    ])
}

pub(super) fn memfd_gone(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let program = stage.program("program", Deed::Exit(0))?;
    stage.tester(["memfd".as_ref(), stage.token.as_ref(), program.path.as_os_str()])?;
    let exe = format!("/memfd:{}", stage.token);
    Ok(vec![
        in_memory(stage).contents_or_reason(&program),
        Expected::exit(stage.tier, Path::new(&exe)).with_code(0),
    ])
}

/// The path is what the kernel calls it.
fn in_memory(stage: &Stage) -> Expected {
    Expected::exec_of(stage.tier, &format!("/memfd:{}", stage.token))
}

pub(super) fn unlinked(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let program = stage.program("program", Deed::Wait)?;
    let tester = find("ZASTAVA_TESTER", "zastava-tester")?;
    let arguments = ["unlinked".as_ref(), program.path.as_os_str()];
    keep_once_running(stage, stage.command(tester).args(arguments), &stage.token)?;
    Ok(vec![Expected::exec(stage.tier, &program).check("file.nlink", Some(0), |event| file_of(event).nlink)])
}

/// Starts a tester that becomes another program, and waits until it is that.
fn keep_once_running(stage: &Stage, command: &mut Command, name: &str) -> Result<()> {
    let child = command.stdin(Stdio::piped()).spawn()?;
    let link = format!("/proc/{}/exe", child.id());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    // The kernel tells nobody of an exec but sensors.
    while !fs::read_link(&link).is_ok_and(|exe| lossy(&exe).contains(name)) {
        anyhow::ensure!(std::time::Instant::now() < deadline, "the tester executed nothing");
        std::thread::yield_now();
    }
    stage.keep(child);
    Ok(())
}

pub(super) fn deleted(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let program = stage.program("program", Deed::Wait)?;
    // `spawn` returns when the program runs.
    stage.keep(stage.command(&program.path).stdin(Stdio::piped()).spawn()?);
    fs::remove_file(&program.path)?;
    // It is there to be read, whatever the tier.
    Ok(vec![Expected::exec_of(stage.tier, &lossy(&program.path)).identity(&program).contents(&program)])
}

pub(super) fn gone(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let program = stage.program("program", Deed::Exit(0))?;
    stage.tester(["gone".as_ref(), program.path.as_os_str()])?;
    Ok(vec![
        gone_from(stage, Expected::exec_of(stage.tier, &lossy(&program.path)), &program),
        Expected::exit(stage.tier, &program.path).with_code(0),
    ])
}

/// Its inode was seen; there is nothing any more to be read.
pub(super) fn gone_from(stage: &Stage, exec: Expected, program: &Fixture) -> Expected {
    if Sight::Gone.sees(stage.tier) {
        exec.identity(program).contents_or_reason(program)
    } else {
        exec.identity_or_reason(program).contents_or_reason(program)
    }
}

pub(super) fn fifty(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let mut expected = Vec::new();
    for number in 0..50 {
        let program = stage.program(&format!("program-{number}"), Deed::Exit(number))?;
        run(stage, &program, Some(number.into()), None)?;
        expected.push(Expected::exec(stage.tier, &program));
        expected.push(Expected::exit(stage.tier, &program.path).with_code(number.into()));
    }
    Ok(expected)
}

/// Each with an interpreter of its own, so that there is a library which can be told as the next one's.
pub(super) fn chain(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let mut expected = Vec::new();
    let mut links = Vec::new();
    for number in 0..5 {
        let interpreter = Program::shared(&stage.unique(&format!("interpreter-{number}")), Deed::Execute);
        let interpreter = Fixture::program(stage.at(format!("interpreter-{number}")), &interpreter)?;
        let name = format!("link-{number}");
        let link = Program::dynamic(&stage.unique(&name), Deed::Exit(1), &interpreter.path);
        let link = Fixture::program(stage.at(&name), &link)?;
        let exe = lossy(&link.path);
        expected.push(Expected::exec(stage.tier, &link));
        expected.push(
            Expected::library(stage.tier, &interpreter)
                .check("process.exe", exe, |event| process(event).exe)
                .check("process.comm", name, |event| process(event).comm),
        );
        links.push(link);
    }
    let last = stage.program("last", Deed::Exit(3))?;
    let mut words = links.iter().chain([&last]).map(|program| &program.path);
    let first = words.next().context("no link")?;
    ended_with(stage.command(first).args(words).spawn().context("cannot run the chain")?, Some(3), None)?;
    expected.push(Expected::exec(stage.tier, &last));
    expected.push(Expected::exit(stage.tier, &last.path).with_code(3));
    Ok(expected)
}

pub(super) fn signal(stage: &Stage) -> Result<Vec<Expected>, Stop> {
    let program = stage.program("program", Deed::Die(9))?;
    run(stage, &program, None, Some(9))?;
    Ok(vec![Expected::exec(stage.tier, &program), Expected::exit(stage.tier, &program.path).with_signal(9)])
}

/// Runs a program to its end, which must be this one.
pub(super) fn run(stage: &Stage, program: &Fixture, code: Option<i32>, signal: Option<i32>) -> Result<u32> {
    let child = stage.command(&program.path).spawn().context("cannot run the program")?;
    ended_with(child, code, signal)
}

/// Bytes that these arguments take.
pub(super) fn length(arguments: &[&Path]) -> u32 {
    arguments.iter().map(|argument| argument.as_os_str().len() as u32 + 1).sum()
}
