//! What a tier cannot see by nature, in the words in which `doctor` says it.

use zastava_common::abi::Tier;

/// Something that not every tier sees.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sight {
    /// Exit codes, arguments, working directory and listen.
    Details,
    /// That a script was executed, and which.
    Script,
    /// The script's inode.
    ScriptInode,
    /// A program that is gone before it is read.
    Gone,
    /// The cgroup of a process that is gone before it is looked at.
    Cgroup,
    /// A file made in a mount that fanotify does not watch.
    UnwatchedMount,
}

impl Sight {
    pub const ALL: [Self; 6] =
        [Self::Details, Self::Script, Self::ScriptInode, Self::Gone, Self::Cgroup, Self::UnwatchedMount];

    /// `None`: the tier sees it.
    pub const fn blind_spot(self, tier: Tier) -> Option<&'static str> {
        match (self, tier) {
            (Self::Details, Tier::Sideband) => {
                Some("exit codes, arguments, working directory and listen: perf does not carry them")
            }
            (Self::Script | Self::ScriptInode, Tier::Sideband) => {
                Some("a script's name: perf reports its interpreter")
            }
            (Self::ScriptInode, Tier::Tracepoint) => Some("a script's inode: scripts are identified by path"),
            (Self::Gone, Tier::Sideband) => Some("a program or memfd that is gone before it is read"),
            (Self::Cgroup, Tier::Sideband) => Some("cgroups: read from /proc while the process lives"),
            (Self::UnwatchedMount, Tier::Sideband | Tier::Tracepoint) => Some(
                "file changes come from fanotify: no cgroup of their own, no change inside a mount that \
                 fanotify cannot mark",
            ),
            _ => None,
        }
    }

    pub const fn sees(self, tier: Tier) -> bool {
        self.blind_spot(tier).is_none()
    }
}
