//! Container runtimes, each with a state, a socket and containers of its own, and gone with all they started when the
//! test is over, however it ends.

pub mod cli;
pub mod containerd;
pub mod cri;
pub mod daemon;
pub mod docker;
pub mod events;
pub mod home;
pub mod podman;
pub mod reap;
pub mod relay;
pub mod unix;

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Debian 12's programs, and the debs of other suites that `cargo xtask setup` unpacks: `ZASTAVA_RUNTIMES` says where.
pub const VARIABLE: &str = "ZASTAVA_RUNTIMES";

/// A line of containerd; each speaks otherwise of events, configuration or images.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Series {
    V1_6,
    V1_7,
    V2,
}

impl Series {
    pub const ALL: [Self; 3] = [Self::V1_6, Self::V1_7, Self::V2];

    /// Name of its directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_6 => "containerd-1.6",
            Self::V1_7 => "containerd-1.7",
            Self::V2 => "containerd-2",
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A program of one of the unpacked debs; where there are none, the machine's own.
pub(crate) fn program(deb: &str, name: &str) -> Option<PathBuf> {
    let Some(debs) = std::env::var_os(VARIABLE) else { return on_path(name) };
    ["usr/bin", "usr/sbin"]
        .iter()
        .map(|directory| Path::new(&debs).join(deb).join(directory).join(name))
        .find(|path| path.is_file())
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}
