//! Does one observable thing and ends: what it did is what the sensor must tell.
//!
//! One static program with a subcommand for each thing, so that it runs in a virtual machine that has nothing else.
//! It ends with 0 when the thing was done, with 77 when this kernel cannot do it (and says why), else with 1.

mod bpf;
mod create;
mod empty;
mod exec;
mod listen;
mod live;
mod loaded;
mod map;
mod overlay;
mod place;
mod raw;
mod rename;
mod storm;
mod uring;

use std::{
    ffi::OsString,
    io,
    process::{Command, ExitCode},
};

/// What a subcommand came to.
enum Outcome {
    Done,
    /// This kernel has no such thing, and says so.
    Unable(String),
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        eprintln!("tester: which thing?");
        return ExitCode::FAILURE;
    };
    match run(&name.to_string_lossy(), rest) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Unable(why)) => {
            println!("{why}");
            ExitCode::from(77)
        }
        Err(error) => {
            eprintln!("tester {}: {error}", name.to_string_lossy());
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, args: &[OsString]) -> io::Result<Outcome> {
    match (name, args) {
        ("memfd", [name, program]) => exec::memfd(&name.to_string_lossy(), program),
        ("unlinked", [program]) => exec::unlinked(program),
        ("gone", [program]) => exec::gone(program),
        ("threaded", [program]) => exec::threaded(program),
        ("swap", [root, name, decoy]) => exec::swap(root, name, decoy),
        ("map", files @ [_, ..]) => map::map(files),
        ("maps", [directory]) => map::all(directory),
        ("protect", [file]) => map::protect(file),
        ("create", [way, content, to]) => create::create(&way.to_string_lossy(), content, to),
        ("rename", [from, to]) => std::fs::rename(from, to).map(|()| Outcome::Done),
        ("exchange", [from, to]) => create::exchange(from, to),
        ("link", [from, to]) => std::fs::hard_link(from, to).map(|()| Outcome::Done),
        ("chmod", [file]) => create::make_executable(file),
        ("overlay", [directory]) => overlay::overlay(directory),
        ("unfinished", [from, over, to, count]) => {
            rename::unfinished(from, over, to, &count.to_string_lossy())
        }
        ("cgroup", [mount, path, program, arguments @ ..]) => {
            place::cgroup(mount, path, Command::new(program).args(arguments))
        }
        ("listen", [address]) => listen::listen(&address.to_string_lossy()),
        ("storm", [program, count, parents]) => {
            storm::storm(program, &count.to_string_lossy(), &parents.to_string_lossy())
        }
        ("live", [milliseconds, code, children @ ..]) => {
            live::live(&milliseconds.to_string_lossy(), &code.to_string_lossy(), children)
        }
        ("every", [milliseconds, program]) => live::every(&milliseconds.to_string_lossy(), program),
        ("fill", []) => live::fill(),
        ("programs", []) => loaded::programs(),
        ("remap", [file, count]) => map::again(file, &count.to_string_lossy()),
        ("empty", [function]) => empty::empty(function),
        ("submit", []) => empty::submit(),
        ("parent", [program, count]) => storm::parent(program, &count.to_string_lossy()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "no such thing, or not with these arguments")),
    }
}
