//! The table: each scenario does one thing and says exactly which events must come of it, in each tier.

mod container;
mod exec;
mod file;
mod library;
mod listen;
mod overlay;
mod path;

pub(crate) use container::unified_hierarchy;

use crate::{
    expect::Expected,
    stage::{Stage, Stop},
};

/// One thing that happens on a machine.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// Does it, and says what must be told of it.
    pub act: fn(&Stage) -> Result<Vec<Expected>, Stop>,
}

const fn scenario(name: &'static str, act: fn(&Stage) -> Result<Vec<Expected>, Stop>) -> Scenario {
    Scenario { name, act }
}

pub const ALL: &[Scenario] = &[
    scenario("a static program", exec::static_program),
    scenario("a dynamic program and its interpreter", exec::dynamic_program),
    scenario("a script", exec::script),
    scenario("a script run by a script", exec::nested_script),
    scenario("a script executed by a thread", exec::script_by_thread),
    scenario("a set-user-id program", exec::set_user),
    scenario("a program given to the dynamic loader", exec::loader),
    scenario("a program in a memfd", exec::memfd),
    scenario("a program in a memfd that is gone at once", exec::memfd_gone),
    scenario("a program deleted before it is executed", exec::unlinked),
    scenario("a program deleted while it runs", exec::deleted),
    scenario("a program deleted and gone at once", exec::gone),
    scenario("fifty programs that are gone at once", exec::fifty),
    scenario("programs that execute one another at once", exec::chain),
    scenario("a program that a signal ends", exec::signal),
    scenario("a library mapped as dlopen does", library::mapped),
    scenario("a library mapped twice is told once", library::mapped_twice),
    scenario("a library that the dynamic loader loads", library::preloaded),
    scenario("a library that dlopen loads", library::dlopened),
    scenario("a mapping made executable", library::protected),
    scenario("a text mapped executable", library::text),
    scenario("a file made by openat", file::openat),
    scenario("a file made by openat2", file::openat2),
    scenario("a file made by creat", file::creat),
    scenario("a file made by io_uring", file::io_uring),
    scenario("a file made by O_TMPFILE and linkat", file::tmpfile),
    scenario("a file written anew", file::overwritten),
    scenario("a file renamed into place", file::renamed),
    scenario("two files that exchange their names", file::exchanged),
    scenario("a file linked into place", file::linked),
    scenario("a file made executable", file::made_executable),
    scenario("a text is no program", file::text),
    scenario("a path of 30 components", path::deep),
    scenario("a path that is not UTF-8", path::not_utf8),
    scenario("a path with control characters", path::control_characters),
    scenario("128 KiB of arguments", path::many_arguments),
    scenario("a link out of the root", path::link_out_of_root),
    scenario("programs of an overlay's layers", overlay::layers),
    scenario("each runtime's cgroup names its container", container::forms),
    scenario("a listener on IPv4", listen::ipv4),
    scenario("a listener on IPv6", listen::ipv6),
];
