//! The cgroup namespace, by which `/proc/<pid>/cgroup` is told: relative to whoever reads.
//!
//! On cgroup v2 runtimes give a container a namespace of its own. Read from there, the cgroup of whatever runs beside it
//! is a path out of the namespace (`/../..`), which names no container.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::ProcRoot;
use super::stat::{self, Stat};

/// Parent of the kernel's other threads (init/main.c, `rest_init`).
const KTHREADD: u32 = 2;

/// Enters the namespace of the host's first process with the calling thread, and so with those that it starts later.
/// Tells whether it was another one.
pub fn enter_hosts(proc: &ProcRoot) -> io::Result<bool> {
    enter(&proc.entry(1, "ns/cgroup")).or_else(|error| {
        // A security module may let nobody look at the first process. The kernel's threads are where the machine began.
        if is_kernels(proc, KTHREADD) { enter(&proc.entry(KTHREADD, "ns/cgroup")) } else { Err(error) }
    })
}

fn is_kernels(proc: &ProcRoot, tgid: u32) -> bool {
    let line = proc.read(tgid, "stat", stat::LIMIT).unwrap_or_default();
    Stat::parse(&line).is_some_and(|stat| stat.is_kernel_thread())
}

/// Needs `CAP_SYS_ADMIN`, and `CAP_SYS_PTRACE` to open what is another user's.
fn enter(link: &Path) -> io::Result<bool> {
    let own = match fs::metadata("/proc/thread-self/ns/cgroup") {
        Ok(own) => own,
        // Built without: then there is but one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let wanted = File::open(link)?;
    let found = wanted.metadata()?;
    if (found.dev(), found.ino()) == (own.dev(), own.ino()) {
        return Ok(false);
    }
    move_into_link_name_space(wanted.as_fd(), Some(LinkNameSpaceType::ControlGroup))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::proc::first::FirstProcess;

    #[test]
    fn the_namespace_of_another_process_is_entered_and_what_is_started_later_is_in_it() {
        let Some(host) = FirstProcess::start("--cgroup", ":", "sh") else {
            eprintln!("skipped: no cgroup namespace can be made here");
            return;
        };
        let procfs = tempfile::tempdir().unwrap();
        host.stand_in(procfs.path());
        let proc = ProcRoot::new(procfs.path());
        let own = || fs::read_link("/proc/thread-self/ns/cgroup").unwrap();
        let before = own();
        // A thread of its own: the other tests stay where they are.
        let (entered, again, inherited) = std::thread::spawn(move || {
            let entered = enter_hosts(&proc).unwrap();
            (entered, enter_hosts(&proc).unwrap(), std::thread::spawn(own).join().unwrap())
        })
        .join()
        .unwrap();
        let wanted = fs::read_link(procfs.path().join("1/ns/cgroup")).unwrap();
        drop(host);
        assert!(entered && !again);
        assert_eq!(inherited, wanted);
        assert!(before != wanted && own() == before);
    }

    #[test]
    fn without_a_first_process_it_stays_where_it_is_and_says_why() {
        let procfs = tempfile::tempdir().unwrap();
        let proc = ProcRoot::new(procfs.path());
        assert_eq!(enter_hosts(&proc).unwrap_err().kind(), io::ErrorKind::NotFound);
        // The second one of a container is anything.
        std::os::unix::fs::symlink("/proc/self", procfs.path().join("2")).unwrap();
        assert_eq!(enter_hosts(&proc).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_thread_of_the_kernel_stands_for_a_first_process_that_nobody_may_look_at() {
        if !is_kernels(&ProcRoot::default(), KTHREADD) || File::open("/proc/2/ns/cgroup").is_err() {
            eprintln!("skipped: the kernel's threads cannot be looked at from here");
            return;
        }
        let procfs = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/proc/2", procfs.path().join("2")).unwrap();
        let proc = ProcRoot::new(procfs.path());
        let (wanted, there) = std::thread::spawn(move || {
            enter_hosts(&proc).unwrap();
            ["/proc/2/ns/cgroup", "/proc/thread-self/ns/cgroup"]
                .map(|link| fs::read_link(link).unwrap())
                .into()
        })
        .join()
        .unwrap();
        assert_eq!(wanted, there);
    }
}
