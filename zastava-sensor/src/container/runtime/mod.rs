//! The runtimes: what containerd, CRI-O, Docker and Podman say of their containers.
//!
//! A runtime names what the kernel saw; it never says where something happened. Its word can be late, wrong or
//! missing, and nothing of the kernel's waits for it here: the clients run on a thread of their own and send [`News`].

mod backoff;
mod candidate;
mod client;
mod containerd;
mod counts;
mod cri;
mod docker;
pub mod foreign;
mod grpc;
mod http;
mod hub;
mod kubernetes;
mod labels;
mod memory;
mod overlay;
mod owner;
mod proto;
mod pulled;
mod reference;
mod session;
mod settings;
mod shared;
mod spec;
#[cfg(test)]
pub(in crate::container) mod tests;
mod text;
mod thread;

use std::{path::PathBuf, sync::Arc, time::SystemTime};

pub use self::{
    counts::Counts,
    labels::AllowList,
    settings::Settings,
    thread::{Asker, Runtimes, RuntimesError},
};
use super::description::Description;

/// What a runtime told.
///
/// The channel is bounded; a client waits while it is full, for a runtime's stream can wait. Nothing is dropped, and
/// the news of one container come in order. After a connection was lost some come twice, and what happened meanwhile
/// comes as the state it led to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum News {
    /// A runtime answers. What it has follows, up to `Listed`.
    Connected(Arc<Engine>),
    /// A container or sandbox exists: everything known of it. Sent again when more is known; the later one counts.
    /// One that had ended before anyone saw it run is described too, as `State::Exited`.
    Described(Arc<Description>),
    /// Its init exists, or runs. Often sent twice, the second time with more.
    Started {
        id: Arc<str>,
        /// In the pid namespace of the sensor's procfs root.
        pid: Option<u32>,
        at: Option<SystemTime>,
    },
    /// Its init ended. May be sent twice; the later one knows no less.
    Stopped { id: Arc<str>, exit: Stop },
    /// The runtime forgot it.
    Removed { id: Arc<str> },
    /// The kernel killed something in it for want of memory, its init or another process.
    OutOfMemory { id: Arc<str> },
    /// The list is complete: of this engine's containers, those neither described nor refused since `Connected` are
    /// gone.
    Listed { engine: Arc<Engine> },
    /// The runtime could not describe this one. From [`super::reason`].
    Refused { id: Arc<str>, reason: &'static str },
    /// The connection is lost: what is known stays, new containers get the reason until it is back.
    Disconnected { engine: Arc<Engine>, reason: &'static str },
    /// Once, after the start: every socket was tried, and who answered has listed what it has, or did not in time.
    Searched,
}

/// The kernel saw a container that nobody described: look it up. Answered by `Described` or `Refused`, once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ask {
    pub id: Arc<str>,
    /// Only a cgroup of a user's says that it is there: anybody may make such ones.
    pub by_user: bool,
}

/// A runtime that answers at a socket.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Engine {
    pub kind: EngineKind,
    /// As it calls it: `1.7.24`, `20.10.24+dfsg1`.
    pub version: String,
    pub socket: PathBuf,
}

impl Engine {
    /// Whether it is a user's own, by where its socket stands (`XDG_RUNTIME_DIR`).
    pub fn is_of_user(&self) -> bool {
        self.socket.starts_with("/run/user") || self.socket.starts_with("/host/run/user")
    }
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EngineKind {
    Containerd,
    CriO,
    Docker,
    Podman,
}

impl EngineKind {
    /// As it stands in events, and before `://` in a container's id.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

/// How a container's init ended, as far as the runtime tells.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stop {
    /// 128 and the signal's number where a signal ended it, as shells have it.
    pub code: Option<u32>,
    /// From the code: runtimes do not tell them apart. A program that calls `exit(137)` looks the same; the kernel's
    /// exit record knows better.
    pub signal: Option<u32>,
    /// `None`: the runtime does not say.
    pub oom: Option<bool>,
    pub at: Option<SystemTime>,
    /// The runtime's own word: `Completed`, `Error`, `OOMKilled`, `ContainerStatusUnknown`.
    pub reason: Option<String>,
}

impl Stop {
    /// From the status that runtimes give: 128 and the signal's number for a signal.
    fn with_code(code: u32) -> Self {
        let signal = code.checked_sub(128).filter(|signal| (1..=64).contains(signal));
        Self { code: Some(code), signal, ..Self::default() }
    }
}
